"""What was measured in lines for people: a table of means, and how far pictures are apart across each axis."""

from collections import Counter

from latentpress.errors import one_line, short
from latentpress.measures.cells import Measured
from latentpress.measures.tables import Group, columns, everything, groups
from latentpress.sheets.cells import DONE, FAILED, MISSING, WAITING, reason_of

# States of pictures without numbers, in words.
_WORDS = {FAILED: "failed", WAITING: "not rendered yet", "unreadable": "cannot be read"}
_SHORTEST = 8


def told(found: Measured) -> list[str]:
    """The lines; the first says how many pictures were measured."""
    counts = found.counts
    head = f"{one_line(str(found.folder))}: {counts['measured']:,} of {len(found.cells.cells):,} pictures measured"
    left = [f"{count:,} {_WORDS[state]}" for state, count in counts.items() if state in _WORDS]
    faults = Counter(reason_of(cell) for cell in found.cells.cells if cell.state == MISSING)
    left += [f"{count:,} {fault.removeprefix('file is ').removeprefix('file ')}" for fault, count in faults.items()]
    lines = [", ".join([head, *left])]
    lines += [f"{one_line(name)}: {why}" for name, why in unreadable(found)[:5]]
    if not counts["measured"]:
        return lines
    from rich.cells import cell_len  # of a terminal, where a CJK character takes two

    named = [("all", everything(found)), *((_name(one), one) for one in groups(found))]
    heads = ["pictures", *columns(found)]
    width = max(cell_len(name) for name, _ in named)
    lines += ["", f"{'':<{width}}  " + "  ".join(f"{head:>{_wide(head)}}" for head in heads)]
    for name, group in named:
        numbers = [str(group.pictures), *map(_number, group.means.values())]
        row = "  ".join(f"{text:>{_wide(head)}}" for head, text in zip(heads, numbers, strict=True))
        lines.append(f"{name}{' ' * (width - cell_len(name))}  {row}")
    for name, group in named:
        for axis, apart in group.apart.items():
            where = "" if group is named[0][1] else f", {name}"
            lines.append(
                f"apart across {one_line(axis)}{where}: pixels {apart['pixels']:.3f}, structure {apart['structure']:.3f}, "
                f"mean of {apart['pairs']} pairs"
            )
    if found.against:
        lines.append(_beside(found))
    return lines


def unreadable(found: Measured) -> list[tuple[str, str]]:
    """(file, why) of each file that is there and is not a picture that was rendered."""
    return [
        (str(cell.output), f"cannot be read ({one.why})" if one.why else cell.reason)
        for cell, one in zip(found.cells.cells, found.numbers, strict=True)
        if (one.why and cell.state == DONE) or (cell.state == MISSING and cell.reason)
    ]


def _beside(found: Measured) -> str:
    """How many pictures were compared, and what came of those without dB."""
    said = [one.against.compared for one in found.numbers if one.against is not None and one.values is not None]
    kinds = {kind: said.count(kind) for kind in dict.fromkeys(said)}
    named = " and ".join(f"{axis}={text}" for axis, text in found.against.items())
    words = {
        "unequal": "differ",
        "equal": "are equal",
        "other size": "have another size",
        "itself": "are it",
        "nothing there": "have none",
    }
    return f"against {one_line(named)}: " + ", ".join(f"{count:,} {words[kind]}" for kind, count in kinds.items())


def _name(group: Group) -> str:
    return one_line(short(", ".join(f"{axis}={text}" for axis, text in group.labels.items())))


def _wide(head: str) -> int:
    return max(len(head), _SHORTEST)


def _number(value: float | None) -> str:
    """Three decimals of small numbers, one of large ones."""
    return "-" if value is None else f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"
