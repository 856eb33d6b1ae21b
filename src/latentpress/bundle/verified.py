"""Remembers, in the program's cache folder, which files of which bundles were found to have the hashes they should have.

A file counts as unchanged while the file system says the same of it: device, inode, size, and when its bytes and its entry
changed, to the nanosecond. Bytes that change without any of these, as on a failing disk, only a full check finds.
"""

import contextlib
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from latentpress.files import write_durably

FOLDER = "verified"
# Name of a file -> its sha256 and what the file system said of it.
Verified = dict[str, list[str | int]]


def stamp(sha256: str, facts: os.stat_result) -> list[str | int]:
    """What is remembered of a file with this hash."""
    return [sha256, facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns]


def recalled(cache: Path, bundle: Path) -> Verified:
    """What is remembered of the files of `bundle`; nothing where that cannot be read."""
    try:
        data: Any = json.loads(_file(cache, bundle).read_bytes())
        return dict(data["files"])
    except (OSError, ValueError, TypeError, KeyError):
        return {}


def remember(cache: Path, bundle: Path, files: Mapping[str, list[str | int]]) -> None:
    """Remember `files` of `bundle`, and nothing else of it. A cache that cannot be written costs hashing them again."""
    data = {"bundle": str(bundle.resolve()), "files": dict(files)}
    with contextlib.suppress(OSError):
        write_durably(_file(cache, bundle), json.dumps(data, indent=1).encode())


def forget(cache: Path, bundle: Path) -> None:
    """The next check of `bundle` hashes every file."""
    with contextlib.suppress(OSError):
        _file(cache, bundle).unlink(missing_ok=True)


def _file(cache: Path, bundle: Path) -> Path:
    return cache / FOLDER / f"{hashlib.sha256(os.fsencode(bundle.resolve())).hexdigest()[:32]}.json"
