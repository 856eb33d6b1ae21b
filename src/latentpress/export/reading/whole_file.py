"""Whether a file is there as a whole: what its header promises, or only Git LFS's pointer to it."""

import json
from pathlib import Path
from typing import Any

from latentpress.errors import CheckpointError, UsageError
from latentpress.files import MAX_JSON_BYTES, check_regular, read_regular

_POINTER = b"version https://git-lfs.github.com/spec/"


def refuse_pointer(path: Path, error: type[UsageError]) -> None:
    """Raise `error` if the file at `path` is a Git LFS pointer: three lines of text that stand for the file.

    A file that is missing or cannot be read is left to whoever reads it.
    """
    try:
        check_regular(path)
        with path.open("rb") as stream:
            start = stream.read(len(_POINTER))
    except OSError:
        return
    if start == _POINTER:
        raise error(
            f"{path}: a Git LFS pointer, not the file itself; run `git lfs pull` in its repository, or download the file"
        )


def check_safetensors(file: Path) -> None:
    """Compare the file's length with what its header promises; raises CheckpointError."""
    refuse_pointer(file, CheckpointError)
    size = file.stat().st_size
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        # 100 MB is the format's own limit for a header.
        try:
            header: Any = json.loads(stream.read(length)) if 0 < length <= min(size, 100_000_000) else None
            ends = [int(entry["data_offsets"][1]) for key, entry in header.items() if key != "__metadata__"]
        except (ValueError, TypeError, KeyError, AttributeError, IndexError):
            raise CheckpointError(f"{file}: not a safetensors file, or cut short; download it again") from None
    expected = 8 + length + max(ends, default=0)
    if size != expected:
        raise CheckpointError(f"{file}: {size} bytes, its header promises {expected}; download it again")


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in the file at `path`; raises CheckpointError."""
    refuse_pointer(path, CheckpointError)
    try:
        value: Any = json.loads(read_regular(path, MAX_JSON_BYTES))
    except OSError as error:
        raise CheckpointError(
            f"{path}: cannot be read ({error.strerror}); give a checkpoint in the diffusers folder layout"
        ) from None
    except ValueError as error:
        raise CheckpointError(f"{path}: not JSON ({error}); download it again") from None
    if not isinstance(value, dict):
        raise CheckpointError(f"{path}: not a JSON object; download it again")
    return value  # pyright: ignore[reportUnknownVariableType]
