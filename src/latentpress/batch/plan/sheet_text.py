"""What is to be said of the text of a plan's sheets before anything is rendered: characters that no font here has.

Reads the plan's table; fonts are looked at only where a label is not ASCII.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from latentpress.batch.plan.database import Database
from latentpress.errors import UsageError, one_line
from latentpress.sheets.spec import Sheet

# A sheet shows no more places; the drafts of a larger plan are not read for what none can show.
_MOST = 20_000
_LISTED = 12


def text_warnings(table: Database, sheets: Sequence[Sheet], axes: Sequence[str], manifest: Path) -> list[str]:
    """A warning for each sheet whose labels, title or caption has characters that none of its fonts has."""
    return [f"{manifest}: warning: {what}" for sheet in sheets if (what := _said(table, sheet, axes))]


def _said(table: Database, sheet: Sheet, axes: Sequence[str]) -> str:
    text = "".join(_texts(table, sheet, axes))
    if text.isascii() and sheet.font is None:
        return ""
    from latentpress.sheets.text.fonts import fonts_of

    try:
        lost = fonts_of(sheet.font).missing(text)
    except UsageError as error:
        return f"the sheet {sheet.name} cannot be drawn here: {error}"
    if not lost:
        return ""
    shown = ", ".join(f"{one_line(char)} (U+{ord(char):04X})" for char in lost[:_LISTED])
    more = f" and {len(lost) - _LISTED} more" if len(lost) > _LISTED else ""
    return (
        f"no font here has {shown}{more}, which the sheet {sheet.name} shows; install a font that has it, "
        "or name one as the sheet's `font`"
    )


def _texts(table: Database, sheet: Sheet, axes: Sequence[str]) -> Iterator[str]:
    """Every text that the sheet may show, some of them more than once."""
    yield from (sheet.title, sheet.caption, *sheet.names.values())
    for key in dict.fromkeys([*sheet.rows, *sheet.columns, *sheet.pages, *sheet.panels, *axes]):
        path = f'$."{key}"'
        found = table.answers("SELECT DISTINCT json_extract(labels, ?) FROM drafts WHERE draft <= ?", (path, _MOST))
        yield from (str(text) for (text,) in found if text is not None)
    for (text,) in table.answers("SELECT DISTINCT seed_label FROM jobs WHERE job <= ?", (_MOST,)):
        yield text or ""
