"""Refuses sheets of a manifest that choose, order or compare by values which no picture of its plan has.

Reads the plan's table, and only for a sheet that names values.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from latentpress.batch.plan.apart import axes_of
from latentpress.batch.plan.database import Database
from latentpress.batch.plan.jobs import seed_of
from latentpress.errors import UsageError
from latentpress.manifest.manifest import Manifest
from latentpress.manifest.nodes import Problems
from latentpress.sheets.cells import WAITING, Cell, Cells
from latentpress.sheets.spec import Sheet


def check_terms(manifest: Manifest, table: Database, axes: Sequence[str], problems: Problems) -> None:
    """Add to `problems` each `only`, `order` and `plots_against` of the sheets that no planned picture meets."""
    sheets = [sheet for sheet in manifest.sheets if sheet.only or sheet.order or sheet.plots_against]
    if not sheets:
        return
    from latentpress.measures.axes import parse_against
    from latentpress.sheets.grid import select

    found = list(_cells(table))
    cells = Cells(manifest.name, "", axes_of(axes, found), found)
    for sheet in sheets:
        terms = [("only", term) for term in sheet.only] + [("order", key) for key in sheet.order]
        for key, term in [*terms, *(("plots_against", term) for term in sheet.plots_against)]:
            place = manifest.sheet_places.get((sheet.name, key, term), manifest.output_place)
            try:
                if key == "plots_against":
                    parse_against([term], cells, key)
                elif key == "order":
                    select(cells, Sheet(name=sheet.name, order={term: sheet.order[term]}))
                else:
                    select(cells, Sheet(name=sheet.name, only=(term,)))
            except UsageError as error:
                problems.add(place, f"sheet {sheet.name}: {str(error).removeprefix('--')}")


def _cells(table: Database) -> Iterator[Cell]:
    drafts = {draft: json.loads(labels) for draft, labels in table.answers("SELECT draft, labels FROM drafts")}
    for draft, seed, label, output in table.answers("SELECT draft, seed, seed_label, output FROM jobs ORDER BY job"):
        labels = {key: str(text) for key, text in drafts[draft].items()}
        labels["seed"] = str(seed_of(seed)) if label is None else label
        yield Cell(labels, WAITING, PurePosixPath(output), 0, 0)
