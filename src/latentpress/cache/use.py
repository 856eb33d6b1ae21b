"""Writing to the cache, and saying what of it is in use: a folder's time is that of its last use, and its lock says now."""

import contextlib
import errno
import fcntl
import os
import shutil
import weakref
from collections.abc import Generator
from pathlib import Path

from latentpress.cache.place import WAY_OUT
from latentpress.errors import EnvironmentFailure
from latentpress.files import make_folders

_FULL = (errno.ENOSPC, errno.EDQUOT)


@contextlib.contextmanager
def writing(cache: Path, what: str, size: int) -> Generator[None]:
    """Within, `what` of `size` bytes is written to the folder `cache`, which is made.

    Raises EnvironmentFailure, before anything is written, where there is no room or no right to; and for what the system
    refuses within.
    """
    try:
        make_folders(cache)
        if not os.access(cache, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(cache))
        if (free := shutil.disk_usage(cache).free) < size:
            raise EnvironmentFailure(
                f"{cache}: {_mib(free)} are free there, and {what} takes {_mib(size)}; free some space, or {WAY_OUT}"
            )
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise EnvironmentFailure(
                f"{cache}: there is no room for {what} ({error.strerror}); free some space, or {WAY_OUT}"
            ) from None
        place = error.filename or cache
        raise EnvironmentFailure(f"{place}: cannot be used for {what} ({error.strerror}); {WAY_OUT}") from None


def used(folder: Path, by: object) -> None:
    """Note that the folder of the cache is used now, and by `by` for as long as that lives."""
    with contextlib.suppress(OSError):  # a cache that one may only read
        os.utime(folder)
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        weakref.finalize(by, os.close, descriptor)
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)


def _mib(size: int) -> str:
    return f"{size / (1 << 20):.1f} MiB"
