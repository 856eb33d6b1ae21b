"""Where the cache folder is, also for a process without a home folder. Knows nothing of what lies in it."""

import os
import tempfile
from pathlib import Path

from latentpress.errors import EnvironmentFailure

CACHE_VARIABLE = "LATENTPRESS_CACHE"
WAY_OUT = f"name another cache folder with {CACHE_VARIABLE}"
_NAME = "latentpress"


def cache_dir() -> Path:
    """$LATENTPRESS_CACHE; else latentpress in $XDG_CACHE_HOME, or in ~/.cache; else a private folder for temporary files.

    The last is for a user without a home that can be written to, as in a container that runs under a bare number.
    Raises EnvironmentFailure where that folder is another user's.
    """
    if given := os.environ.get(CACHE_VARIABLE):
        return Path(given)
    if (named := os.environ.get("XDG_CACHE_HOME", "")).startswith("/"):  # its specification has others ignored
        return Path(named) / _NAME
    try:
        usual = Path.home() / ".cache" / _NAME
    except RuntimeError:  # no HOME, and no entry for the user in the system's list
        return _temporary()
    return usual if os.access(usual, os.R_OK | os.X_OK) or _makeable(usual) else _temporary()


def _makeable(path: Path) -> bool:
    """Whether the folder `path`, which is not there, could be made in the nearest of its parents."""
    nearest = next(parent for parent in path.parents if os.path.lexists(parent) or parent == parent.parent)
    return os.access(nearest, os.W_OK | os.X_OK)


def _temporary() -> Path:
    """A folder beside other programs' temporary files, which only this user can write to."""
    path = Path(tempfile.gettempdir()) / f"{_NAME}-{os.getuid()}"
    try:
        path.mkdir(mode=0o700, exist_ok=True)
        state = path.lstat()
    except OSError as error:
        raise EnvironmentFailure(
            f"{path}: cannot be made ({error.strerror}), and there is no home folder to keep a cache in; "
            f"name a folder that can be written to with {CACHE_VARIABLE}"
        ) from None
    if state.st_uid != os.getuid() or state.st_mode & 0o022 or path.is_symlink():
        raise EnvironmentFailure(
            f"{path}: is not this user's alone, and there is no home folder to keep a cache in; "
            f"name a folder that can be written to with {CACHE_VARIABLE}"
        )
    return path
