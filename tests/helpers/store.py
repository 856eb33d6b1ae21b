"""What is slow to make, made once in a test run: the test processes share a folder, which conftest.py names."""

import contextlib
import os
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
