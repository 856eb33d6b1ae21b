"""Reads tensors out of a torch.save file without torch, and without running anything the file asks for.

A torch file is a zip: `NAME/data.pkl`, a pickle whose tensors point at raw storages `NAME/data/KEY`. The pickle is read
by an unpickler that knows a few names, which all do nothing but hold data; every other name is refused.
"""

import collections
import io
import math
import pickle
import pickletools
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

# A data.pkl for one tensor has 200 to 2,000 bytes.
_MAX_PICKLE = 1 << 20
_MAX_ENTRIES = 1000
# Arrays may take so many times the file's most bytes: each half float is read as a float, and its tensor is a copy.
_COPIES = 6
_STORAGES = {"FloatStorage": "F32", "HalfStorage": "F16", "BFloat16Storage": "BF16", "DoubleStorage": "F64"}
# The first trainers kept the id of the word they began with as a tensor (rinongal, InvokeAI, hlky).
_WHOLE = {"LongStorage": "<i8", "IntStorage": "<i4", "ShortStorage": "<i2", "CharStorage": "<i1", "ByteStorage": "<u1"}
_NUMPY = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}


class PickleRefused(Exception):
    """The file holds something other than plain tensors; the message says what."""


class _ParameterDict(dict[Any, Any]):
    """Stands in for torch.nn.ParameterDict, which old files hold; only its parameters are kept.

    torch 1.12 and later list its keys in `_keys`, and keep those that are no parameters beside the module's own attributes.
    """

    def __setstate__(self, state: Any) -> None:
        if isinstance(state, dict):
            held: dict[Any, Any] = state
            self.update(held.get("_parameters") or {})
            self.update({key: held[key] for key in held.get("_keys") or () if key in held})


def read_torch_zip(path: Path, max_bytes: int) -> Any:
    """The object in the torch file at `path`, its tensors as numpy arrays, floats as float32; raises PickleRefused."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            # Sizes are declared in the directory, and zipfile reads no entry beyond them.
            if len(entries) > _MAX_ENTRIES or sum(entry.file_size for entry in entries) > max_bytes:
                raise PickleRefused(f"unpacks to more than {max_bytes} bytes or {_MAX_ENTRIES} entries")
            names = [entry.filename for entry in entries if entry.filename.endswith("data.pkl")]
            if len(names) != 1 or archive.getinfo(names[0]).file_size > _MAX_PICKLE:
                raise PickleRefused(f"a zip without one data.pkl of at most {_MAX_PICKLE} bytes is not a torch file")
            root = names[0].removesuffix("data.pkl")
            order = root + "byteorder"
            if order in archive.namelist() and archive.read(order).strip() != b"little":
                raise PickleRefused("saved on a big-endian machine")
            storages = {name: archive.read(name) for name in archive.namelist() if name.startswith(root + "data/")}
            pickled = archive.read(names[0])
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError) as error:
        raise PickleRefused(f"not a readable torch file ({error})") from None
    try:
        _check_memo(pickled)
        return _Unpickler(pickled, lambda key: storages[f"{root}data/{key}"], _COPIES * max_bytes).load()
    except PickleRefused:
        raise
    except Exception as error:
        # A damaged or hostile pickle can fail anywhere in the unpickler, with any exception.
        raise PickleRefused(f"its pickle cannot be read ({type(error).__name__}: {str(error)[:80]})") from None


def _check_memo(pickled: bytes) -> None:
    """Refuse a memo with gaps: Python makes room for all of it, gigabytes for one number in the pickle."""
    for code, argument, _ in pickletools.genops(pickled):
        if code.name in ("PUT", "BINPUT", "LONG_BINPUT") and int(argument or 0) > len(pickled):
            raise PickleRefused("its pickle numbers more objects than it holds")


class _Unpickler(pickle.Unpickler):
    """most: bytes of all arrays that the pickle may make of the storages; it may ask for one as often as it likes."""

    def __init__(self, data: bytes, storage: Callable[[str], bytes], most: int) -> None:
        super().__init__(io.BytesIO(data))
        self._storage, self._left = storage, most
        self._known: dict[tuple[str, str], Any] = {
            ("collections", "OrderedDict"): collections.OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2"): self._tensor,
            ("torch._utils", "_rebuild_parameter"): _parameter,
            ("torch._utils", "_rebuild_parameter_with_state"): _parameter,
            ("torch.nn.modules.container", "ParameterDict"): _ParameterDict,
            ("builtins", "set"): set,
            ("__builtin__", "set"): set,
            **{("torch", name): dtype for name, dtype in (_STORAGES | _WHOLE).items()},
        }

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        try:
            return self._known[module_name, global_name]
        except KeyError:
            raise PickleRefused(f"asks for {module_name}.{global_name}, which is not a tensor") from None

    def persistent_load(self, pid: Any, /) -> Any:
        kind, dtype, key, _location, count = pid
        if kind != "storage" or dtype not in (*_STORAGES.values(), *_WHOLE.values()):
            raise PickleRefused(f"holds a {kind!r} of {dtype!r}, which is not a tensor")
        raw = self._storage(str(key))
        values: Any = np.frombuffer(raw, dtype) if dtype in _WHOLE.values() else floats(raw, str(dtype))
        if len(values) != count:
            raise PickleRefused(f"storage {key} has {len(values)} values, {count} are promised")
        return self._within(values)

    def _tensor(self, *described: Any) -> Any:
        return self._within(_tensor(*described))

    def _within(self, array: Any) -> Any:
        self._left -= array.nbytes
        if self._left < 0:
            raise PickleRefused("its tensors take more memory than those of a concept")
        return array


def _tensor(storage: Any, offset: int, size: Any, stride: Any, *_: Any) -> Any:
    """A view of `storage` as torch describes it, checked to lie within it, copied out in row order."""
    # The pickle chooses the arguments: only a storage of ours may be strided over, or memory beside it could be read.
    if not isinstance(storage, np.ndarray) or storage.dtype.kind not in "fiu" or storage.ndim != 1:
        raise PickleRefused("a tensor without a storage of numbers")
    count = math.prod(size)
    last = offset + sum((side - 1) * step for side, step in zip(size, stride, strict=True))
    if offset < 0 or min((*size, 1)) < 1 or min((*stride, 0)) < 0 or last >= len(storage) or count > len(storage):
        raise PickleRefused(f"a tensor of shape {tuple(size)} does not fit its storage of {len(storage)} values")
    view = np.lib.stride_tricks.as_strided(
        storage[offset:], tuple(size), tuple(step * storage.itemsize for step in stride)
    )
    return view.copy()


def _parameter(data: Any, *_: Any) -> Any:
    return data


def floats(data: bytes, dtype: str) -> NDArray[np.float32]:
    """Decode little-endian floats; `dtype` is safetensors' name: F64, F32, F16 or BF16 (else KeyError)."""
    values: Any = np.frombuffer(data, _NUMPY[dtype])
    if dtype == "BF16":  # the upper half of a float32
        return (values.astype("<u4") << 16).view("<f4").astype(np.float32)
    with np.errstate(over="ignore"):  # an infinity is reported by whoever wanted numbers
        return values.astype(np.float32)
