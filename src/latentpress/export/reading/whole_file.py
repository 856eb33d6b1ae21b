"""Whether a file is there as a whole: what its header promises, or only Git LFS's pointer to it."""

import json
from pathlib import Path
from typing import Any

from latentpress.errors import CheckpointError, UsageError
from latentpress.files import MAX_JSON_BYTES, check_regular, read_regular

# A header's bytes, and the lists and maps, and the values in it: one of 10,000 tensors has 1.5 MB, 20,000 and 60,000. What
# JSON makes of as many takes less than 200 MB.
_MAX_HEADER, _MAX_NESTS, _MAX_VALUES = 32 << 20, 250_000, 1_500_000
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
        try:
            header: Any = parsed_header(stream.read(length)) if 0 < length <= min(size, _MAX_HEADER) else None
            ends = [int(entry["data_offsets"][1]) for key, entry in header.items() if key != "__metadata__"]
        except (ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError):
            raise CheckpointError(f"{file}: not a safetensors file, or cut short; download it again") from None
    expected = 8 + length + max(ends, default=0)
    if size != expected:
        raise CheckpointError(f"{file}: {size:,} bytes, its header promises {expected:,}; download it again")


def parsed_header(header: bytes) -> Any:
    """The JSON of a safetensors header; raises ValueError, or RecursionError, also for one made to fill the memory."""
    if header.count(b"{") + header.count(b"[") > _MAX_NESTS or header.count(b",") > _MAX_VALUES:
        raise ValueError("more lists, maps or values than a header has")
    return json.loads(header)


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
