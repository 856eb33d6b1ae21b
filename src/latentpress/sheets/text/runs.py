"""A line of text as runs, each of one font and one direction: what is shaped, measured and painted as a piece."""

import unicodedata
from dataclasses import dataclass

from latentpress.sheets.text.bidi import levels, right_to_left, visual_order
from latentpress.sheets.text.fonts import Font, Fonts, clusters


@dataclass(frozen=True)
class Run:
    """`text`, in the order in which it is read. level: odd where it runs from right to left."""

    text: str
    font: Font
    level: int = 0

    @property
    def rtl(self) -> bool:
        return self.level % 2 == 1


def runs(text: str, fonts: Fonts, *, bold: bool = False, rtl: bool | None = None) -> list[Run]:
    """The runs of one line, in the order in which it is read.

    rtl: whether the whole line is written from right to left, None to tell it from the line's first letter; the lines of one
    paragraph share what `right_to_left` says of all of it. What no font has goes to the first font.
    """
    direction = right_to_left(text) if rtl is None else rtl
    row = levels(text, rtl=direction)
    found: list[Run] = []
    place = 0
    for cluster in clusters(text):
        last = found[-1] if found else None
        blank = last is not None and cluster.isspace() and not last.font.coloured and last.font.has(cluster)
        font = last.font if last is not None and blank else fonts.pick(cluster, bold=bold) or fonts.first
        level = row[place]
        if last is not None and (last.font, last.level) == (font, level):
            found[-1] = Run(last.text + cluster, font, level)
        else:
            found.append(Run(cluster, font, level))
        place += len(cluster)
    return found


def visual(line: list[Run]) -> list[Run]:
    """`line` from left to right, as it stands on paper."""
    return [line[place] for place in visual_order([run.level for run in line])]


def plain(text: str) -> str:
    """`text` as it is told from other text: composed, without blanks and marks of direction."""
    kept = (
        char for char in unicodedata.normalize("NFC", text) if not char.isspace() and unicodedata.category(char) != "Cf"
    )
    return "".join(kept)
