"""One process at a time renders into an output folder. The kernel frees the lock however its owner dies."""

import contextlib
import errno
import fcntl
import os
import shutil
from collections.abc import Generator
from pathlib import Path

from latentpress.batch.ledger.holder import locked_by
from latentpress.batch.place import home_of, settle
from latentpress.errors import EnvironmentFailure, OutputLocked
from latentpress.files import OWN_FOLDER, check_regular

# What `flock` says where the file system has no locks: network drives without a lock service, some FUSE.
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EINVAL)


class Lock:
    """A held lock. A folder that was made for it goes again, unless it is `kept`."""

    def __init__(self, folder: Path, home: Path) -> None:
        self._own = folder / OWN_FOLDER, home
        places = dict.fromkeys(path for own in self._own for path in (own, *own.parents))
        self._made = [path for path in places if not path.exists()]

    def keep(self) -> None:
        """What lies in the folder is worth keeping from now on."""
        self._made = []

    def discard(self) -> None:
        """Remove what was made for the lock and not kept; a folder that holds something else stays."""
        for path in self._made:
            with contextlib.suppress(OSError):
                shutil.rmtree(path) if path in self._own else path.rmdir()


@contextlib.contextmanager
def locked(folder: Path, home: Path | None = None) -> Generator[Lock]:
    """Hold the lock of the output folder `folder`, creating both; raises OutputLocked naming the owner's pid.

    home: where lock and ledger lie, by default where the folder has them (batch/place.py). Raises EnvironmentFailure where
    files cannot be locked, NotAFile where something else lies in the lock's place.

    If what runs within raises before `Lock.keep`, a folder that did not exist does not exist afterwards.
    """
    home = home or home_of(folder)
    lock = Lock(folder, home)
    try:
        descriptor = _taken(folder, home)
    except EnvironmentFailure:
        lock.discard()
        raise
    try:
        _note(descriptor, f"{os.getpid()}\n")
        try:
            yield lock
        except BaseException:
            lock.discard()
            raise
        finally:
            _note(descriptor, "")
    finally:
        os.close(descriptor)


def read_only(folder: Path) -> bool:
    """Whether an output folder, rendered into before, lets nobody write now: on a disk mounted so, or by its permissions."""
    own = folder / OWN_FOLDER
    return own.is_dir() and not os.access(own, os.W_OK)


def _note(descriptor: int, owner: str) -> None:
    """Say in the lock file who holds it: a courtesy, which a full disk may refuse."""
    with contextlib.suppress(OSError):
        os.ftruncate(descriptor, 0)
        content, place = owner.encode(), 0
        while place < len(content):
            place += os.pwrite(descriptor, content[place:], place)


def _taken(folder: Path, home: Path) -> int:
    """The descriptor of the lock file, locked."""
    while True:
        path = settle(folder, home) / "lock"
        with contextlib.suppress(FileNotFoundError):
            check_regular(path)
        # Not through a link: it could lead to a file of the user's, and the lock file is emptied.
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            owner = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
            os.close(descriptor)
            if error.errno in _NO_LOCKS:
                raise EnvironmentFailure(
                    f"{path}: cannot be locked ({error.strerror}), and without a lock two renders would spoil each other's "
                    "work; keep lock and ledger on a local disk with --ledger DIR, or choose a folder there with -o"
                ) from None
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                error.filename = str(path)
                raise
            raise OutputLocked(locked_by(folder, int(owner) if owner.isdecimal() else None)) from None
        # Another process may have discarded the file between the two calls: then this one locks nothing.
        with contextlib.suppress(OSError):
            if os.path.samestat(os.fstat(descriptor), path.lstat()):
                return descriptor
        os.close(descriptor)
