"""Draws a folder's sheets into it: documents of the ledger, which move what is not this manifest's out of the way.

Drawn from the ledger's plan, whatever has become of its pictures; needs no bundle.
"""

import contextlib
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from latentpress.batch.aside import Aside
from latentpress.batch.cells import cells_of, check_folder, check_last
from latentpress.batch.drawings import keep_drawing, kept_drawing, origin_of
from latentpress.batch.ledger.ledger import Ledger, documents
from latentpress.batch.ledger.lock import locked
from latentpress.batch.ledger.owners import Owners
from latentpress.batch.measured import plates_of
from latentpress.batch.occupied import document_taken, refuse_document, write_document
from latentpress.batch.pictures.intact import look
from latentpress.batch.place import LEDGER
from latentpress.batch.plan.database import Database
from latentpress.batch.plan.sheet_facts import facts_of
from latentpress.errors import UsageError
from latentpress.measures.cells import Options
from latentpress.sheets.cells import EXCLUDED, STATES, Cells
from latentpress.sheets.draw import drawn
from latentpress.sheets.plate import Plate
from latentpress.sheets.spec import Sheet

# What a manifest calls what its plots are of.
_OPTIONS = Options("plots_by", "plots_against")
# Files that are named of many.
_TOLD = 8


@dataclass(frozen=True)
class SheetsDrawn:
    """paths: of every file, the first sheet's first; said: what whoever prints them should know, a sentence each; cells: the
    plan's; unchanged: those that were not drawn again, for nothing that they show has changed."""

    paths: tuple[Path, ...]
    said: tuple[str, ...]
    cells: Cells
    unchanged: tuple[Path, ...] = ()

    @property
    def told(self) -> tuple[str, ...]:
        """`said`, and which files are as they were; those are among `paths`."""
        if not self.unchanged:
            return self.said
        names = [path.name for path in self.unchanged]
        listed = ", ".join(names[:_TOLD]) + (f" and {len(names) - _TOLD:,} more" if len(names) > _TOLD else "")
        return (*self.said, f"unchanged, and not drawn again: {listed}")

    def data(self, folder: Path) -> dict[str, Any]:
        """The same as JSON data, of an output folder; docs/schemas/sheet.json."""
        same = set(self.unchanged)
        counts = Counter(cell.state for cell in self.cells.cells)
        return {
            "folder": str(folder),
            "plan_hash": self.cells.plan_hash,
            "counts": {state: counts[state] for state in STATES if state != EXCLUDED},
            "files": [
                {"file": str(path), "format": path.suffix[1:].lower(), "unchanged": path in same} for path in self.paths
            ],
            "warnings": list(self.said),
        }


def draw_sheets(
    sheets: Sequence[Sheet], folder: Path, ledger: Ledger, owners: Owners, aside: Aside, *, careful: bool = False
) -> SheetsDrawn:
    """Draw `sheets` of the plan in `ledger` into `folder`. Raises UsageError for one that cannot be drawn.

    careful: one that cannot be drawn is told of in `said`, and the others are drawn.
    """
    cells = cells_of(ledger, folder).cells
    paths: list[Path] = []
    unchanged: list[Path] = []
    said: list[str] = []
    for sheet in sheets:
        origin = origin_of(cells, sheet, folder)
        known = kept_drawing(ledger, sheet, origin, folder)
        if known is not None and not any(document_taken(ledger, folder, name, owners) for name in known.files):
            unchanged += [folder / name for name in known.files]
            paths += [folder / name for name in known.files]
            said += [f"warning: the sheet {sheet.name!r}: {line}" for line in known.said]
            continue
        try:
            plates, without = _plates(sheet, cells, folder, careful=careful)
            made = drawn(cells, sheet, folder, plates=plates)
        except UsageError as error:
            if not careful:
                raise
            said.append(f"warning: the sheet {sheet.name!r} is not drawn: {error}")
            continue
        for name, content in made.files.items():
            write_document(ledger, folder, name, content, owners, aside)
            paths.append(folder / name)
        _remove_stale(ledger, folder, sheet, made.files, owners)
        lines = (*without, *made.said)
        keep_drawing(ledger, sheet, origin, made.files, lines)
        said += [f"warning: the sheet {sheet.name!r}: {line}" for line in lines]
    return SheetsDrawn(tuple(paths), tuple(dict.fromkeys(said)), cells, tuple(unchanged))


def _plates(sheet: Sheet, cells: Cells, folder: Path, *, careful: bool) -> tuple[Sequence[Plate], list[str]]:
    """The pages with plots, and why there are none; careful: a sheet that can be drawn is not left out for its plots."""
    try:
        return plates_of(sheet, cells, folder, _OPTIONS), []
    except UsageError as error:
        if not careful:
            raise
        return (), [f"its plots are left out: {error}"]


def draw_folder(
    folder: Path, home: Path, sheets: Sequence[Sheet] | None, key: str | None, *, replace: bool = False
) -> SheetsDrawn:
    """Draw sheets of the folder whose lock and ledger lie in `home`, as it was last rendered.

    sheets: None for those that its manifest then asked for; key: the manifest whose plan it must be, None for any.
    Raises UsageError where there is no such plan, and OutputLocked while a render goes on.
    """
    check_folder(folder, home / LEDGER)
    with locked(folder, home), Ledger(home / LEDGER) as ledger:
        facts = facts_of(ledger)
        if facts is None:
            raise UsageError(
                f"{folder}: its ledger holds no plan, as after `latentpress rebuild`; render its manifest, which makes no "
                "picture again that is there, and draws the sheets"
            )
        known = ledger.one("SELECT manifest FROM plans WHERE plan_hash=?", (facts.plan_hash,))
        if known is None:
            raise UsageError(f"{folder}: its ledger does not say which manifest was rendered last; render it first")
        check_last(folder, known[0], key)
        wanted = facts.sheets if sheets is None else sheets
        if not wanted:
            raise UsageError(
                f"{folder}: the manifest asks for no sheet; add `sheet: {{rows: AXIS}}`, or draw a figure, e.g. "
                f"latentpress sheet {folder} --rows AXIS -o figure.png"
            )
        owners = Owners(_Recorded(facts.name, facts.plan_hash, ledger), folder, known[0] or "")
        if not replace:
            refuse_sheets(wanted, ledger, folder, owners)
        return draw_sheets(wanted, folder, ledger, owners, Aside(folder, ledger))


@dataclass(frozen=True)
class _Recorded:
    """The plan of a ledger."""

    name: str
    plan_hash: str
    table: Database


def refuse_sheets(sheets: Sequence[Sheet], table: Database, folder: Path, owners: Owners) -> None:
    """Raise UsageError where a file of a sheet would take the place of what is not this manifest's."""
    for sheet in sheets:
        for kind in sheet.formats:
            for name in [f"{sheet.name}.{kind}", *_pages_there(folder, sheet, kind)]:
                refuse_document(table, folder, name, owners)


def sheets_there(sheets: Sequence[Sheet], folder: Path) -> tuple[Path, ...] | None:
    """The files of `sheets` that are in `folder`; None where one has none of a format."""
    found: list[Path] = []
    for sheet in sheets:
        for kind in sheet.formats:
            names = [f"{sheet.name}.{kind}", *_pages_there(folder, sheet, kind)]
            there = [folder / name for name in names if (folder / name).exists()]
            if not there:
                return None
            found += there
    return tuple(found)


def is_page(name: str, sheet: Sheet, kind: str) -> bool:
    """Whether `name` is that of one of several pages of a sheet, as sheets/draw.py gives them."""
    return re.fullmatch(rf"{re.escape(sheet.name)}-page-[0-9]+\.{kind}", name, re.IGNORECASE) is not None


def _pages_there(folder: Path, sheet: Sheet, kind: str) -> list[str]:
    """The files in `folder` that are called as pages of a sheet."""
    if not folder.is_dir():
        return []
    return sorted(path.name for path in folder.iterdir() if is_page(path.name, sheet, kind))


def _remove_stale(ledger: Ledger, folder: Path, sheet: Sheet, made: Iterable[str], owners: Owners) -> None:
    """Remove files of an earlier drawing that `sheet` has no more, such as a fourth page of three; changed ones stay."""
    known, kept = documents(ledger), set(made)
    for kind in sheet.formats:
        for name in {f"{sheet.name}.{kind}", *_pages_there(folder, sheet, kind)} - kept:
            row = ledger.one("SELECT manifest FROM documents WHERE output=?", (name,))
            if row is None or owners.of_manifest(row[0]) is not None:
                continue
            if look(f"{folder}/{name}").sha256 in known[name]:
                with contextlib.suppress(FileNotFoundError):
                    (folder / name).unlink()
                ledger.run("DELETE FROM documents WHERE output=?", (name,))
