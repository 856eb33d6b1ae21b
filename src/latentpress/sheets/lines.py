"""Text broken into lines that fit a width, and lines given their places. Nothing is ever cut off but what says so."""

from collections.abc import Sequence

import regex

from latentpress.sheets.page import CENTER, LEFT, RIGHT, Line, Measure, Rect, Text

# Behind these a line may break within a word.
_JOINTS = "-/_.,;:|+=)"
# Scripts written without blanks, whose every character may begin a line.
_UNSPACED = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]")


class Typesetter:
    """Breaks and places text of one size."""

    def __init__(self, measure: Measure, size: float, *, bold: bool = False) -> None:
        self._measure, self.size, self.bold = measure, size, bold
        self.line_height = measure.line_height(size, bold=bold)
        self._ascent = measure.ascent(size, bold=bold)

    def width(self, text: str) -> float:
        """The width of one line, in mm."""
        return self._measure.width(text, self.size, bold=self.bold)

    def widest_word(self, text: str) -> float:
        """The width of the widest piece of `text` that lines would rather not break."""
        words = self._measure.shown(text).split()
        return max((self.width(piece.strip()) for word in words for piece in _pieces(word)), default=0.0)

    def least(self, text: str) -> float:
        """The width of the widest single character: nothing narrower can hold `text`."""
        seen = self._measure.shown(text)
        return max((self.width(one) for one in set(regex.findall(r"\X", seen)) if not one.isspace()), default=0.0)

    def wrapped(self, text: str, width: float) -> list[str]:
        """`text` in lines of at most `width` mm: broken at its own line breaks, at blanks, else within words."""
        lines: list[str] = []
        for paragraph in text.splitlines():
            lines += self._wrapped(self._measure.shown(paragraph), width)
        return lines

    def _wrapped(self, paragraph: str, width: float) -> list[str]:
        lines: list[str] = []
        line = ""
        for word in paragraph.split():
            joined = f"{line} {word}" if line else word
            if self.width(joined) <= width:
                line = joined
                continue
            if line:
                lines.append(line)
            *whole, line = [word] if self.width(word) <= width else self._broken(word, width)
            lines += whole
        return [*lines, line] if line else lines

    def _broken(self, word: str, width: float) -> list[str]:
        """A word too wide for one line, in pieces: at joints where it has them, else between characters."""
        lines: list[str] = []
        line = ""
        for piece in _pieces(word):
            if self.width(line + piece) <= width:
                line += piece
                continue
            if line:
                lines.append(line)
            line = ""
            for character in regex.findall(r"\X", piece) if self.width(piece) > width else [piece]:
                if line and self.width(line + character) > width:
                    lines.append(line)
                    line = ""
                line += character
        return [*lines, line]

    def extent(self, lines: Sequence[str]) -> tuple[float, float]:
        """How wide and how high lines are."""
        return max(map(self.width, lines), default=0.0), len(lines) * self.line_height

    def placed(self, lines: Sequence[str], rect: Rect, role: str, whole: str, align: str = LEFT) -> Text:
        """Lines from the top of `rect` down; what is wider than it goes on to the right."""
        placed: list[Line] = []
        for number, line in enumerate(map(self._measure.shown, lines)):
            width = self.width(line)
            aside = {LEFT: 0.0, CENTER: (rect.width - width) / 2, RIGHT: rect.width - width}[align]
            y = rect.y + number * self.line_height + self._ascent
            placed.append(Line(line, rect.x + aside, y, width))
        return Text(rect, tuple(placed), self.size, role, whole, align, self.bold)

    def turned(self, lines: Sequence[str], rect: Rect, role: str, whole: str) -> Text:
        """Lines written upwards from the bottom of `rect`, side by side in its middle."""
        start = rect.x + (rect.width - len(lines) * self.line_height) / 2
        placed = [
            Line(line, start + number * self.line_height + self._ascent, rect.bottom, self.width(line))
            for number, line in enumerate(map(self._measure.shown, lines))
        ]
        return Text(rect, tuple(placed), self.size, role, whole, LEFT, self.bold, turned=True)

    def shortened(self, lines: Sequence[str], width: float, height: float) -> list[str]:
        """As many of `lines` as fit `height`, the last with an ellipsis where some do not; none where none fits."""
        room = int((height + 1e-9) / self.line_height)
        if len(lines) <= room:
            return list(lines)
        if room < 1:
            return []
        characters = regex.findall(r"\X", lines[room - 1])
        while characters and self.width("".join(characters) + "…") > width:
            characters.pop()
        return [*lines[: room - 1], "".join(characters) + "…"]


def _pieces(word: str) -> list[str]:
    """`word` at the places where it is best broken."""
    found: list[str] = []
    piece = ""
    for character in regex.findall(r"\X", word):
        if _UNSPACED.match(character) and piece:
            found.append(piece)
            piece = ""
        piece += character
        if character in _JOINTS and len(piece) > 1:
            found.append(piece)
            piece = ""
    return [*found, piece] if piece else found
