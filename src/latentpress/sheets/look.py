"""How places without a picture look, the same in every painter; states differ in their marks too, not in colour alone."""

from collections.abc import Sequence
from dataclasses import dataclass

from latentpress.sheets.cells import EXCLUDED, FAILED, MISSING, WAITING
from latentpress.sheets.page import Mark


@dataclass(frozen=True)
class Look:
    """fill, line: colours as hexadecimal digits; crossed: whether both diagonals are drawn. Lines are LINE points wide."""

    fill: str
    line: str
    crossed: bool = False


LINE = 0.5
LOOKS = {
    FAILED: Look("fdecea", "c0392b", crossed=True),
    WAITING: Look("f2f2f2", "a0a0a0"),
    MISSING: Look("fff6dc", "b8860b", crossed=True),
    EXCLUDED: Look("ffffff", "d0d0d0"),
}


def crossing(mark: Mark) -> Sequence[tuple[float, float, float, float]]:
    """x1, y1, x2, y2 in mm of the lines across a mark: diagonals, or their ends alone where text must stay clear."""
    rect = mark.rect
    if not LOOKS[mark.state].crossed:
        return ()
    if mark.text is None:
        return ((rect.x, rect.y, rect.right, rect.bottom), (rect.x, rect.bottom, rect.right, rect.y))
    reach = min(rect.width, rect.height) / 8
    corners = (
        (rect.x, rect.y, 1, 1),
        (rect.right, rect.y, -1, 1),
        (rect.x, rect.bottom, 1, -1),
        (rect.right, rect.bottom, -1, -1),
    )
    return [(x, y, x + across * reach, y + down * reach) for x, y, across, down in corners]
