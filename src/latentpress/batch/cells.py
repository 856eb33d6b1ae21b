"""The cells of an output folder's plan, for sheets, galleries and tables: from its ledger alone, which is only read.

Needs neither manifest nor bundle, and may be asked while a render goes on or of a copy that cannot be written to.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

from latentpress.batch.ledger.beside import beside
from latentpress.batch.ledger.ledger import ledger_path
from latentpress.batch.pictures.fault import fault_of
from latentpress.batch.pictures.guided import drift_of, loss_figures
from latentpress.batch.place import LEDGER
from latentpress.batch.plan.apart import axes_of
from latentpress.batch.plan.database import Database
from latentpress.batch.plan.jobs import seed_of
from latentpress.batch.plan.sheet_facts import Facts, facts_of, has_plan
from latentpress.errors import UsageError
from latentpress.sheets.cells import DONE, FAILED, MISSING, WAITING, Cell, Cells, alt_text
from latentpress.sheets.spec import Sheet

_BLOCK = 2000
_DRAFTS_KEPT = 4096


@dataclass(frozen=True)
class FolderCells:
    """What an output folder shows. sheets: those that the manifest asked for when it was rendered; manifest: its path from
    the folder, None where the ledger does not say."""

    cells: Cells
    sheets: tuple[Sheet, ...]
    manifest: str | None


def folder_cells(folder: Path | str, ledger: Path | None = None) -> FolderCells:
    """The cells of the last plan that was rendered into `folder`; ledger: the ledger itself, by default the folder's.

    Raises UsageError where there is no folder or no plan in its ledger, and as a ledger's opening does.
    """
    folder = Path(folder)
    path = ledger or ledger_path(folder)
    check_folder(folder, path)
    with beside(path) as table:
        if not has_plan(table):
            raise UsageError(f"{folder}: its ledger holds no plan; render a manifest into it first")
        return cells_of(table, folder)


def folder_sheets(folder: Path, home: Path) -> tuple[Sheet, ...]:
    """The sheets that the manifest asked for whose plan lies in the ledger in `home`. Raises as `folder_cells` does."""
    check_folder(folder, home / LEDGER)
    with beside(home / LEDGER) as table:
        facts = facts_of(table)
        return facts.sheets if facts else ()


def check_folder(folder: Path, ledger: Path) -> None:
    """Raise UsageError where there is no folder or no ledger of it."""
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder; render a manifest into it first, or name another")
    if not ledger.exists():
        raise UsageError(f"{folder}: its ledger holds no plan; render a manifest into it first")


def check_last(folder: Path, last: str | None, key: str | None) -> None:
    """Raise UsageError unless the manifest `key` is `last`, whose plan the ledger of `folder` has; None: any will do."""
    if key is not None and key != last:
        raise UsageError(
            f"{folder}: this manifest was not the last that was rendered there; render it first, which makes no picture "
            "again that is there"
        )


def cells_of(table: Database, folder: Path) -> FolderCells:
    """The same of a plan's tables beside the ledger's, as `beside` and an open ledger have them."""
    facts = facts_of(table)
    cells = list(_cells(table, folder, facts.axes if facts else ()))
    if facts is None:
        facts = Facts("", "", "", (), ())
    manifest = table.one("SELECT manifest FROM plans WHERE plan_hash=?", (facts.plan_hash,))
    axes = axes_of(facts.axes, cells)
    found = Cells(facts.name or folder.resolve().name, facts.plan_hash, axes, cells, facts.began)
    return FolderCells(found, facts.sheets, manifest[0] if manifest else None)


def _cells(table: Database, folder: Path, axes: tuple[str, ...]) -> Iterator[Cell]:
    drafts = lru_cache(_DRAFTS_KEPT)(lambda draft: _draft(table, draft))
    query = (
        "SELECT job, draft, seed, seed_label, jobs.output, jobs.job_hash, earlier, images.job_hash, status, pixel_sha256, "
        "error, seconds, guided, drift, file_sha256, file_size, stamp FROM jobs "
        f"LEFT JOIN images ON images.output=jobs.output WHERE job > ? ORDER BY job LIMIT {_BLOCK}"
    )
    after = 0
    while found := table.answers(query, (after,)):
        for row in found:
            yield _cell(row[1:], folder, drafts(row[1]), axes)
        after = found[-1][0]


@dataclass(frozen=True)
class _Draft:
    labels: Mapping[str, str]
    request: Mapping[str, Any]


def _draft(table: Database, draft: int) -> _Draft:
    labels, request = table.one("SELECT labels, request FROM drafts WHERE draft=?", (draft,))
    return _Draft(json.loads(labels), json.loads(request))


def _cell(row: Any, folder: Path, draft: _Draft, axes: tuple[str, ...]) -> Cell:
    _, column, seed_label, output, job_hash, earlier, drawn, status, pixels, error, seconds, guided, drift, *written = (
        row
    )
    seed = seed_of(column)
    labels = {key: str(text) for key, text in draft.labels.items()}
    labels["seed"] = str(seed) if seed_label is None else seed_label
    state = _state(status, drawn in (job_hash, *(earlier or "").split()))
    reason = error or "" if state == FAILED else ""
    if state == DONE and (fault := fault_of(folder / output, pixels, *written)) is not None:
        state, reason = MISSING, fault
    request = draft.request
    return Cell(
        labels=labels,
        state=state,
        output=PurePosixPath(output),
        width=request["width"],
        height=request["height"],
        prompt=request["prompt"],
        negative_prompt=request.get("negative_prompt") or "",
        seed=seed,
        job_hash=drawn if state == DONE else job_hash,
        pixel_sha256=(pixels or "") if state == DONE else "",
        seconds=seconds or 0.0 if state in (DONE, FAILED) else 0.0,
        reason=reason,
        figures=loss_figures(json.loads(guided), drift_of(drift, pixels)) if guided and state == DONE else {},
        alt=alt_text(request["prompt"], seed, {axis: labels.get(axis, "") for axis in axes}, state, reason),
    )


def _state(status: str | None, same: bool) -> str:
    """What the ledger says of a picture; one of another job that has the name is none of this job's."""
    return {"done": DONE, "failed": FAILED}.get(status or "", WAITING) if same else WAITING
