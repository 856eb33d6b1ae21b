"""The key to marks that are too small for words: each mark once, and beside it what it means."""

from collections.abc import Collection, Iterable, Mapping

from latentpress.sheets.cells import EXCLUDED, FAILED, MISSING, WAITING, Cell, reason_of
from latentpress.sheets.page import NOTE, Box, Mark, Rect
from latentpress.sheets.style import Style

# What stands in a place without a picture, in the order of the key.
MARKED = {
    FAILED: "failed",
    WAITING: "not rendered yet",
    MISSING: "file is gone",
    EXCLUDED: "not in the matrix",
}
# The side of a mark as part of a line's height, and the gap between entries in em.
_SIDE, _APART = 0.75, 1.5


def words_of(cells: Iterable[Cell | None]) -> Mapping[str, str]:
    """As MARKED, for a key to the places of `cells`, of which some files may be there and not what was rendered."""
    changed = any(cell.state == MISSING and cell.reason for cell in cells if cell is not None)
    return {**MARKED, MISSING: "file is gone or changed"} if changed else MARKED


def mark_of(cell: Cell | None) -> tuple[str, str]:
    """What stands in a place without a picture that has room for words, None where nothing is planned; and why, or ""."""
    if cell is None:
        return MARKED[EXCLUDED], ""
    if cell.state == MISSING:
        return reason_of(cell), ""
    return MARKED[cell.state], " ".join(cell.reason.split())


def key_of(
    states: Collection[str], style: Style, place: Rect, words: Mapping[str, str] = MARKED
) -> tuple[list[Box], float]:
    """The key to `states` from the top of `place`, as wide as that at most; its boxes, and the height that they take.

    words: what each means.
    """
    setter = style.label
    side = setter.line_height * _SIDE
    before = side + style.pad
    boxes: list[Box] = []
    x, y, bottom = place.x, place.y, place.y
    for state in (one for one in words if one in states):
        lines = setter.wrapped(words[state], max(place.width - before, setter.least(words[state])))
        width, height = setter.extent(lines)
        if x > place.x and x + before + width > place.right + 1e-6:
            x, y = place.x, bottom
        boxes.append(Mark(Rect(x, y + (setter.line_height - side) / 2, side, side), state, None, None))
        boxes.append(setter.placed(lines, Rect(x + before, y, width, height), NOTE, words[state]))
        x += before + width + style.em * _APART
        bottom = max(bottom, y + height)
    return boxes, bottom - place.y
