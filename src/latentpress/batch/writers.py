"""Encodes, writes and records finished pictures, in threads beside the rendering: nothing waits for PNG or the disk."""

import hashlib
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from latentpress.batch.job import Job
from latentpress.batch.ledger import Ledger, Row
from latentpress.batch.metadata import text_chunks
from latentpress.batch.plan import Plan
from latentpress.batch.png import pixel_sha256, png_bytes
from latentpress.files import write_durably
from latentpress.runtime.request import Origin

# Pictures encoded at once. One 512x512 picture takes a core 36 ms (1024x1024: 144 ms), so one thread could not follow a
# GPU that renders 20 to 100 of them a second.
THREADS = 4
# Finished pictures that may wait for a thread: enough to hide an fsync, few enough to bound memory.
QUEUE = 16


class Source(Protocol):
    """What the ledger wants to know of the renderer."""

    @property
    def provider(self) -> str: ...
    @property
    def batch_rows(self) -> int: ...
    @property
    def row_rule(self) -> str: ...


class Writers:
    """Threads that encode and write what is put in; each picture's file is durable before its ledger row is written.

    Leaving the block waits for all of them.
    """

    def __init__(self, plan: Plan, renderer: Source, folder: Path, ledger: Ledger) -> None:
        self.plan, self.renderer, self.folder, self.ledger = plan, renderer, folder, ledger
        self.pool = ThreadPoolExecutor(THREADS, "writer")
        self.queue: deque[Future[None]] = deque()

    def __enter__(self) -> "Writers":
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
        self._write(jobs, content, row.pixel_sha256, 0.0, row.origin)
        return True

    def _record(self, jobs: list[Job], image: NDArray[np.uint8] | None, error: str | None, seconds: float) -> None:
        origin = Origin(self.renderer.provider, self.renderer.batch_rows, self.renderer.row_rule)
        if image is None:
            for job in jobs:
                self.ledger.failed(job, self.plan, error or "no picture came out", seconds=seconds, origin=origin)
            return
        content = png_bytes(image, text_chunks(jobs[0], self.plan.bundle, origin.provider, origin.row_rule))
        self._write(jobs, content, pixel_sha256(image), seconds, origin)

    def _write(self, jobs: list[Job], content: bytes, pixels: str, seconds: float, origin: Origin) -> None:
        for job in jobs:
            write_durably(self.folder / job.output, content, self.folder)
            self.ledger.done(
                job,
                self.plan,
                pixel_sha256=pixels,
                file_sha256=hashlib.sha256(content).hexdigest(),
                file_size=len(content),
                seconds=seconds,
                origin=origin,
            )
