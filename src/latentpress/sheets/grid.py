"""Which cell goes where on a sheet: pages of panels of rows and columns. Knows neither millimetres nor text.

An axis that nobody gave a side to, and in which cells of one place differ, gets one: a free side, else panels. So no two
cells share a place, and every picture has its labels. Rows and columns are the same on all pages and panels, so that
nothing moves where a cell is left out.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from latentpress.choosing import like, meant
from latentpress.errors import UsageError, nearest, shown
from latentpress.sheets.cells import EXCLUDED, Cell, Cells
from latentpress.sheets.order import in_order
from latentpress.sheets.spec import Sheet

# Values along a side, one of each of its axes.
Key = tuple[str, ...]
OUTPUT = "output"
# Values that a message lists.
_LISTED = 12
# A sheet with more places than this, few of which have a cell, is one of axes that do not go together.
_MOST_PLACES, _LEAST_FILLED = 20_000, 1 / 20


@dataclass(frozen=True)
class Panel:
    """A grid of cells: (row, column) -> cell; letter: a, b, c within its page, "" of a sheet without panels."""

    key: Key
    letter: str
    cells: Mapping[tuple[Key, Key], Cell]


@dataclass(frozen=True)
class Leaf:
    """What has a page, or several, of its own."""

    key: Key
    panels: tuple[Panel, ...]


@dataclass(frozen=True)
class Grid:
    """sheet: as it was asked for, its free sides filled; rows, columns: what stands along them, in order; wrapped: whether
    columns may go on below, for nobody asked for one row."""

    sheet: Sheet
    rows: tuple[Key, ...]
    columns: tuple[Key, ...]
    leaves: tuple[Leaf, ...]
    wrapped: bool

    @property
    def cells(self) -> Iterator[Cell]:
        """Every cell that is shown."""
        for leaf in self.leaves:
            for panel in leaf.panels:
                yield from panel.cells.values()

    def counts(self, leaf: Leaf) -> dict[str, int]:
        """How many places of a leaf are in each state."""
        found: dict[str, int] = {}
        for panel in leaf.panels:
            for cell in panel.cells.values():
                found[cell.state] = found.get(cell.state, 0) + 1
            empty = len(self.rows) * len(self.columns) - len(panel.cells)
            found[EXCLUDED] = found.get(EXCLUDED, 0) + empty
        return found


def grid_of(cells: Cells, sheet: Sheet) -> Grid:
    """The grid of the cells that `sheet` chooses. Raises UsageError for an axis or a value that no cell has."""
    chosen = select(cells, sheet)
    filled = _filled(cells, chosen, sheet)
    rows, columns = _entries(chosen, filled.rows, filled), _entries(chosen, filled.columns, filled)
    leaves = tuple(_leaves(chosen, filled))
    places = len(rows) * len(columns) * sum(len(leaf.panels) for leaf in leaves)
    if places > _MOST_PLACES and len(chosen) < places * _LEAST_FILLED:
        sides = ", ".join(filled.keys)
        raise UsageError(
            f"the sheet {shown(sheet.name)} has {places:,} places for {len(chosen):,} pictures, since {sides} move "
            "together; give rows and columns axes of which most combinations are rendered"
        )
    return Grid(filled, rows, columns, leaves, wrapped=not (sheet.rows or sheet.columns or filled.rows))


def select(cells: Cells, sheet: Sheet) -> list[Cell]:
    """The cells that `sheet.only` and `sheet.order` choose, in the plan's order."""
    for key in (*sheet.keys, *sheet.order, *sheet.names):
        check_key(key, cells)
    found = list(cells.cells)
    for term in sheet.only:
        key, equals, value = term.partition("=")
        key, value = (key, value) if equals else (OUTPUT, term)
        check_key(key, cells)
        known = dict.fromkeys((text_of(cell, key) for cell in found), ())
        wanted = set(filter(like(value), known)) if key == OUTPUT else meant(known, value)
        some = [cell for cell in found if text_of(cell, key) in wanted]
        if not some:
            raise UsageError(f"--only {shown(term)} chooses no cell; {_guess(value, known)}{key} is {_listed(known)}")
        found = some
    for key, values in sheet.order.items():
        known = {text_of(cell, key) for cell in cells.cells}
        for value in values:
            if value not in known:
                raise UsageError(f"the order of {key} names {shown(value)}, which no cell has; {_among(value, known)}")
        found = [cell for cell in found if text_of(cell, key) in values]
    if not found:
        raise UsageError(f"the sheet {shown(sheet.name)} has no cell to show")
    return found


def check_key(key: str, cells: Cells) -> None:
    """Raise UsageError unless cells have a label `key`."""
    fields = [*(cells.cells[0].labels if cells.cells else ()), OUTPUT]
    known = list(dict.fromkeys([*cells.axes, *fields]))
    if key not in known:
        rest = [one for one in known if one not in cells.axes]
        axes = f"name an axis ({', '.join(cells.axes)}) or a field, " if cells.axes else "it must be "
        hint = _guess(key, known).rstrip() or f"{axes}{_listed(rest)}"
        raise UsageError(f"{shown(key)} is no axis and no field of these pictures; {hint}")


def text_of(cell: Cell, key: str) -> str:
    """What a sheet shows of a cell for an axis or a field."""
    return str(cell.output) if key == OUTPUT else cell.labels.get(key, "")


def _among(text: str, known: Iterable[str]) -> str:
    listed = sorted(known)
    return _guess(text, listed).rstrip() or f"it must be {_listed(listed)}"


def _guess(text: str, known: Iterable[str]) -> str:
    """The value that `text` was meant for, as a question with a blank behind it; "" where none is near."""
    close = nearest(text, known)
    return f"did you mean {shown(close)}? " if close else ""


def _listed(known: Iterable[str]) -> str:
    """Values, some of many."""
    texts = [shown(value) for value in known]
    more = f" and {len(texts) - _LISTED:,} more" if len(texts) > _LISTED + 1 else ""
    return ("one of " if len(texts) > 1 else "") + ", ".join(texts[:_LISTED] if more else texts) + more


def _key(cell: Cell, keys: Sequence[str]) -> Key:
    return tuple(text_of(cell, key) for key in keys)


def _filled(cells: Cells, chosen: Sequence[Cell], sheet: Sheet) -> Sheet:
    """`sheet` with sides for whatever else tells its cells apart."""
    added: list[str] = []
    while (key := _apart(cells, chosen, (*sheet.keys, *added))) is not None:
        added.append(key)
    rows, columns = sheet.rows, sheet.columns
    if not rows and not columns:
        if len(added) > 1:
            rows, columns, added = (added[0],), (added[1],), added[2:]
        else:
            columns, added = tuple(added), []
    elif added and not rows:
        rows, added = (added[0],), added[1:]
    elif added and not columns:
        columns, added = (added[0],), added[1:]
    return replace(sheet, rows=rows, columns=columns, panels=(*sheet.panels, *added))


def _apart(cells: Cells, chosen: Sequence[Cell], keys: Sequence[str]) -> str | None:
    """An axis or field in which cells differ that have the same place; None where no two share one."""
    places: dict[Key, list[Cell]] = {}
    for cell in chosen:
        places.setdefault(_key(cell, keys), []).append(cell)
    shared = [together for together in places.values() if len(together) > 1]
    if not shared:
        return None
    for key in dict.fromkeys([*cells.axes, *chosen[0].labels]):
        if key not in keys and any(len({text_of(cell, key) for cell in together}) > 1 for together in shared):
            return key
    return OUTPUT


def _entries(chosen: Sequence[Cell], keys: Sequence[str], sheet: Sheet) -> tuple[Key, ...]:
    """What stands along a side of these keys: in the order asked for, else in the plan's, the outer key first."""
    found = list(dict.fromkeys(_key(cell, keys) for cell in chosen))
    orders: list[dict[str, int]] = []
    for key in keys:
        others = [other for other in sheet.keys if other != key]
        values = sheet.order.get(key) or in_order((_key(cell, others), text_of(cell, key)) for cell in chosen)
        orders.append({value: number for number, value in enumerate(values)})
    return tuple(sorted(found, key=lambda entry: [order[value] for order, value in zip(orders, entry, strict=True)]))


def _leaves(chosen: Sequence[Cell], sheet: Sheet) -> Iterator[Leaf]:
    panels = _entries(chosen, sheet.panels, sheet)
    found: dict[Key, dict[Key, dict[tuple[Key, Key], Cell]]] = {}
    for cell in chosen:
        grid = found.setdefault(_key(cell, sheet.pages), {}).setdefault(_key(cell, sheet.panels), {})
        grid[_key(cell, sheet.rows), _key(cell, sheet.columns)] = cell
    for page in _entries(chosen, sheet.pages, sheet):
        own = [key for key in panels if key in found[page]]
        lettered = sheet.letters and len(panels) > 1
        yield Leaf(
            page,
            tuple(Panel(key, _letter(number) if lettered else "", found[page][key]) for number, key in enumerate(own)),
        )


def _letter(number: int) -> str:
    """0 -> a, 25 -> z, 26 -> aa."""
    more, last = divmod(number, 26)
    return (_letter(more - 1) if more else "") + chr(ord("a") + last)
