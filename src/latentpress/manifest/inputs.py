"""Which files and folders a manifest was read from, so that a later command can tell whether it would read the same.

Those who read note each before they do. A file is the same while the file system says the same of it, and otherwise if its
content is. Knows nothing of what files and folders mean.
"""

import contextlib
import hashlib
import os
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path

from latentpress.files import open_regular

_BLOCK = 1 << 20
# Files that are remembered; to look at more takes as long as to read the manifest.
_MOST = 20_000
# Nanoseconds after which a file that is written again has another time, whatever file system it is on; FAT's have 2 s.
_SETTLED = 3_000_000_000

# What the file system says of a file; nothing where it is not there, or too young to go by that.
Stamp = tuple[int, ...]


@dataclass(frozen=True)
class Read:
    """What a manifest was read from: path -> sha256 and stamp; (folder, pattern, the names that matched, if it was one)."""

    files: Mapping[str, tuple[str, Stamp]]
    folders: Sequence[tuple[str, str, Sequence[str] | None]]

    def holds(self) -> bool:
        """Whether all of it is there as it was."""
        try:
            return all(listing(Path(folder), pattern) == names for folder, pattern, names in self.folders) and all(
                (stamp and stamp == _stamp(Path(path))) or _sha256(Path(path)) == sha256
                for path, (sha256, stamp) in self.files.items()
            )
        except OSError:
            return False

    def changed(self) -> list[str]:
        """The files that hold something else by now, or are gone."""
        return [path for path, (sha256, _) in self.files.items() if _now(Path(path)) != sha256]


@dataclass(eq=False)
class Inputs:
    """What is being read.

    known: whether what was noted is all; manifest: gives what came of it, which another made of that one is not.
    """

    files: dict[str, Stamp] = field(default_factory=dict[str, Stamp])
    folders: dict[tuple[str, str], Sequence[str] | None] = field(
        default_factory=dict[tuple[str, str], Sequence[str] | None]
    )
    known: bool = True
    manifest: Callable[[], object] = lambda: None

    def file(self, path: Path) -> None:
        """The content of the file at `path` is about to be read, or was for an earlier manifest and is remembered."""
        stamp = _stamp(path)
        if self.files.setdefault(str(path), stamp) != stamp or len(self.files) > _MOST:
            self.known = False

    def folder(self, path: Path, pattern: str) -> None:
        """Which files in `path` match `pattern`, or whether it is a folder, decides what is read."""
        self.folders.setdefault((str(path), pattern), listing(path, pattern))

    def read(self) -> Read | None:
        """All of it as it was read; None where a file has changed since, or not all is known."""
        young = time.time_ns() - _SETTLED
        try:
            sums = {path: _sha256(Path(path)) for path in self.files} if self.known else {}
        except OSError:
            return None
        # Looked at after that: while a file was as it was read, its content was too.
        if not self.known or any(_stamp(Path(path)) != stamp for path, stamp in self.files.items()):
            return None
        files = {path: (sums[path], stamp if max(stamp[-2:]) < young else ()) for path, stamp in self.files.items()}
        found = Read(files, [(*key, names) for key, names in self.folders.items()])
        return found if all(listing(Path(path), pattern) == names for path, pattern, names in found.folders) else None


_reading: ContextVar[Inputs | None] = ContextVar("reading", default=None)


@contextlib.contextmanager
def noting() -> Generator[Inputs]:
    """Within, what is noted goes to what is given."""
    inputs = Inputs()
    token = _reading.set(inputs)
    try:
        yield inputs
    finally:
        _reading.reset(token)


def inputs_now() -> Inputs:
    """What is being read; for those who read some of it later."""
    return _reading.get() or Inputs()


def note_file(path: Path) -> None:
    """See `Inputs.file`."""
    inputs_now().file(path)


def note_unknown() -> None:
    """Something was read that is no file here."""
    inputs_now().known = False


def listing(folder: Path, pattern: str) -> list[str] | None:
    """The names of files in `folder` that match `pattern`, in order, none for an empty one; None where it is no folder."""
    if not folder.is_dir():
        return None
    return sorted(str(file) for file in folder.glob(pattern) if file.is_file()) if pattern else []


def _now(path: Path) -> str | None:
    try:
        return _sha256(path)
    except OSError:
        return None


def _sha256(path: Path) -> str:
    content = hashlib.sha256()
    with open_regular(path) as stream:
        while block := stream.read(_BLOCK):
            content.update(block)
    return content.hexdigest()


def _stamp(path: Path) -> Stamp:
    try:
        state = os.stat(path)  # noqa: PTH116
    except OSError:
        return ()
    return state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns
