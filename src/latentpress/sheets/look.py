"""How places without a picture look, the same in every painter: told apart by their shape alone, small and in grey too."""

from collections.abc import Sequence
from dataclasses import dataclass

from latentpress.sheets.cells import EXCLUDED, FAILED, MISSING, WAITING
from latentpress.sheets.page import Mark

# x1, y1, x2, y2.
Stroke = tuple[float, float, float, float]


@dataclass(frozen=True)
class Look:
    """fill, line: colours as hexadecimal digits; strokes: across the place, as parts of its width and height. All lines are
    LINE points wide."""

    fill: str
    line: str
    strokes: tuple[Stroke, ...] = ()


LINE = 0.5
LOOKS = {
    FAILED: Look("fdecea", "c0392b", ((0, 0, 1, 1), (0, 1, 1, 0))),
    WAITING: Look("d9d9d9", "909090"),
    MISSING: Look("fff6dc", "b8860b", ((0, 1, 1, 0),)),
    EXCLUDED: Look("ffffff", "909090", ((0.3, 0.5, 0.7, 0.5),)),
}


def strokes(mark: Mark) -> Sequence[Stroke]:
    """The lines across a mark in mm; of diagonals the ends alone where text must stay clear."""
    rect, found = mark.rect, LOOKS[mark.state].strokes
    whole = [
        (rect.x + x1 * rect.width, rect.y + y1 * rect.height, rect.x + x2 * rect.width, rect.y + y2 * rect.height)
        for x1, y1, x2, y2 in found
    ]
    if mark.text is None:
        return whole
    reach = min(rect.width, rect.height) / 8
    ends: list[Stroke] = []
    for x1, y1, x2, y2 in (one for one in whole if one[1] != one[3]):
        across, down = (reach if x2 > x1 else -reach), (reach if y2 > y1 else -reach)
        ends += [(x1, y1, x1 + across, y1 + down), (x2, y2, x2 - across, y2 - down)]
    return ends
