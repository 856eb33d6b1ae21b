"""Refuses sheets of a manifest that choose, order or compare by values which no picture of its plan has.

Reads the plan's table, and only for a sheet that names values.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from functools import partial
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
    """Add to `problems` each `only`, `order`, `plots_by` and `plots_against` of a sheet that no planned picture meets."""
    sheets = [sheet for sheet in manifest.sheets if sheet.only or sheet.order or sheet.plots_by or sheet.plots_against]
    if not sheets:
        return
    from latentpress.measures.axes import check_axis, parse_against
    from latentpress.sheets.grid import select

    found = list(_cells(table))
    cells = Cells(manifest.name, "", axes_of(axes, found), found)

    def check(sheet: Sheet, key: str, term: str, what: Callable[[], object], rule: str = "") -> bool:
        """Whether `what` raises no UsageError, which is told at the `term` of a sheet's `key`; rule: in its place."""
        try:
            what()
        except UsageError as error:
            place = manifest.sheet_places.get((sheet.name, key, term), manifest.output_place)
            problems.add(place, f"sheet {sheet.name}: {rule or str(error).removeprefix('--')}")
            return False
        return True

    for sheet in sheets:
        for term in sheet.plots_by:
            check(sheet, "plots_by", term, partial(check_axis, "plots_by", term, cells))
        for term in sheet.plots_against:
            check(sheet, "plots_against", term, partial(parse_against, [term], cells, "plots_against"))
        only = [check(sheet, "only", term, partial(select, cells, Sheet(only=(term,)))) for term in sheet.only]
        order = [
            check(sheet, "order", key, partial(select, cells, Sheet(order={key: values})))
            for key, values in sheet.order.items()
        ]
        if sheet.only and all(only) and all(order):
            terms = ", ".join([*sheet.only, *(f"the order of {key}" for key in sheet.order)])
            rule = f"no picture meets all of {terms}; leave out what is too much"
            whole = partial(select, cells, Sheet(only=sheet.only, order=sheet.order))
            check(sheet, "only", sheet.only[-1], whole, rule)


def _cells(table: Database) -> Iterator[Cell]:
    drafts = {draft: json.loads(labels) for draft, labels in table.answers("SELECT draft, labels FROM drafts")}
    for draft, seed, label, output in table.answers("SELECT draft, seed, seed_label, output FROM jobs ORDER BY job"):
        labels = {key: str(text) for key, text in drafts[draft].items()}
        labels["seed"] = str(seed_of(seed)) if label is None else label
        yield Cell(labels, WAITING, PurePosixPath(output), 0, 0)
