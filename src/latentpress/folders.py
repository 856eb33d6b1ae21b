"""Puts folders under their final names, whole or not at all, and removes those that killed processes left half made.

A folder that is being made lies beside its final name as `.NAME.HEX.making`, and its maker holds a lock on it, which the
kernel frees however the maker dies: in another container, after a reboot, under another process' number. What nobody holds
and what has such a name is nobody's any more. Where a file system knows no locks, such folders are left alone.
"""

import contextlib
import fcntl
import os
import re
import secrets
import shutil
import stat
import time
from collections.abc import Generator, Iterator
from pathlib import Path

from latentpress.files import sync

_NAME = re.compile(r"\.(?P<final>.+)\.[0-9a-f]{16}\.(?P<kind>making|old)", re.DOTALL)
# Seconds after which a folder that nobody holds is nobody's: its maker takes the lock right after it has made it.
_GRACE = 10


@contextlib.contextmanager
def folder_beside(path: Path) -> Generator[Path]:
    """A new empty folder beside `path`, on the same file system; removed at the end unless it was renamed.

    What killed processes left that were making `path` is removed first.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_abandoned(path.parent, path.name)
    folder, descriptor = _claimed(path)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(descriptor)


def publish_folder(work: Path, final: Path, *, replace: bool) -> None:
    """Rename the folder `work` to `final`, on the same file system, all its bytes on disk first.

    replace: whether a folder already there goes, or stays and `work` is left as it is. Replacing takes two renames: a
    process killed between them leaves the old folder whole, under the name of `work` with .old.
    """
    for path in sorted(work.rglob("*")):
        sync(path)
    sync(work)
    try:
        _rename(work, final, replace)
    except OSError:
        if not final.exists():
            raise
        if replace:
            _rename(work, final, replace)  # another process published there between our look and our rename
    sync(final.parent)


def remove_folder(path: Path) -> bool:
    """Remove the folder `path` so that no half of it is ever under its name; False, and nothing, where it is in use."""
    with _held(path) as held:
        if not held:
            return False
        gone = _beside(path)
        path.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)
        return True


def remove_abandoned(folder: Path, name: str | None = None) -> None:
    """Remove what killed processes left in `folder` half made: to be called `name`, or whatever."""
    for path in abandoned(folder, name):
        with _held(path) as held:
            if held:
                shutil.rmtree(path, ignore_errors=True)


def abandoned(folder: Path, name: str | None = None) -> Iterator[Path]:
    """What lies in `folder` half made, to be called `name` or whatever, and nobody holds."""
    try:
        found = sorted(entry.name for entry in os.scandir(folder) if entry.is_dir(follow_symlinks=False))
    except OSError:
        return
    for one in found:
        match, path = _NAME.fullmatch(one), folder / one
        if match is None or name not in (None, match["final"]):
            continue
        if match["kind"] == "old" and not os.path.lexists(folder / match["final"]):
            continue  # the whole old folder, of a process killed just before the new one took its place
        try:
            state = path.lstat()
        except OSError:
            continue
        if state.st_uid == os.getuid() and abs(time.time() - state.st_ctime) > _GRACE:
            with _held(path) as held:
                free = held
            if free:
                yield path


def _claimed(path: Path) -> tuple[Path, int]:
    """A new folder beside `path`, and a descriptor that holds its lock while it is open."""
    while True:
        folder = _beside(path)
        folder.mkdir()
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        with contextlib.suppress(OSError):  # no locks there: then nobody removes it either
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with contextlib.suppress(FileNotFoundError):  # taken for abandoned, after it lay unlocked for a while
            if os.path.samestat(os.fstat(descriptor), folder.lstat()):
                return folder, descriptor
        os.close(descriptor)


@contextlib.contextmanager
def _held(path: Path) -> Generator[bool]:
    """Whether the lock of the folder `path` was free, and is held within."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        yield False
        return
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            free = stat.S_ISDIR(path.lstat().st_mode) and os.path.samestat(os.fstat(descriptor), path.lstat())
        except OSError:
            free = False
        yield free
    finally:
        os.close(descriptor)


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.{secrets.token_hex(8)}.making")


def _rename(work: Path, final: Path, replace: bool) -> None:
    old = work.with_suffix(".old")
    if replace and final.exists():
        final.rename(old)
    try:
        work.rename(final)
    except OSError:
        if old.exists() and not final.exists():
            old.rename(final)
        raise
    finally:
        if final.exists():
            shutil.rmtree(old, ignore_errors=True)
