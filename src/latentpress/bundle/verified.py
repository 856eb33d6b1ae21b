"""Checks the files of a bundle, and remembers in the program's cache folder which of them had the hash they should have.

A file counts as unchanged while the file system says the same of it: device, inode, size, and when its bytes and its entry
changed, to the nanosecond. Bytes that change without any of these, as on a failing disk, only a full check finds.

A glance reads small files alone; of a large one it asks whether its size is the one it was exported with.
"""

import contextlib
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from latentpress.errors import BundleError
from latentpress.files import check_regular, write_durably

INFO_FILE = "bundle.json"
FOLDER = "verified"
# Bytes of the largest file that a glance reads; 64 MiB take a core 0.04 to 0.3 s to hash.
GLANCED = 64 << 20
# Name of a file -> its sha256 and what the file system said of it.
Verified = dict[str, list[str | int]]
_SIZE = 3  # where a stamp has it


def file_sha256(path: Path) -> str:
    """Lowercase hex sha256 of a regular file's bytes; raises OSError for what is none."""
    check_regular(path)
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def check_there(bundle: Path, name: str) -> os.stat_result:
    """What the file system says of the file `name`; raises BundleError unless it is one, within the folder `bundle`."""
    file = bundle / name
    if not file.resolve().is_relative_to(bundle.resolve()):
        raise BundleError(f"{bundle / INFO_FILE}: file {name!r} lies outside the bundle; export the bundle again")
    try:
        return check_regular(file)
    except OSError as error:
        raise _unreadable(file, str(error.strerror)) from None


def verify(
    bundle: Path, files: Mapping[str, str], sizes: Mapping[str, int], cache: Path | None, *, keep: bool = True
) -> None:
    """Hash the `files` (name -> sha256) of `bundle`, those excepted that `cache` remembers.

    sizes: bytes of each, as far as they are known; keep: whether the cache remembers the files from now on. Raises
    BundleError for a wrong one. A cache that cannot be read or written costs hashing all, and nothing else.
    """
    known = _recalled(cache, bundle) if cache else {}
    found: Verified = {}
    for name, expected in files.items():
        # Taken before the bytes are read: what is written meanwhile makes the file another one.
        found[name] = stamp(expected, check_there(bundle, name))
        if known.get(name) != found[name]:
            _check_size(bundle / name, found[name], sizes.get(name), known.get(name))
            _verify_file(bundle / name, expected)
    if cache and keep and found != known:
        remember(cache, bundle, found)


def glance(bundle: Path, files: Mapping[str, str], sizes: Mapping[str, int], cache: Path | None) -> None:
    """As `verify`, but of files larger than GLANCED their sizes alone; remembers nothing."""
    known = _recalled(cache, bundle) if cache else {}
    for name, expected in files.items():
        facts = check_there(bundle, name)
        now = stamp(expected, facts)
        if known.get(name) != now:
            _check_size(bundle / name, now, sizes.get(name), known.get(name))
            if facts.st_size <= GLANCED:
                _verify_file(bundle / name, expected)


def stamp(sha256: str, facts: os.stat_result) -> list[str | int]:
    """What is remembered of a file with this hash."""
    return [sha256, facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns]


def remember(cache: Path, bundle: Path, files: Mapping[str, list[str | int]]) -> None:
    """Remember `files` of `bundle`, and nothing else of it, where `cache` can be written."""
    data = {"bundle": str(bundle.resolve()), "files": dict(files)}
    with contextlib.suppress(OSError):
        write_durably(_memory(cache, bundle), json.dumps(data, indent=1).encode())


def forget(cache: Path, bundle: Path) -> None:
    """The next check of `bundle` hashes every file."""
    with contextlib.suppress(OSError):
        _memory(cache, bundle).unlink(missing_ok=True)


def _recalled(cache: Path, bundle: Path) -> Verified:
    try:
        data: Any = json.loads(_memory(cache, bundle).read_bytes())
        return dict(data["files"])
    except (OSError, ValueError, TypeError, KeyError):
        return {}


def _memory(cache: Path, bundle: Path) -> Path:
    return cache / FOLDER / f"{hashlib.sha256(os.fsencode(bundle.resolve())).hexdigest()[:32]}.json"


def _check_size(file: Path, now: list[str | int], exported: int | None, known: list[str | int] | None) -> None:
    """Raise BundleError where the file, whose stamp is `now`, has another size than it was exported with.

    exported: that size, where bundle.json says it; known: the stamp of the file when it was hashed, if it was.
    """
    if exported is None and known is not None and len(known) == len(now) and known[0] == now[0]:
        exported = int(known[_SIZE])
    if exported is not None and now[_SIZE] != exported:
        raise BundleError(
            f"{file}: has {now[_SIZE]} bytes, and was exported with {exported}: the file was changed or damaged; export the "
            "bundle again"
        )


def _verify_file(file: Path, expected: str) -> None:
    try:
        found = file_sha256(file)
    except OSError as error:
        raise _unreadable(file, str(error.strerror)) from None
    if found != expected:
        raise BundleError(
            f"{file}: sha256 is {found[:12]}…, {INFO_FILE} says {expected[:12]}…: the file was changed or damaged; "
            "export the bundle again"
        )


def _unreadable(file: Path, why: str) -> BundleError:
    return BundleError(f"{file}: cannot be read ({why}); export the bundle again")
