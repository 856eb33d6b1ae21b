"""What is slow to make, made once in a test run: the test processes share a folder, which conftest.py names."""

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

FOLDER: Path | None = None


def kept(name: str, make: Callable[[], bytes]) -> bytes:
    """The bytes under `name`: those `make` gave the first process that asked."""
    assert FOLDER is not None
    path = FOLDER / name
    if not path.exists():
        own = path.with_name(f"{name}.{os.getpid()}")
        own.write_bytes(make())
        # A link fails where another was first; a rename would replace it.
        with contextlib.suppress(FileExistsError):
            os.link(own, path)
        own.unlink()
    return path.read_bytes()


def folder(name: str, make: Callable[[Path], object]) -> Path:
    """The folder `name`, which `make` fills in the first process that asks; the others wait for it, and only read it."""
    assert FOLDER is not None
    path = FOLDER / name
    with (FOLDER / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            own = Path(tempfile.mkdtemp(dir=FOLDER))  # it gets its name when it is whole
            make(own)
            own.rename(path)
    return path
