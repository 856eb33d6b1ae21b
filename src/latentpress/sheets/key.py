"""The key to marks that are too small for words: each mark once, and beside it what it means."""

from collections.abc import Collection

from latentpress.sheets.cells import EXCLUDED, FAILED, MISSING, WAITING
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


def key_of(states: Collection[str], style: Style, place: Rect) -> tuple[list[Box], float]:
    """The key to `states` from the top of `place`, as wide as that at most; its boxes, and the height that they take."""
    setter = style.label
    side = setter.line_height * _SIDE
    before = side + style.pad
    boxes: list[Box] = []
    x, y, bottom = place.x, place.y, place.y
    for state in (one for one in MARKED if one in states):
        lines = setter.wrapped(MARKED[state], max(place.width - before, setter.least(MARKED[state])))
        width, height = setter.extent(lines)
        if x > place.x and x + before + width > place.right + 1e-6:
            x, y = place.x, bottom
        boxes.append(Mark(Rect(x, y + (setter.line_height - side) / 2, side, side), state, None, None))
        boxes.append(setter.placed(lines, Rect(x + before, y, width, height), NOTE, MARKED[state]))
        x += before + width + style.em * _APART
        bottom = max(bottom, y + height)
    return boxes, bottom - place.y
