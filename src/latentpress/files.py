"""Puts files under their final names, whole or not at all: written beside, synced, renamed, folder synced.

What is not yet whole lies beside its final name under a name of its own, and is removed on the way out; a killed process
leaves it there. What is read from outside must be a regular file: a pipe would be waited for, a device never ends.
Knows nothing of what is written or read.
"""

import contextlib
import errno
import os
import secrets
import stat
import threading
from collections.abc import Callable, Generator, Iterable
from pathlib import Path
from typing import BinaryIO, TypeVar

T = TypeVar("T")

OWN_FOLDER = ".latentpress"
TEMP_PREFIX = ".latentpress-tmp-"

# No JSON file of a bundle or checkpoint comes near: a vocabulary is 1 MB, a bundle.json some KB.
MAX_JSON_BYTES = 64 << 20

_MAKING = threading.Lock()
# What the fsync of a folder gives where the file system has none (some FUSE, SMB and 9p): there is nothing to wait for.
_NO_FOLDER_SYNC = (errno.EINVAL, errno.ENOTSUP)
# How a file system says that it has no hard links.
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}
_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


class NotAFile(OSError):
    """What lies at a path is no regular file; `strerror` says what it is."""


class TooLarge(OSError):
    """A file has more bytes than such a file may have; `strerror` says so."""


def check_regular(path: Path, limit: int | None = None) -> os.stat_result:
    """The state of the regular file at `path`; raises OSError where there is none, NotAFile for a pipe, a device, a folder.

    limit: bytes, TooLarge for more.
    """
    state = path.stat()
    if not stat.S_ISREG(state.st_mode):
        what = _KINDS.get(stat.S_IFMT(state.st_mode), "no file")
        raise NotAFile(errno.EINVAL, f"it is {what}, not a regular file", str(path))
    if limit is not None and state.st_size > limit:
        most = f"{limit >> 20} MiB" if limit >= 1 << 20 else f"{limit} bytes"
        raise TooLarge(errno.EFBIG, f"it has {state.st_size:,} bytes, and {most} is the limit", str(path))
    return state


def read_regular(path: Path, limit: int) -> bytes:
    """The content of the regular file at `path`, at most `limit` bytes; raises as `check_regular`, and never waits."""
    check_regular(path, limit)
    with open_regular(path) as stream:
        content = stream.read(limit + 1)
    if len(content) > limit:
        raise TooLarge(errno.EFBIG, f"it has more than {limit:,} bytes, the limit", str(path))
    return content


def open_regular(path: Path) -> BinaryIO:
    """The regular file at `path`, open for reading; raises as `check_regular`, and never waits."""
    check_regular(path)
    # Not to wait for a pipe that took the file's place just now.
    stream = os.fdopen(os.open(path, os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_NONBLOCK", 0)), "rb")
    if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
        stream.close()
        raise NotAFile(errno.EINVAL, "it is not a regular file", str(path))
    return stream


def unread(path: Path, error: OSError) -> str:
    """What is wrong with the file at `path`, which raised `error` when it was looked for, as the end of a sentence."""
    if error.errno in (errno.ENOENT, errno.ELOOP) and path.is_symlink():
        end = "which does not exist" if error.errno == errno.ENOENT else "and so on in a circle"
        return f"is a link to {str(path.readlink())!r}, {end}"
    return "does not exist" if error.errno == errno.ENOENT else f"cannot be read ({error.strerror})"


def publish(path: Path, content: bytes, root: Path | None = None) -> os.stat_result:
    """As `write_durably`, under a name that nothing has: raises FileExistsError where something does, and leaves it alone.

    Returns what the file system says of the new file. An OSError names `path`, never the temp file.
    """
    with naming(path):
        make_folders(path.parent, root)
        temporary = _written(path, content)
        try:
            uninterrupted(lambda: _claim(temporary, path))
        finally:
            _remove(temporary)
        sync(path.parent)
        return path.lstat()


def link(source: Path, path: Path, root: Path | None = None) -> os.stat_result:
    """Give the file `source` a second name, `path`, as `publish` does; raises OSError where the file system has no links."""
    with naming(path):
        make_folders(path.parent, root)
        uninterrupted(lambda: os.link(source, path, follow_symlinks=False))
        sync(path.parent)
        return path.lstat()


def move(source: Path, path: Path, root: Path | None = None) -> None:
    """Rename a file or folder to `path`, where nothing may be, durably."""
    make_folders(path.parent, root)
    uninterrupted(lambda: source.rename(path))
    sync(path.parent)
    sync(source.parent)


def write_durably(path: Path, content: bytes, root: Path | None = None) -> None:
    """Write `content` to `path`; folders in between are made, and made durable: below the existing folder `root` alone.

    An OSError names `path`, never the temp file.
    """
    with naming(path):
        make_folders(path.parent, root)
        temporary = _written(path, content)
        try:
            uninterrupted(lambda: temporary.replace(path))
        except BaseException:
            _remove(temporary)
            raise
        sync(path.parent)


@contextlib.contextmanager
def replacing(path: Path) -> Generator[Path]:
    """A name beside `path`, for what writes files itself: the file written there takes the place of `path` at the end.

    The old file's bytes are not touched: they may be linked from elsewhere.
    """
    temporary = _beside(path)
    try:
        yield temporary
        sync(temporary)
        uninterrupted(lambda: temporary.replace(path))
    finally:
        _remove(temporary)
    sync(path.parent)


@contextlib.contextmanager
def publishing(path: Path) -> Generator[Path]:
    """As `replacing`, under a name that nothing has: raises FileExistsError where something has it at the end."""
    temporary = _beside(path)
    try:
        with naming(path):
            yield temporary
            sync(temporary)
            uninterrupted(lambda: _claim(temporary, path))
    finally:
        _remove(temporary)
    sync(path.parent)


def remove_leftovers(folders: Iterable[Path]) -> None:
    """Remove the temp files that a killed process left in `folders`; only for who alone writes there."""
    for folder in filter(Path.is_dir, folders):
        with os.scandir(folder) as entries:
            leftovers = [folder / entry.name for entry in entries if entry.name.startswith(TEMP_PREFIX)]
        for leftover in leftovers:
            _remove(leftover)


def make_folders(folder: Path, root: Path | None = None) -> None:
    """Make `folder` and what it lies in, each one's entry durable; only below `root`, which exists, if given."""
    # One thread at a time: a folder that another thread has made may not be durable yet.
    with _MAKING:
        if root is not None and (folder == root or folder.parent == root) and folder.is_dir():  # as most are
            return
        inside = [
            path for path in (folder, *folder.parents) if root is None or (path != root and path.is_relative_to(root))
        ]
        for missing in reversed([path for path in inside if not path.is_dir()]):
            # Which other processes may be making too, or did when the call was interrupted.
            uninterrupted(lambda path=missing: path.mkdir(exist_ok=True))
            sync(missing.parent)


def sync(path: Path) -> None:
    """Wait until the disk has the file or folder `path`; not for a folder where the file system knows of no such thing."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if not (error.errno in _NO_FOLDER_SYNC and stat.S_ISDIR(os.fstat(descriptor).st_mode)):
            error.filename = str(path)
            raise
    finally:
        os.close(descriptor)


def folder_syncs(folder: Path) -> bool:
    """Whether the file system of `folder` knows how to sync a folder."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        return error.errno not in _NO_FOLDER_SYNC
    finally:
        os.close(descriptor)
    return True


def uninterrupted(call: Callable[[], T]) -> T:
    """What `call` returns once no signal interrupts it: Python repeats reads, writes and syncs by itself, renames not."""
    while True:
        try:
            return call()
        except InterruptedError:
            continue


@contextlib.contextmanager
def naming(path: Path) -> Generator[None]:
    """What the system refuses within is told of `path`: its own words name no file, or a temp file that nobody knows."""
    try:
        yield
    except OSError as error:
        if error.filename is None or TEMP_PREFIX in str(error.filename):
            error.filename, error.filename2 = str(path), None
        raise


def _written(path: Path, content: bytes) -> Path:
    """A file with this content beside `path`, its bytes on disk."""
    temporary = _beside(path)
    # os.open, not tempfile: the file gets the mode the umask asks for.
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
    except BaseException:
        _remove(temporary)
        raise
    return temporary


def _claim(temporary: Path, path: Path) -> None:
    """Give the file `temporary` the name `path` too, or that name alone; raises FileExistsError where it is taken."""
    try:
        os.link(temporary, path)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        # A file system without links (exFAT, some network drives): a file that comes in between is replaced.
        if os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from None
        temporary.rename(path)


def _beside(path: Path) -> Path:
    return path.with_name(f"{TEMP_PREFIX}{secrets.token_hex(8)}")


def _remove(temporary: Path) -> None:
    uninterrupted(lambda: temporary.unlink(missing_ok=True))
