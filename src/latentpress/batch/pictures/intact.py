"""Whether the file under a name is still what was written there, without reading it where the file system says so.

A file counts as unchanged while the file system says the same of it: inode, size, and when its bytes and its entry changed,
to the nanosecond. Else it is read. Bytes that change without any of these, as on a failing disk, only `verify` finds.
"""

import hashlib
import os
import stat as modes
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path

from latentpress.batch.pictures.chunks import torn
from latentpress.files import NotAFile, read_regular

# Larger than any PNG that latentpress writes: 8192 x 8192 pixels of noise, and then some.
MAX_BYTES = 1 << 30


class Found(Enum):
    """What lies under a name: nothing; what was written; that, damaged; something else; something that is no file."""

    NOTHING = auto()
    WHOLE = auto()
    TORN = auto()
    OTHER = auto()
    NO_FILE = auto()


@dataclass(frozen=True)
class Look:
    """What a look at a name found. stamp: of what lies there now, empty where nothing does; sha256: of its content, where
    it was read; why: of what is no file, what it is."""

    found: Found
    stamp: str = ""
    sha256: str | None = None
    why: str = ""


def stamp_of(state: os.stat_result) -> str:
    """What is remembered of a file that was known to be whole."""
    return f"{state.st_size} {state.st_mtime_ns} {state.st_ctime_ns} {state.st_ino}"


def look(path: str, sha256: str | None = None, size: int | None = None, stamp: str | None = None) -> Look:
    """What lies at `path`, where a file with this `sha256`, `size` and `stamp` was written, or none of ours (None).

    A link to a file counts as that file if it is what was written.
    """
    try:
        state = os.lstat(path)
    except FileNotFoundError:
        return Look(Found.NOTHING)
    except NotADirectoryError:
        file = next(above for above in reversed(Path(path).parents) if above.exists() and not above.is_dir())
        return Look(Found.NO_FILE, why=f"needs a folder where the file {file} lies")
    except OSError as error:
        return Look(Found.NO_FILE, why=f"cannot be looked at ({error.strerror})")
    now = stamp_of(state)
    if modes.S_ISREG(state.st_mode) and now == stamp and sha256 is not None:
        return Look(Found.WHOLE, now)
    try:
        content = read_regular(Path(path), MAX_BYTES)
    except OSError as error:
        return Look(Found.NO_FILE, now, why=_what(state, error))
    digest = hashlib.sha256(content).hexdigest()
    if digest == sha256:
        return Look(Found.WHOLE, now, digest)
    if modes.S_ISLNK(state.st_mode):
        return Look(Found.OTHER, now, digest)
    return Look(Found.TORN if sha256 is not None and torn(content, size) else Found.OTHER, now, digest)


def _what(state: os.stat_result, error: OSError) -> str:
    if modes.S_ISDIR(state.st_mode):
        return "is a folder"
    if modes.S_ISLNK(state.st_mode):
        return "is a link that leads to no file"
    if isinstance(error, NotAFile):
        return str(error.strerror).removeprefix("it ")
    return f"cannot be read ({error.strerror})"
