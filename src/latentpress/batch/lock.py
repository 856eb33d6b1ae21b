"""One process at a time renders into an output folder. The kernel frees the lock however its owner dies."""

import contextlib
import errno
import fcntl
import os
from collections.abc import Generator
from pathlib import Path

from latentpress.errors import OutputLocked
from latentpress.files import OWN_FOLDER


@contextlib.contextmanager
def locked(folder: Path) -> Generator[None]:
    """Hold the lock of the output folder `folder`, creating both. Raises OutputLocked naming the owner's pid."""
    own = folder / OWN_FOLDER
    own.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(own / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                raise
            owner = os.pread(descriptor, 32, 0).decode(errors="replace").strip() or "unknown"
            raise OutputLocked(
                f"{folder}: process {owner} renders into this folder; wait for it to end, or choose another with -o"
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        try:
            yield
        finally:
            os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)
