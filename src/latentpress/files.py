"""Puts bytes under a final name, whole or not at all: temp file, fsync, rename, fsync folder. Also encodes PNGs."""

import hashlib
import io
import os
import secrets
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

OWN_FOLDER = ".latentpress"
TEMP_PREFIX = ".latentpress-tmp-"

_MAKING = threading.Lock()


def png_bytes(image: NDArray[np.uint8], chunks: Mapping[str, str]) -> bytes:
    """`image` (H, W, 3) as a PNG with the given text chunks."""
    info = PngInfo()
    for keyword, text in chunks.items():
        # iTXt wherever Latin-1 would not do, and wherever tEXt would end early or mangle a line break.
        if text.isascii():
            info.add_text(keyword, text)
        else:
            info.add_itxt(keyword, text)
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image)).save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()


def pixel_sha256(image: NDArray[np.uint8]) -> str:
    """Lowercase hex sha256 of the image's shape and pixels."""
    digest = hashlib.sha256(f"{image.shape}".encode())
    digest.update(np.ascontiguousarray(image).tobytes())
    return digest.hexdigest()


def write_durably(path: Path, content: bytes, root: Path) -> None:
    """Write `content` to `path`, below the existing folder `root`; folders in between are made, and made durable."""
    _make_folders(path.parent, root)
    temporary = path.parent / f"{TEMP_PREFIX}{secrets.token_hex(8)}"
    # os.open, not tempfile: the file gets the mode the umask asks for.
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def remove_leftovers(folders: Iterable[Path]) -> None:
    """Remove the temp files that a killed render left in `folders`; only for the holder of the lock."""
    for folder in folders:
        for leftover in folder.glob(TEMP_PREFIX + "*"):
            leftover.unlink(missing_ok=True)


def _make_folders(folder: Path, root: Path) -> None:
    # One thread at a time: a folder that another thread has made may not be durable yet.
    with _MAKING:
        for missing in reversed([path for path in (folder, *folder.parents) if path.is_relative_to(root)]):
            if not missing.is_dir():
                missing.mkdir()
                _sync_folder(missing.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
