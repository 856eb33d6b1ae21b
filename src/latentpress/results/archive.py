"""A zip of a folder: the same bytes for the same files, written as they are read, each file's sha256 in SHA256SUMS.

Nothing is compressed: pictures are already, and what a compressor gives depends on its version. Knows nothing of what the
files are.
"""

import hashlib
import os
import shutil
import stat
import zipfile
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from pathlib import Path

from latentpress.errors import UsageError, one_line
from latentpress.files import open_regular, publishing

SUMS = "SHA256SUMS"
_BLOCK = 1 << 20
# The earliest moment that a zip can say.
_MOMENT = (1980, 1, 1, 0, 0, 0)
_UNIX = 3


class Archive:
    """A zip that is being written, all of whose files lie in its folder `top`.

    private: texts that no file may hold, such as the path of a home.
    """

    def __init__(self, out: zipfile.ZipFile, top: str, private: Sequence[str]) -> None:
        self._out, self._top = out, top
        self._private = [text.encode(errors="surrogateescape") for text in private]
        self._sums: list[tuple[str, str]] = []

    @property
    def files(self) -> int:
        """How many there are."""
        return len(self._sums)

    def copy(self, name: str, path: Path, sha256: str | None = None) -> None:
        """Add the file at `path`; raises UsageError where its content has not that sum."""
        with open_regular(path) as stream:
            found = self.add(name, iter(lambda: stream.read(_BLOCK), b""), os.fstat(stream.fileno()).st_size)
        if sha256 not in (None, found):
            raise UsageError(f"{path}: was changed while it was packed; let nothing write there, and pack again")

    def add(self, name: str, content: Iterable[bytes], size: int = 0) -> str:
        """Add a file of these blocks, of about `size` bytes, and return its sha256; UsageError for a private text in it."""
        info = zipfile.ZipInfo(f"{self._top}/{name}", _MOMENT)
        info.create_system, info.external_attr = _UNIX, (stat.S_IFREG | 0o644) << 16
        info.file_size = size
        digest, tail = hashlib.sha256(), b""
        longest = max(map(len, self._private), default=1)
        # Of a file that may grow beyond what its head could say otherwise.
        with self._out.open(info, "w", force_zip64=size == 0 or size > 1 << 30) as stream:
            for block in content:
                stream.write(block)
                digest.update(block)
                seen = tail + block
                if said := next((text for text in self._private if text in seen), None):
                    told = one_line(said.decode(errors="replace"))
                    raise UsageError(
                        f"{name} would hold {told}, a path of this machine; write it as seen from the manifest's folder, "
                        "render again (and draw sheets again that show it), or leave the file out with --without"
                    )
                tail = seen[-longest:]
        self._sums.append((name, digest.hexdigest()))
        return digest.hexdigest()

    def add_text(self, name: str, text: str) -> None:
        """Add a text, in UTF-8."""
        content = text.encode()
        self.add(name, [content], len(content))

    def close(self) -> None:
        """Add what `sha256sum -c` reads."""
        self.add_text(SUMS, "".join(_line(*one) for one in sorted(self._sums)))


@contextmanager
def archive(path: Path, top: str, private: Sequence[str] = ()) -> Generator[Archive]:
    """A zip that comes to be at `path`, whole or not at all; FileExistsError where something else came in between."""
    with publishing(path) as temporary, zipfile.ZipFile(temporary, "x", zipfile.ZIP_STORED, allowZip64=True) as out:
        made = Archive(out, top, private)
        yield made
        made.close()


def room_for(path: Path, size: int) -> bool:
    """Whether the disk of `path` has room for `size` bytes."""
    return shutil.disk_usage(path.parent).free > size


def _line(name: str, sha256: str) -> str:
    r"""As sha256sum writes it: a name with a line's end or a backslash in escapes, and a backslash before the line."""
    escaped = name.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
    return f"{'' if escaped == name else chr(92)}{sha256}  {escaped}\n"
