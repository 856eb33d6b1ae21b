"""The pictures that a request refers to: paths, data: URLs and ids of uploaded files, each brought to a file.

What is in no file yet lies in a temporary folder for as long as the requests are read and rendered.
"""

import base64
import binascii
import hashlib
import io
import re
import shutil
import tempfile
import weakref
from functools import cached_property
from pathlib import Path
from urllib.parse import unquote_to_bytes, urlsplit
from urllib.request import url2pathname

from latentpress.errors import short, shown
from latentpress.files import check_regular, read_regular, unread
from latentpress.manifest.nodes import ListNode, MapNode, Node, Place, Scalar, described
from latentpress.runtime.pictures.reading import MAX_PICTURE_BYTES, NotAPicture, decode_picture

_DATA = re.compile(r"data:[\w.+-]+/[\w.+-]+(?:;[\w.+=-]+)*?(?P<base64>;base64)?,", re.ASCII)
_REFERENCE = ("image_url", "file_id")


class WrongPicture(Exception):
    """A reference that leads to no picture; `place` is where it stands, the message the end of a sentence."""

    def __init__(self, place: Place, message: str) -> None:
        super().__init__(message)
        self.place = place


class Pictures:
    """The files behind references. folder: where paths start; uploads: the folder that has files by their `file_id`."""

    def __init__(self, folder: Path, uploads: Path | None) -> None:
        self._folder, self._uploads = folder, uploads

    def picture(self, node: Node) -> Path:
        """The file of the one picture at `node`. Raises WrongPicture."""
        if isinstance(node, ListNode):
            if len(node.items) != 1:
                count = len(node.items)
                raise WrongPicture(
                    node.place, f"holds {count} pictures, and a job starts from one; send one request each"
                )
            node = node.items[0]
        path = self._named(node)
        try:
            check_regular(path)
        except OSError as error:
            what = f"is {shown(str(path))}, which {unread(path, error)}; paths start at the folder of the requests"
            raise WrongPicture(node.place, what) from None
        return path

    def _named(self, node: Node) -> Path:
        if isinstance(node, MapNode):
            return self._referred(node)
        if not isinstance(node, Scalar) or node.null or isinstance(node.value, bool):
            raise WrongPicture(node.place, f"is {described(node)}; it must be a path, a data: URL or {{file_id: ...}}")
        return self._found(node)

    def mask(self, node: Node) -> Path:
        """A mask as ours are, white where the picture is to change, of one of OpenAI's, which is transparent there."""
        path = self.picture(node)
        try:
            alpha = decode_picture(read_regular(path, MAX_PICTURE_BYTES)).alpha
        except OSError as error:
            raise WrongPicture(node.place, f"leads to {path}, which cannot be read ({error.strerror})") from None
        except NotAPicture as error:
            raise WrongPicture(node.place, f"leads to no picture that can be read ({error})") from None
        if alpha is None:
            way_out = "make what is to be edited transparent, or leave the mask out to edit all of the picture"
            raise WrongPicture(node.place, f"is transparent nowhere; {way_out}")
        white = alpha.point([255] + [0] * 255)
        stream = io.BytesIO()
        white.save(stream, "PNG")
        return self._kept(stream.getvalue())

    def _referred(self, node: MapNode) -> Path:
        named = [key for key in _REFERENCE if key in node.values]
        if len(named) != 1 or len(node.values) != 1:
            raise WrongPicture(node.place, "must have one key, image_url or file_id")
        value = node.values[named[0]]
        if not isinstance(value, Scalar):
            raise WrongPicture(value.place, f"has as {named[0]} {described(value)}; it must be text")
        return self._found(value) if named[0] == "image_url" else self._uploaded(value)

    def _found(self, node: Scalar) -> Path:
        text = node.text
        if text.startswith("data:"):
            return self._decoded(node)
        parts = urlsplit(text) if re.match(r"[a-zA-Z][a-zA-Z0-9+.-]+:", text) else None
        if parts is not None and parts.scheme in ("http", "https"):
            way_out = "download it and give its path, or send it as a data: URL"
            raise WrongPicture(node.place, f"is {shown(text)}, and nothing is fetched from the network; {way_out}")
        if parts is not None and parts.scheme == "file":
            return Path(url2pathname(parts.path))
        path = self._folder / text
        return self._uploaded(node) if text.startswith("file-") and not path.exists() else path

    def _decoded(self, node: Scalar) -> Path:
        head = _DATA.match(node.text)
        if head is None:
            raise WrongPicture(node.place, f"is {shown(node.text)}; a data: URL begins like data:image/png;base64,")
        text = node.text[head.end() :]
        try:
            content = base64.b64decode(text, validate=True) if head["base64"] else unquote_to_bytes(text)
        except (binascii.Error, ValueError) as error:
            raise WrongPicture(node.place, f"is a data: URL whose base64 cannot be read ({error})") from None
        return self._kept(content)

    def _uploaded(self, node: Scalar) -> Path:
        """The file that was uploaded as `file_id`: DIR/file_id, or the one of that name with an ending."""
        name = node.text
        if self._uploads is None:
            raise WrongPicture(
                node.place,
                f"is the file_id {shown(name)}; say which folder has such files: --files DIR, or `files: DIR` beside `from`",
            )
        if not name or "/" in name or "\\" in name or name.startswith("."):
            raise WrongPicture(node.place, f"is the file_id {shown(name)}, which is no file's name")
        found = [
            path for path in [self._uploads / name, *sorted(self._uploads.glob("*"))] if name in (path.name, path.stem)
        ]
        path = next((path for path in found if path.is_file()), None)
        if path is None:
            what = f"{self._uploads / short(name)} does not exist, with or without an ending such as .png"
            raise WrongPicture(node.place, f"is the file_id {shown(name)}, and {what}")
        return path

    @cached_property
    def _temporary(self) -> Path:
        folder = tempfile.mkdtemp(prefix="latentpress-")
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        return Path(folder)

    def _kept(self, content: bytes) -> Path:
        path = self._temporary / f"{hashlib.sha256(content).hexdigest()[:16]}.png"
        if not path.exists():
            path.write_bytes(content)
        return path
