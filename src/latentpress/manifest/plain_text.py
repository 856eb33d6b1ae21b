"""Text files that a manifest names, read whole: their lines with their places, and where one that is no text goes wrong."""

from dataclasses import dataclass
from pathlib import Path

from latentpress.files import TooLarge, read_regular
from latentpress.manifest.nodes import MAX_BYTES, Literal, Place

# A way out where a file is not found; another file than the manifest may have named it.
STARTS = "paths start at the folder of the file they stand in"
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")


class NotText(Exception):
    """A file that cannot be read as text; `place` is where it goes wrong, the message a clause about it."""

    def __init__(self, place: Place, message: str) -> None:
        super().__init__(message)
        self.place = place


class Wide(NotText):
    """One that is UTF-16 from its beginning, so that no line of it can be read."""


@dataclass(frozen=True)
class Line:
    """A text and where it stands."""

    text: str
    place: Place


def decoded(content: bytes, file: str, first: int = 1) -> str:
    """The text of `content`, the lines of `file` from `first` on. Raises NotText where it is not UTF-8."""
    try:
        return content.decode("utf-8-sig" if first == 1 else "utf-8")
    except UnicodeDecodeError as error:
        if first == 1 and content.startswith(_UTF_16):
            raise Wide(Place(file, 1, 1), "the file is UTF-16; save it as UTF-8") from None
        # A byte order mark is no part of what is decoded.
        content, at = error.object, error.start
        begins = content.rfind(b"\n", 0, at) + 1
        place = Place(file, first + content.count(b"\n", 0, at), len(content[begins:at].decode()) + 1)
        raise NotText(place, f"byte 0x{content[at]:02x} is not UTF-8; save the file as UTF-8") from None


def read_text(path: Path) -> str:
    """The text of the file at `path`. Raises NotText, and OSError where it cannot be read."""
    try:
        text = decoded(read_regular(path, MAX_BYTES), str(path))
    except TooLarge:
        raise NotText(Place(str(path), 1, 1), f"the file is larger than {MAX_BYTES >> 20} MiB; split it") from None
    if (at := text.find("\0")) >= 0:
        place = Literal(str(path), 1, 1).within(text, at)
        raise NotText(place, "the file holds a NUL, which no prompt can carry; remove it")
    return text


def lines_of(path: Path, text: str) -> list[Line]:
    """The lines of the file at `path` that are not blank and no comments, the spaces around them taken off."""
    found: list[Line] = []
    for number, written in enumerate(text.split("\n"), 1):
        if (line := written.strip()) and not line.startswith("#"):
            column = len(written) - len(written.lstrip()) + 1
            found.append(Line(line, Literal(str(path), number, column)))
    return found


def whole(path: Path, text: str) -> list[Line]:
    """The file at `path` as one text, the space around it taken off; nothing where it is blank."""
    start = Literal(str(path), 1, 1).within(text, len(text) - len(text.lstrip()))
    return [Line(text.strip(), start)] if text.strip() else []
