"""What is slow to make, made once in a test run: the test processes share a folder, which conftest.py names."""

import contextlib
import fcntl
import hashlib
import os
import sys
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


def code_digest() -> str:
    """Of the code that makes what is kept here, and of the packages it uses: what other code made is not found."""
    import latentpress

    root = Path(latentpress.__file__).parent
    digest = hashlib.sha256(sys.version.encode())
    digest.update((root.parents[1] / "constraints.txt").read_bytes())
    for stage in ("export", "bundle", "engines", "testing"):
        for path in sorted((root / stage).rglob("*.py")):
            digest.update(path.read_bytes())
    for path in sorted(Path(__file__).parents[1].glob("conftest.py")) + sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
