"""Encodes, writes and records finished pictures, in threads beside the rendering: nothing waits for PNG or the disk."""

import hashlib
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from latentpress.batch.job import Job
from latentpress.batch.ledger import Image, Ledger
from latentpress.batch.metadata import text_chunks
from latentpress.batch.plan import Plan
from latentpress.batch.png import pixel_sha256, png_bytes
from latentpress.files import write_durably
from latentpress.runtime.request import Origin, Rendered

# Pictures encoded at once. One 512x512 picture takes a core 36 ms (1024x1024: 144 ms), so one thread could not follow a
# GPU that renders 20 to 100 of them a second.
THREADS = 4
# Finished pictures that may wait for a thread: enough to hide an fsync, few enough to bound memory.
QUEUE = 16


class Writers:
    """Threads that encode and write what is put in; each picture's file is durable before its ledger row is written.

    Leaving the block waits for all of them.
    """

    def __init__(self, plan: Plan, folder: Path, ledger: Ledger) -> None:
        self.plan, self.folder, self.ledger = plan, folder, ledger
        self.pool = ThreadPoolExecutor(THREADS, "writer")
        self.queue: deque[Future[None]] = deque()

    def __enter__(self) -> "Writers":
        return self

    def __exit__(self, kind: type[BaseException] | None, *exc: object) -> None:
        self.pool.shutdown(wait=True)  # also when interrupted: what is finished is worth its fsync
        while self.queue and kind is None:
            self.queue.popleft().result()

    def put(self, jobs: Sequence[Job], rendered: Rendered[Any]) -> None:
        """Queue a rendered picture for all of `jobs`; waits while the queue is full, raises what a write raised."""
        self.queue.append(self.pool.submit(self._record, jobs, rendered))
        while self.queue and (len(self.queue) > QUEUE or self.queue[0].done()):
            self.queue.popleft().result()

    def copy(self, jobs: Sequence[Job], made: Image) -> bool:
        """Write the finished image of a twin for its twins `jobs`, unless its file is no longer what was written."""
        content = (self.folder / made.output).read_bytes()
        if hashlib.sha256(content).hexdigest() != made.file_sha256 or made.pixel_sha256 is None:
            return False
        self._write(jobs, content, made.pixel_sha256, 0.0, made.origin)
        return True

    def _record(self, jobs: Sequence[Job], rendered: Rendered[Any]) -> None:
        if rendered.image is None:
            error = rendered.error or "no picture came out"
            for job in jobs:
                self.ledger.failed(job, self.plan, error, seconds=rendered.seconds, origin=rendered.origin)
            return
        content = png_bytes(rendered.image, text_chunks(jobs[0], self.plan.bundles, rendered.origin))
        self._write(jobs, content, pixel_sha256(rendered.image), rendered.seconds, rendered.origin, rendered.losses)

    def _write(
        self,
        jobs: Sequence[Job],
        content: bytes,
        pixels: str,
        seconds: float,
        origin: Origin,
        losses: Sequence[tuple[str, float]] = (),
    ) -> None:
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
                losses=losses,
            )
