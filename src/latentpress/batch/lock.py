"""One process at a time renders into an output folder. The kernel frees the lock however its owner dies."""

import contextlib
import errno
import fcntl
import os
import shutil
from collections.abc import Generator
from pathlib import Path

from latentpress.errors import OutputLocked
from latentpress.files import OWN_FOLDER


class Lock:
    """A held lock. A folder that was made for it goes again, unless it is `kept`."""

    def __init__(self, folder: Path) -> None:
        own = folder / OWN_FOLDER
        self._made = [path for path in (own, *own.parents) if not path.exists()]
        own.mkdir(parents=True, exist_ok=True)

    def keep(self) -> None:
        """What lies in the folder is worth keeping from now on."""
        self._made = []

    def discard(self) -> None:
        """Remove what was made for the lock and not kept; a folder that holds something else stays."""
        for path in self._made:
            with contextlib.suppress(OSError):
                shutil.rmtree(path) if path.name == OWN_FOLDER else path.rmdir()


@contextlib.contextmanager
def locked(folder: Path) -> Generator[Lock]:
    """Hold the lock of the output folder `folder`, creating both; raises OutputLocked naming the owner's pid.

    If what runs within raises before `Lock.keep`, a folder that did not exist does not exist afterwards.
    """
    lock = Lock(folder)
    descriptor = _taken(folder)
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        try:
            yield lock
        except BaseException:
            lock.discard()
            raise
        finally:
            os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def _taken(folder: Path) -> int:
    """The descriptor of the lock file, locked."""
    path = folder / OWN_FOLDER / "lock"
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            owner = os.pread(descriptor, 32, 0).decode(errors="replace").strip() or "unknown"
            os.close(descriptor)
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                raise
            raise OutputLocked(
                f"{folder}: process {owner} renders into this folder; wait for it to end, or choose another with -o"
            ) from None
        # Another process may have discarded the file between the two calls: then this one locks nothing.
        with contextlib.suppress(OSError):
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                return descriptor
        os.close(descriptor)
