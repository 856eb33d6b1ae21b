"""Text files that a manifest names, read whole: their lines with their places, and where one that is no text goes wrong."""

import re
from dataclasses import dataclass
from pathlib import Path

from latentpress.files import TooLarge, read_regular
from latentpress.manifest.names import MAX_TEXT
from latentpress.manifest.nodes import MAX_BYTES, Literal, Place

# A way out where a file is not found; another file than the manifest may have named it.
STARTS = "paths start at the folder of the file they stand in"
# Old Macs ended lines with a carriage return alone.
LINE_END = re.compile(r"\r\n|\n|\r")
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
        *above, before = LINE_END.split(content[:at].decode())
        place = Place(file, first + len(above), len(before) + 1)
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
    """The lines of the file at `path` that are not blank and no comments, the spaces around them taken off.

    Raises NotText for one that is longer than a text may be.
    """
    found: list[Line] = []
    for number, written in enumerate(LINE_END.split(text), 1):
        if (line := written.strip()) and not line.startswith("#"):
            column = len(written) - len(written.lstrip()) + 1
            found.append(_checked(Line(line, Literal(str(path), number, column)), "the line"))
    return found


def whole(path: Path, text: str) -> list[Line]:
    """The file at `path` as one text, the space around it taken off; nothing where it is blank."""
    start = Literal(str(path), 1, 1).within(text, len(text) - len(text.lstrip()))
    return [_checked(Line(text.strip(), start), "the text")] if text.strip() else []


def _checked(line: Line, what: str) -> Line:
    if len(line.text) > MAX_TEXT:
        message = f"{what} has {len(line.text):,} characters, and {MAX_TEXT:,} are the most; shorten it"
        raise NotText(line.place, message)
    return line
