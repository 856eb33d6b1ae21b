"""What lies in the cache folder: each thing, its size, its last use, what it is for. Follows no link, opens no bundle."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from latentpress.bundle.overlay import read_overlay
from latentpress.bundle.verified import FOLDER as VERIFIED
from latentpress.bundle.verified import INFO_FILE
from latentpress.errors import BundleError
from latentpress.files import MAX_JSON_BYTES, TEMP_PREFIX, read_regular
from latentpress.folders import abandoned
from latentpress.runtime.guidance.decoder.kept import FOLDER

DERIVED = "derived"
DEMO, CONCEPTS, COPY, LEFTOVER, NOTES, OTHER = "model", "concepts", "copy", "leftover", "notes", "other"
GRADIENTS = "gradients"
# What latentpress keeps in the cache beside bundles: small, and read by name.
_NOTES = ("calibration.json", "timings.json", "loss-scales.json", VERIFIED, "content")
# Tokens that an entry's line names.
_SHOWN = 4


@dataclass(frozen=True)
class Entry:
    """kind: DEMO, a built-in bundle; CONCEPTS, a set of concepts on another bundle; COPY, one with all of its bundle, of an
    earlier version; GRADIENTS, a decoder's graphs for losses; LEFTOVER, what a killed process left; NOTES, what was measured
    and verified; OTHER, none of ours.

    bytes: what its files take; used: when it last was, in seconds since 1970; about: what it is for; base: of CONCEPTS,
    the folder of their bundle.
    """

    path: Path
    kind: str
    bytes: int
    used: float
    about: str = ""
    base: Path | None = None

    def data(self, cache: Path) -> dict[str, Any]:
        """As JSON data."""
        return {
            "name": self.path.relative_to(cache).as_posix(),
            "kind": self.kind,
            "bytes": self.bytes,
            "used": self.used,
            "about": self.about,
            "base": str(self.base) if self.base else None,
        }


def entries(cache: Path) -> list[Entry]:
    """Everything in the folder `cache`, what was used last first; nothing where there is no such folder."""
    found = [*_in(cache, top=True), *_in(cache / DERIVED, top=False), *_in(cache / FOLDER, top=False)]
    return sorted(found, key=lambda entry: (-entry.used, str(entry.path)))


def _in(folder: Path, *, top: bool) -> Iterator[Entry]:
    """What lies in the cache folder itself (top), or in that of sets of concepts."""
    if folder.is_symlink() and not top:
        yield Entry(folder, OTHER, 0, folder.lstat().st_mtime, "a link, which is not followed")
        return
    try:
        paths = sorted(folder.iterdir())
    except OSError:
        return
    half = set(abandoned(folder))
    for path in paths:
        if top and path.name in (DERIVED, FOLDER):
            continue
        try:
            entry = _entry(path, top=top, half=path in half)
        except OSError:  # it went meanwhile
            continue
        yield entry


def _entry(path: Path, *, top: bool, half: bool) -> Entry:
    state, size = path.lstat(), _size(path)
    if half or path.name.startswith(TEMP_PREFIX):
        return Entry(path, LEFTOVER, size, state.st_mtime, "left by a process that was killed")
    if path.is_symlink() or not path.is_dir():
        kind = NOTES if path.name in _NOTES and top else OTHER
        return Entry(path, kind, size, state.st_mtime, _NOTED.get(path.name, ""))
    if path.name.startswith("."):
        making = path.name.startswith(".tmp-") or path.name.endswith((".making", ".tmp"))
        return Entry(path, LEFTOVER if making else OTHER, size, _latest(path), "half made" if making else "")
    if top and path.name in _NOTES:
        return Entry(path, NOTES, size, _latest(path), _NOTED[path.name])
    if top and path.name.startswith("demo-"):
        return Entry(path, DEMO, size, state.st_mtime, "the built-in model")
    if not top and path.parent.name == FOLDER:
        return Entry(path, GRADIENTS, size, state.st_mtime, "gradients of losses through a VAE decoder")
    if not top:
        return _set(path, size, state.st_mtime)
    return Entry(path, OTHER, size, state.st_mtime)


_NOTED = {
    "calibration.json": "rows per call",
    "timings.json": "times for estimates",
    "loss-scales.json": "useful scales of losses",
    VERIFIED: "files that were found whole",
    "content": "what of earlier bundles decides pixels",
}


def _set(path: Path, size: int, used: float) -> Entry:
    try:
        overlay, damaged = read_overlay(path), ""
    except BundleError:
        overlay, damaged = None, ", damaged"
    try:
        info: Any = json.loads(read_regular(path / INFO_FILE, MAX_JSON_BYTES))
        tokens = [str(concept["token"]) for concept in info["concepts"]]
        name = str(info["name"])
    except (OSError, ValueError, KeyError, TypeError):
        return Entry(path, COPY if overlay is None else CONCEPTS, size, used, "damaged")
    listed = ", ".join(tokens[-_SHOWN:]) + (f" and {len(tokens) - _SHOWN} more" if len(tokens) > _SHOWN else "")
    if overlay is None:
        return Entry(path, COPY, size, used, f"{listed} on {name}{damaged}")
    manifest = f", for {overlay.manifest}" if overlay.manifest else ""
    return Entry(path, CONCEPTS, size, used, f"{listed} on {overlay.base}{manifest}", Path(overlay.base))


def _size(path: Path) -> int:
    if path.is_symlink() or not path.is_dir():
        return path.lstat().st_size
    walked = os.walk(path)
    return sum(Path(where, name).lstat().st_size for where, _, names in walked for name in names)


def _latest(path: Path) -> float:
    """When something in the folder was last changed."""
    return max((one.lstat().st_mtime for one in (path, *path.rglob("*"))), default=0.0)
