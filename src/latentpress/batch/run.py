"""Renders a plan: the program's table of contents. What a picture needs is the renderer's business."""

import hashlib
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from latentpress.batch.job import Job
from latentpress.batch.ledger import Ledger, Row
from latentpress.batch.metadata import text_chunks
from latentpress.batch.plan import Plan
from latentpress.batch.progress import Progress, showing
from latentpress.batch.status import is_done
from latentpress.batch.write import pixel_sha256, png_bytes, remove_leftovers, write_durably
from latentpress.runtime.request import RenderRequest

# Finished pictures that may wait for the disk: enough to hide an fsync, few enough to bound memory.
QUEUE = 16

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
        _Writer(plan, renderer, folder, ledger) as writer,
    ):
        copied = _copy_twins(plan, pending, rows, writer, progress)
        requests = [
            (key, twins[0].request) for key, twins in plan.groups.items() if any(t.index in pending for t in twins)
        ]
        for rendered in renderer.render(requests) if requests else ():
            twins = [job for job in plan.groups[rendered.key] if job.index in pending]
            writer.put(twins, rendered.image, rendered.error, rendered.seconds)
            progress.advance(twins, rendered.error)
            done, failed = (done, failed + len(twins)) if rendered.image is None else (done + len(twins), failed)
    return Summary(done + copied, len(plan.jobs) - done - copied - failed, failed)


def _copy_twins(plan: Plan, pending: set[int], rows: Mapping[str, Row], writer: "_Writer", progress: Progress) -> int:
    """Copy, rather than render again, each pending job whose identical twin is done; take them out of `pending`."""
    copied = 0
    for twins in plan.groups.values():
        waiting = [job for job in twins if job.index in pending]
        source = next((job for job in twins if job.index not in pending), None)
        if waiting and source and writer.copy(waiting, rows[str(source.output)]):
            pending.difference_update(job.index for job in waiting)
            progress.advance(waiting, None)
            copied += len(waiting)
    return copied


class _Writer:
    """Encodes and writes in one thread of its own: image durable, then ledger row, for each job in turn."""

    def __init__(self, plan: Plan, renderer: RendererLike, folder: Path, ledger: Ledger) -> None:
        self.plan, self.renderer, self.folder, self.ledger = plan, renderer, folder, ledger
        self.pool = ThreadPoolExecutor(1, "writer")
        self.queue: deque[Future[None]] = deque()

    def __enter__(self) -> "_Writer":
        return self

    def __exit__(self, kind: type[BaseException] | None, *exc: object) -> None:
        self.pool.shutdown(wait=True)  # also when interrupted: what is finished is worth its fsync
        while self.queue and kind is None:
            self.queue.popleft().result()

    def put(self, jobs: list[Job], image: NDArray[np.uint8] | None, error: str | None, seconds: float) -> None:
        """Queue a rendered picture for all of `jobs`; waits while the queue is full, raises what a write raised."""
        self.queue.append(self.pool.submit(self._record, jobs, image, error, seconds))
        while self.queue and (len(self.queue) > QUEUE or self.queue[0].done()):
            self.queue.popleft().result()

    def copy(self, jobs: list[Job], row: Row) -> bool:
        """Write the finished image of `row` for its twins `jobs`, unless its file is no longer what was written."""
        content = (self.folder / row.output).read_bytes()
        if hashlib.sha256(content).hexdigest() != row.file_sha256 or row.pixel_sha256 is None:
            return False
        self._write(jobs, content, row.pixel_sha256, 0.0)
        return True

    def _record(self, jobs: list[Job], image: NDArray[np.uint8] | None, error: str | None, seconds: float) -> None:
        if image is None:
            for job in jobs:
                reason = error or "no picture came out"
                facts = {"batch_rows": self.renderer.batch_rows, "provider": self.renderer.provider}
                self.ledger.failed(job, self.plan, reason, seconds=seconds, **facts)  # pyright: ignore[reportArgumentType]
            return
        content = png_bytes(image, text_chunks(jobs[0], self.plan.bundle))
        self._write(jobs, content, pixel_sha256(image), seconds)

    def _write(self, jobs: list[Job], content: bytes, pixels: str, seconds: float) -> None:
        for job in jobs:
            write_durably(self.folder / job.output, content, self.folder)
            self.ledger.done(
                job,
                self.plan,
                pixel_sha256=pixels,
                file_sha256=hashlib.sha256(content).hexdigest(),
                file_size=len(content),
                seconds=seconds,
                batch_rows=self.renderer.batch_rows,
                provider=self.renderer.provider,
            )
