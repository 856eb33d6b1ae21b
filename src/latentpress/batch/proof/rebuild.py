"""Makes the ledger of an output folder from what its pictures say of themselves, as far as they can prove it.

A picture proves its pixels by the sum that it names, and its job by the hash of all that it names. A ledger that can be
read is kept, and learns of the pictures that it does not know; a damaged one is moved to .latentpress/replaced.
"""

import hashlib
import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from latentpress.batch.aside import new_room
from latentpress.batch.ledger.ledger import Ledger
from latentpress.batch.ledger.lock import locked
from latentpress.batch.pictures.chunks import Claim, claim_of, proved
from latentpress.batch.pictures.containers import whole
from latentpress.batch.pictures.guided import guided_claimed, losses_of, scales_in, went_wrong
from latentpress.batch.pictures.intact import MAX_BYTES, stamp_of
from latentpress.batch.place import LEDGER, home_of
from latentpress.batch.plan.earlier_claims import keys_of_claim, source_of
from latentpress.batch.plan.identity import VERSION, Identity, JobHash, Model
from latentpress.batch.plan.job import canonical_json
from latentpress.batch.proof.scan import files_aside, files_below, in_threads
from latentpress.engines.strict import ANY_ROWS, UNTESTED
from latentpress.errors import LedgerDamaged, UsageError
from latentpress.files import OWN_FOLDER, move, read_regular

# Beside a ledger that is moved: a journal left there would be rolled back into the next one.
_COMPANIONS = ("", "-journal", "-wal", "-shm")
_ROW = (
    *("output", "plan_hash", "job_hash", "status", "pixel_sha256", "file_sha256", "file_size", "attempts", "seconds"),
    *("batch_rows", "provider", "row_rule", "identity", "contents", "unseeded", "stamp", "gradient"),
    *("losses", "guided", "rose"),
)


@dataclass
class Rebuilt:
    """What a rebuild found.

    recorded: pictures that the ledger did not know; known: how many it did; refused: name -> why a picture that says what
    it is was not taken; silent: how many others do not say what they are; moved: where the damaged ledger is now.
    """

    recorded: list[str] = field(default_factory=list[str])
    known: int = 0
    refused: dict[str, str] = field(default_factory=dict[str, str])
    silent: int = 0
    moved: Path | None = None

    def data(self) -> dict[str, Any]:
        """As JSON data."""
        return {**vars(self), "moved": str(self.moved) if self.moved else None}


@dataclass(frozen=True)
class _Proved:
    """A picture that is what it says: the values of its row, and content -> (source, name) of its bundles."""

    row: tuple[object, ...]
    pixels: str
    sha256: str
    bundles: Mapping[str, tuple[str, str]]


def rebuild(folder: Path | str, threads: int | None = None, ledger: Path | None = None) -> Rebuilt:
    """Make or mend the ledger of `folder`.

    threads: by default one for each core; ledger: a folder to keep it in, as `--ledger` names one. Raises UsageError where
    there is no folder, or neither a ledger nor a picture in it that says what it is, OutputLocked, and EnvironmentFailure
    for a ledger that cannot be used, though it is whole.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder; give an output folder, as `render -o` does")
    done = Rebuilt()
    home = home_of(folder, ledger, anew=True)
    with locked(folder, home) as lock:
        path = home / LEDGER
        had = os.path.lexists(path)
        if had and not _sound(path):
            done.moved = _moved(folder, path)
        elif not had and not any(_claims(folder, name) for name in chain(files_below(folder), files_aside(folder))):
            raise UsageError(
                f"{folder}: holds no ledger, and no picture in it says what it is; give an output folder, as `render -o` "
                "does"
            )
        lock.keep()
        with Ledger(path) as made, made.transaction():
            _record(folder, made, done, threads)
    return done


def _sound(path: Path) -> bool:
    """Whether all of the ledger can be read, indexes included."""
    try:
        with Ledger(path) as ledger:
            return ledger.one("PRAGMA integrity_check")[0] == "ok"
    except LedgerDamaged:
        return False


def _moved(folder: Path, path: Path) -> Path:
    """Move a damaged ledger out of the way; returns where it is now."""
    inside = path.parent == folder / OWN_FOLDER
    room = folder / new_room(folder) if inside else path.with_name(f"damaged-{secrets.token_hex(4)}")
    for suffix in _COMPANIONS:
        name = f"{path.name}{suffix}"
        if os.path.lexists(path.with_name(name)):
            move(path.with_name(name), room / name, folder if inside else None)
    return room / path.name


def _claims(folder: Path, name: str) -> bool:
    try:
        return claim_of(read_regular(folder / name, MAX_BYTES)) is not None
    except OSError:
        return False


def _record(folder: Path, ledger: Ledger, done: Rebuilt, threads: int | None) -> None:
    """Record every picture that proves what it is and is not known."""
    query = "SELECT output, file_sha256, pixel_sha256 FROM images WHERE status='done'"
    known = {output: (sha256, pixels) for output, sha256, pixels in ledger.answers(query)}

    def read(name: str) -> "tuple[str, _Proved | str | None]":
        return name, _read(folder, name)

    for name, found in in_threads(read, chain(files_below(folder), files_aside(folder)), threads):
        if found is None:
            done.silent += 1
        elif isinstance(found, str):
            done.refused[name] = found
        elif known.get(name) == (found.sha256, found.pixels):
            done.known += 1
        else:
            ledger.run(
                f"INSERT OR REPLACE INTO images ({', '.join(_ROW)}) VALUES ({', '.join('?' * len(_ROW))})", found.row
            )
            bundles = [(content, source, title, None, "{}") for content, (source, title) in found.bundles.items()]
            ledger.many("INSERT OR IGNORE INTO bundles VALUES (?, ?, ?, ?, ?)", bundles)
            done.recorded.append(name)


def _read(folder: Path, name: str) -> "_Proved | str | None":
    """What the picture `name` proves; why it proves nothing, though it says what it is; None where it does not say."""
    path = folder / name
    try:
        content = read_regular(path, MAX_BYTES)
        stamp = stamp_of(path.lstat())
    except OSError:
        return None
    if (claim := claim_of(content)) is None:
        return None
    if (pixels := proved(content, claim)) is None:
        return "was changed since it was rendered" if whole(content) else "is damaged"
    try:
        name.encode()
        contents, unseeded, bundles = _of_claim(claim)
    except (KeyError, TypeError, ValueError, AttributeError):
        return "does not have the hash that it names"
    rows = str(claim.data.get("rows") or (ANY_ROWS if claim.identity == VERSION else UNTESTED))
    sha256 = hashlib.sha256(content).hexdigest()
    facts = (name, "", claim.job_hash, "done", pixels, sha256, len(content), 1, 0.0, 0)
    gradient = claim.data.get("gradient")
    last = (contents, unseeded, stamp, None if gradient is None else str(gradient), *_of_losses(claim))
    row = (*facts, str(claim.data.get("engine", "")), rows, claim.identity, *last)
    return _Proved(row, pixels, sha256, bundles)


def _of_losses(claim: Claim) -> tuple[str | None, str | None, str | None]:
    """The columns `losses`, `guided` and `rose` by what a picture says that losses did to it."""
    if (guided := guided_claimed(claim.data.get("guided"))) is None:
        return None, None, None
    losses, wrong = losses_of(guided), went_wrong(guided, scales_in(claim.data["request"]))
    return json.dumps(losses) if losses else None, canonical_json(guided), json.dumps(wrong) if wrong else None


def _of_claim(claim: Claim) -> tuple[str | None, str | None, dict[str, tuple[str, str]]]:
    """The contents, the hash without a seed and the bundles of what a picture says.

    Raises ValueError where the hash of all that is another one than it names, and whatever a text without sense raises.
    """
    data = claim.data
    if claim.identity == 1:  # the hash held that of bundle.json, which it does not name
        keys = keys_of_claim(data)
        return None, keys[1] if keys else None, {}
    bundle, refiner = data["bundle"], data.get("refiner")
    identity = Identity(
        Model(bundle["content"], data["concepts"]),
        Model(refiner["content"], refiner["concepts"]) if refiner else None,
    )
    hashes = JobHash(data["request"], identity, data.get("rules") or {})
    if claim.identity != VERSION or hashes.of(data["request"]["seed"]) != claim.job_hash:
        raise ValueError
    named = [bundle, *([refiner] if refiner else [])]
    return identity.contents, hashes.unseeded, {one["content"]: (source_of(one), str(one["name"])) for one in named}
