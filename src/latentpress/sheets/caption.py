"""The words of a sheet's title, caption, panels and notes: placeholders filled from the cells that a page shows."""

from collections import Counter
from collections.abc import Mapping, Sequence
from string import Formatter

from latentpress.errors import UsageError, counted, shown
from latentpress.sheets.cells import DONE, EXCLUDED, FAILED, MISSING, WAITING, Cell, Cells, reason_of
from latentpress.sheets.grid import Grid, Key, Leaf, text_of
from latentpress.sheets.options import PLACEHOLDERS, placeholder_problem
from latentpress.sheets.spec import Sheet

# Values of an axis, and reasons of failures, that a caption lists.
_LISTED = 6


def name_of(key: str, sheet: Sheet) -> str:
    """What a sheet calls an axis or a field."""
    return sheet.names.get(key) or key.replace("_", " ")


def names_of(keys: Sequence[str], sheet: Sheet) -> str:
    """What it calls those of one side together."""
    return " / ".join(name_of(key, sheet) for key in keys)


def values_of(keys: Sequence[str], key: Key, sheet: Sheet) -> str:
    """`style: flat, loss: none`."""
    return ", ".join(f"{name_of(one, sheet)}: {text}" for one, text in zip(keys, key, strict=True))


def check_words(cells: Cells, sheet: Sheet) -> None:
    """Raise UsageError for a title or a caption with a placeholder that nothing fills."""
    known = [*cells.axes, *(cells.cells[0].labels if cells.cells else ())]
    for what, text in (("title", sheet.title), ("caption", sheet.caption)):
        if trouble := placeholder_problem(text, known):
            raise UsageError(f"the {what} {shown(text)} {trouble}")


def filled(text: str, cells: Cells, grid: Grid, leaf: Leaf, page: int, pages: int) -> str:
    """A title or a caption with its placeholders filled: of an axis the values on the page, of which some are listed."""
    shows = [cell for panel in leaf.panels for cell in panel.cells.values()]
    counts = grid.counts(leaf)
    said: Mapping[str, str] = {
        "name": cells.name,
        "pictures": f"{len(shows):,}",
        "plan": cells.plan_hash[:12],
        "date": cells.date,
        "page": str(page),
        "pages": str(pages),
        **{state: f"{counts.get(state, 0):,}" for state in (DONE, FAILED, WAITING, MISSING, EXCLUDED)},
    }
    parts: list[str] = []
    for literal, name, _, _ in Formatter().parse(text):
        parts.append(literal)
        if name is not None:
            parts.append(said[name] if name in PLACEHOLDERS else _values(shows, name))
    return "".join(parts)


def _values(shows: Sequence[Cell], key: str) -> str:
    texts = list(dict.fromkeys(text_of(cell, key) for cell in shows))
    more = f" and {len(texts) - _LISTED:,} more" if len(texts) > _LISTED + 1 else ""
    return ", ".join(texts[:_LISTED] if more else texts) + more


def notes(grid: Grid, leaf: Leaf, *, fitted: bool) -> list[str]:
    """What must be said of the places of a page without a picture, with reasons, and of pictures that keep no one scale."""
    counts = grid.counts(leaf)
    found: list[str] = []
    reasons: dict[str, int] = {}
    for panel in leaf.panels:
        for cell in panel.cells.values():
            if cell.state == FAILED:
                why = " ".join(cell.reason.split()) or "no reason is known"
                reasons[why] = reasons.get(why, 0) + 1
    for why, count in sorted(reasons.items(), key=lambda item: -item[1])[:_LISTED]:
        found.append(f"{count:,} failed: {why}")
    if len(reasons) > _LISTED:
        found.append(f"{sum(reasons.values()):,} failed in all, for {len(reasons)} reasons")
    if counts.get(WAITING):
        found.append(f"{counts[WAITING]:,} not rendered yet")
    faults = Counter(reason_of(cell) for panel in leaf.panels for cell in panel.cells.values() if cell.state == MISSING)
    found += [f"{count:,} rendered, but the {fault}" for fault, count in faults.items()]
    if counts.get(EXCLUDED):
        found.append(f"{counts[EXCLUDED]:,} not in the matrix")
    lines = ["; ".join(found) + "."] if found else []
    if fitted:
        lines.append("Pictures of different sizes are each fitted to their cells.")
    return lines


def alt_of(cells: Cells, grid: Grid, leaf: Leaf) -> str:
    """What a page shows, in a sentence."""
    sheet, counts = grid.sheet, grid.counts(leaf)
    sides = [(word, keys) for word, keys in (("rows", sheet.rows), ("columns", sheet.columns)) if keys]
    places = " and ".join(f"{names_of(keys, sheet)} in {word}" for word, keys in sides)
    of = [values_of(sheet.pages, leaf.key, sheet)] if leaf.key else []
    if sheet.panels:
        of.append(f"a panel for each {names_of(sheet.panels, sheet)}")
    left = [f"{counts[state]:,} {state}" for state in (FAILED, WAITING, MISSING) if counts.get(state)]
    return (
        f"Generated pictures of {cells.name}: {places or 'one picture'}"
        + "".join(f"; {one}" for one in of)
        + f". {counted(counts.get(DONE, 0), 'picture')}"
        + "".join(f", {one}" for one in left)
        + "."
    )
