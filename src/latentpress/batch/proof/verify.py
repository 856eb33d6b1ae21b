"""Reads every picture that an output folder's ledger knows, and says which are no longer what was written.

Trusts no stamp: bytes are compared with the sum of the file, and decoded pixels with that of the pixels. Writes nothing,
and needs no manifest; what is to be done about it is repair.py's business.
"""

import io
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from latentpress.batch.ledger.beside import beside
from latentpress.batch.ledger.ledger import documents, ledger_path
from latentpress.batch.pictures.chunks import read_claim
from latentpress.batch.pictures.containers import SIGNATURE, lossy, whole
from latentpress.batch.pictures.intact import MAX_BYTES, Found, Look, look
from latentpress.batch.pictures.png import pixel_sha256
from latentpress.batch.plan.collisions import SHEET_NAME
from latentpress.batch.plan.database import Database
from latentpress.batch.proof.scan import files_below, in_threads
from latentpress.errors import UsageError, one_line
from latentpress.files import OWN_FOLDER, read_regular

# MISSING: nothing lies under the name. TORN: what was written, damaged. FOREIGN: something else. SWAPPED: what was written
# under another name. WHOLE: what was written.
WHOLE, MISSING, TORN, FOREIGN, SWAPPED = "whole", "missing", "torn", "foreign", "swapped"
FLAWS = (MISSING, TORN, FOREIGN, SWAPPED)
_BLOCK = 2000


@dataclass(frozen=True)
class Row:
    """What the ledger says of a finished picture."""

    output: str
    sha256: str
    size: int | None
    pixels: str | None


@dataclass(frozen=True)
class Flaw:
    """A name under which what was written is no more.

    state: one of FLAWS; why: what is known beside that; written_as: of a swapped one, the name of what lies there now;
    written: whether the bytes are those that were written, so that the ledger is wrong about the pixels.
    """

    output: str
    state: str
    why: str = ""
    written_as: str | None = None
    written: bool = False

    @property
    def line(self) -> str:
        """As people read it."""
        why = f"holds what was written as {self.written_as}" if self.written_as else self.why
        return f"{self.state:<8}  {one_line(self.output)}{': ' if why else ''}{one_line(why)}"

    def data(self) -> dict[str, str | None]:
        """As JSON data."""
        return {"output": self.output, "state": self.state, "why": self.why or None, "written_as": self.written_as}


@dataclass(frozen=True)
class Verified:
    """What a look at every picture found.

    pictures: how many the ledger calls finished; flaws: those of them that are not what was written; documents: sheets and
    the like, of the same kinds; aside: of the pictures in .latentpress, where missing ones are no fault, for people may
    delete them; unknown: PNGs, and others that say that they are ours, of
    which the ledger says nothing, which is no fault either.
    """

    folder: Path
    pictures: int
    flaws: Sequence[Flaw]
    documents: Sequence[Flaw]
    aside: Sequence[Flaw]
    unknown: Sequence[str] = field(default=())

    @property
    def right(self) -> bool:
        """Whether everything is what was written."""
        return not (self.flaws or self.documents or self.aside)

    @property
    def counts(self) -> dict[str, int]:
        """How many pictures are in each state."""
        found = Counter(flaw.state for flaw in self.flaws)
        return {WHOLE: self.pictures - found.total()} | {state: found[state] for state in FLAWS}

    def lines(self) -> Iterator[str]:
        """What there is to tell, a line each, the sum of it last."""
        for flaw in (*self.flaws, *self.documents, *self.aside):
            yield flaw.line
        for name in self.unknown:
            yield f"unknown   {one_line(name)}"
        counts = self.counts
        listed = ", ".join(f"{counts[state]:,} {state}" for state in FLAWS)
        more = [
            (len(self.documents), "of sheets"),
            (len(self.aside), f"in {OWN_FOLDER}"),
            (len(self.unknown), "unknown"),
        ]
        rest = "".join(f", {count:,} {what}" for count, what in more if count)
        yield f"{self.folder}: {counts[WHOLE]:,} of {self.pictures:,} pictures are what was written, {listed}{rest}"

    def data(self) -> dict[str, Any]:
        """As JSON data."""
        named = {"flaws": self.flaws, "documents": self.documents, "aside": self.aside}
        flaws = {name: [flaw.data() for flaw in found] for name, found in named.items()}
        return {"folder": str(self.folder), "right": self.right, "counts": self.counts, **flaws} | {
            "unknown": list(self.unknown)
        }


def verify(folder: Path | str, threads: int | None = None) -> Verified:
    """Read every picture of the ledger of `folder`, and compare it with what was written.

    threads: by default one for each core, each of which holds one picture. Raises UsageError where there is no ledger, and
    as the opening of a ledger does.
    """
    folder = Path(folder)
    path = ledger_path(folder)
    if not path.exists():
        raise UsageError(
            f"{folder}: holds no ledger, {path}; give an output folder, or make one from its pictures with "
            f"`latentpress rebuild {folder}`"
        )
    with beside(path) as table:
        return _Verifying(folder, table).all(threads)


class _Verifying:
    """One pass over a ledger, which `table` sees."""

    def __init__(self, folder: Path, table: Database) -> None:
        self._folder, self._table = folder, table
        self._names: Mapping[str, str] | None = None

    def all(self, threads: int | None) -> Verified:
        """Look at everything."""
        pictures, flaws, aside = 0, list[Flaw](), list[Flaw]()
        for row, seen, why in in_threads(self._look, self._rows(), threads):
            own = row.output.startswith(f"{OWN_FOLDER}/")
            pictures += not own
            flaw = self._flaw(row, seen, why)
            if flaw is not None and not own:
                flaws.append(flaw)
            elif flaw is not None and flaw.state != MISSING:
                aside.append(flaw)
        return Verified(self._folder, pictures, flaws, self._documents(), aside, self._unknown())

    def _rows(self) -> Iterator[Row]:
        """What is finished, by name; a few thousand at once."""
        query = (
            "SELECT output, file_sha256, file_size, pixel_sha256 FROM images WHERE status='done' AND output > ? "
            f"ORDER BY output LIMIT {_BLOCK}"
        )
        after = ""
        while found := self._table.answers(query, (after,)):
            yield from (Row(output, sha256 or "", size, pixels) for output, sha256, size, pixels in found)
            after = found[-1][0]

    def _look(self, row: Row) -> tuple[Row, Look, str]:
        """What lies under the name of `row`; and of the bytes that were written, why their pixels are not."""
        path = self._folder / row.output
        seen = look(str(path), row.sha256, row.size)
        why = "" if seen.found is not Found.WHOLE or row.pixels is None else _other_pixels(path, row.pixels)
        return row, seen, why

    def _flaw(self, row: Row, seen: Look, why: str) -> Flaw | None:
        match seen.found:
            case Found.WHOLE:
                return Flaw(row.output, FOREIGN, why, written=True) if why else None
            case Found.NOTHING:
                return Flaw(row.output, MISSING)
            case Found.NO_FILE:
                return Flaw(row.output, FOREIGN, seen.why)
            case Found.TORN | Found.OTHER:
                if (other := self._written_as(seen.sha256)) is not None:
                    return Flaw(row.output, SWAPPED, written_as=other)
                return Flaw(row.output, TORN if seen.found is Found.TORN else FOREIGN)

    def _written_as(self, sha256: str | None) -> str | None:
        """The first name that the ledger wrote this content under."""
        if self._names is None:
            found = self._table.answers(
                "SELECT file_sha256, output FROM images WHERE status='done' ORDER BY output DESC"
            )
            # A name of the folder's own only where there is no other.
            found.sort(key=lambda row: not row[1].startswith(f"{OWN_FOLDER}/"))
            self._names = dict(found)
        return self._names.get(sha256 or "")

    def _documents(self) -> list[Flaw]:
        flaws: list[Flaw] = []
        for name, sums in sorted(documents(self._table).items()):
            seen = look(f"{self._folder}/{name}")
            if seen.found is Found.NOTHING:
                flaws.append(Flaw(name, MISSING))
            elif seen.found is Found.NO_FILE:
                flaws.append(Flaw(name, FOREIGN, seen.why))
            elif seen.sha256 not in sums:
                content = read_regular(self._folder / name, MAX_BYTES)
                begun = SIGNATURE.startswith(content[:8]) or content[8:16] == b"\0\0\0\rIHDR"
                flaws.append(Flaw(name, TORN if begun and not whole(content) else FOREIGN))
        return flaws

    def _unknown(self) -> list[str]:
        """PNGs that nothing is known of, and other pictures of ours."""
        known = {output for (output,) in self._table.answers("SELECT output FROM images WHERE status='done'")}
        known |= set(documents(self._table))
        if self._table.one("SELECT 1 FROM images WHERE identity=1 LIMIT 1") is not None:
            known.add(SHEET_NAME)  # an earlier ledger does not say what sheet it drew
        unknown = (name for name in files_below(self._folder) if name not in known)
        # People keep photographs of other formats beside pictures: those are listed that say that they are ours.
        return [name for name in unknown if name.endswith(".png") or read_claim(self._folder / name)]


def _other_pixels(path: Path, pixels: str) -> str:
    """Why the picture at `path` has not the pixels with this sum; empty where it has.

    Where the format loses some, the sum is of the pixels before: that it can be decoded is what can be asked then.
    """
    try:
        content = read_regular(path, MAX_BYTES)
        with Image.open(io.BytesIO(content)) as picture:
            found = pixel_sha256(np.asarray(picture))
        found = pixels if lossy(content) else found
    except Exception:  # Pillow raises anything
        return "its bytes are those that were written, and cannot be decoded"
    return "" if found == pixels else "its bytes are those that were written, and its pixels are not"
