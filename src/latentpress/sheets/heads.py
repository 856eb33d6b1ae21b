"""The labels down and along a grid: how wide row labels are, and whether column labels are level or turned."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from latentpress.sheets.grid import Key
from latentpress.sheets.style import Style

# A column narrower than this many ems has its labels turned rather than broken within words.
_NARROW_EMS = 9
# Where the search for how long turned labels are begins, in ems.
_TURNED_EMS = 8


@dataclass(frozen=True)
class RowHeads:
    """levels: for each key of the rows the width of its column; gaps: behind each; lines: for each level the lines of each
    text; names: the lines of each axis' name."""

    levels: tuple[float, ...]
    gaps: tuple[float, ...]
    lines: tuple[Mapping[str, list[str]], ...]
    names: tuple[list[str], ...]
    width: float

    @property
    def names_height(self) -> int:
        """Lines that the names of the axes take."""
        return max(map(len, self.names), default=0)


@dataclass(frozen=True)
class ColumnHeads:
    """lines: of each column's own label; height: that they take, in mm."""

    lines: tuple[list[str], ...]
    turned: bool
    height: float


def row_heads(keys: Sequence[str], rows: Sequence[Key], names: Mapping[str, str], style: Style) -> RowHeads:
    """names: what each axis is called, "" where that is not written."""
    most = style.label_most / max(1, len(keys))
    widths: list[float] = []
    lines: list[dict[str, list[str]]] = []
    named: list[list[str]] = []
    for place, key in enumerate(keys):
        texts = list(dict.fromkeys(row[place] for row in rows))
        room = max([most, *(style.label.least(text) for text in texts)])
        broken = {text: style.label.wrapped(text, room) for text in texts}
        wide = max((style.label.extent(some)[0] for some in broken.values()), default=0.0)
        title = names[key]
        room = max(wide, min(most, style.strong.widest_word(title)), style.strong.least(title))
        named.append(style.strong.wrapped(title, room))
        widths.append(max(wide, style.strong.extent(named[-1])[0]))
        lines.append(broken)
    # Between an outer label and an inner one there is a rule.
    gaps = tuple(
        style.pad * (3 if place < len(keys) - 1 else 1) if width else 0.0 for place, width in enumerate(widths)
    )
    return RowHeads(tuple(widths), gaps, tuple(lines), tuple(named), sum(widths) + sum(gaps))


def column_heads(columns: Sequence[Key], widths: Sequence[float], style: Style) -> ColumnHeads:
    """The innermost labels of columns of these widths."""
    labels = [column[-1] if column else "" for column in columns]
    pairs = list(zip(labels, widths, strict=True))
    level = all(style.label.widest_word(label) <= width for label, width in pairs)
    roomy = all(
        width >= _NARROW_EMS * style.em and style.label.least(label) <= width for label, width in pairs if label
    )
    if level or roomy:
        lines = tuple(style.label.wrapped(label, width) for label, width in pairs)
        return ColumnHeads(lines, False, max((style.label.extent(some)[1] for some in lines), default=0.0))
    flat = [" ".join(label.split()) for label in labels]
    length = _TURNED_EMS * style.em
    while True:
        lines = tuple(style.label.wrapped(label, length) for label in flat)
        room = (max(1, int(width / style.label.line_height + 1e-9)) for width in widths)
        if all(len(some) <= most for some, most in zip(lines, room, strict=True)):
            break
        length *= 1.25
    return ColumnHeads(lines, True, max((style.label.extent(some)[0] for some in lines), default=0.0))


def groups(entries: Sequence[Key]) -> Iterator[tuple[str, int, int]]:
    """Runs of entries of one outer value: it, and their first place and the one behind the last; none of one-key entries."""
    if not entries or len(entries[0]) < 2:
        return
    first = 0
    for place in range(1, len(entries) + 1):
        if place == len(entries) or entries[place][0] != entries[first][0]:
            yield entries[first][0], first, place
            first = place
