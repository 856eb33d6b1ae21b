"""Renders a plan: the program's table of contents. What a picture needs is the renderer's business."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from latentpress.batch.ledger import Ledger, Row
from latentpress.batch.plan import Plan
from latentpress.batch.progress import Progress, showing
from latentpress.batch.status import is_done
from latentpress.batch.writers import Writers
from latentpress.files import remove_leftovers
from latentpress.runtime.request import RenderRequest

K_co = TypeVar("K_co", covariant=True)
K = TypeVar("K")


class RenderedLike(Protocol[K_co]):
    """A finished picture, or the error that stands in its place."""

    @property
    def key(self) -> K_co: ...
    @property
    def image(self) -> NDArray[np.uint8] | None: ...
    @property
    def error(self) -> str | None: ...
    @property
    def seconds(self) -> float: ...


class RendererLike(Protocol):
    """Renders requests in any order; `runtime.render.Renderer` is one."""

    @property
    def provider(self) -> str: ...
    @property
    def batch_rows(self) -> int: ...
    @property
    def row_rule(self) -> str: ...
    def render(self, requests: Iterable[tuple[K, RenderRequest]]) -> Iterator[RenderedLike[K]]: ...


@dataclass(frozen=True)
class Summary:
    """How many of the plan's images this run rendered, found done, and could not render."""

    done: int
    skipped: int
    failed: int


def render(plan: Plan, renderer: RendererLike, folder: Path, ledger: Ledger, progress: Progress) -> Summary:
    """Render what `plan` lacks into `folder`, whose lock the caller holds. Safe to kill and start again."""
    ledger.begin(plan)
    remove_leftovers({folder, *(folder / job.output.parent for job in plan.jobs)})
    rows = ledger.rows()
    pending = {job.index for job in plan.jobs if not is_done(job, rows.get(str(job.output)), folder)}
    done = failed = 0
    with (
        showing(progress, len(pending), skipped=len(plan.jobs) - len(pending)),
        Writers(plan, renderer, folder, ledger) as writers,
    ):
        copied = _copy_twins(plan, pending, rows, writers, progress)
        requests = [
            (key, twins[0].request) for key, twins in plan.groups.items() if any(t.index in pending for t in twins)
        ]
        for rendered in renderer.render(requests) if requests else ():
            twins = [job for job in plan.groups[rendered.key] if job.index in pending]
            writers.put(twins, rendered.image, rendered.error, rendered.seconds)
            progress.advance(twins, rendered.error)
            done, failed = (done, failed + len(twins)) if rendered.image is None else (done + len(twins), failed)
    return Summary(done + copied, len(plan.jobs) - done - copied - failed, failed)


def _copy_twins(plan: Plan, pending: set[int], rows: Mapping[str, Row], writers: Writers, progress: Progress) -> int:
    """Copy, rather than render again, each pending job whose identical twin is done; take them out of `pending`."""
    copied = 0
    for twins in plan.groups.values():
        waiting = [job for job in twins if job.index in pending]
        source = next((job for job in twins if job.index not in pending), None)
        if waiting and source and writers.copy(waiting, rows[str(source.output)]):
            pending.difference_update(job.index for job in waiting)
            progress.advance(waiting, None)
            copied += len(waiting)
    return copied
