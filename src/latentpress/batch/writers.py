"""Encodes, writes and records finished pictures, in threads beside the rendering: nothing waits for PNG or the disk."""

import hashlib
import json
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from latentpress.batch.aside import KEPT, Aside, in_the_way
from latentpress.batch.ledger.ledger import Image, Ledger
from latentpress.batch.pictures.chunks import kept_pixels
from latentpress.batch.pictures.encode import picture_bytes, same_format
from latentpress.batch.pictures.guided import guided_data
from latentpress.batch.pictures.intact import MAX_BYTES, look, stamp_of
from latentpress.batch.pictures.metadata import text_chunks
from latentpress.batch.pictures.png import pixel_sha256
from latentpress.batch.plan.job import Job
from latentpress.batch.state.status import Status
from latentpress.files import link, publish, read_regular
from latentpress.runtime.request import Rendered

# Pictures encoded at once. One 512x512 picture takes a core 36 ms (1024x1024: 144 ms), so one thread could not follow a
# GPU that renders 20 to 100 of them a second.
THREADS = 4
# Finished pictures that may wait for a thread: enough to hide an fsync, few enough to bound memory.
QUEUE = 16
_IN_THE_WAY = "another program put a file there meanwhile; move it away, and the next run puts the picture there"


class Writers:
    """Threads that encode and write what is put in; each picture's file is durable before its ledger row is written.

    replace: move also what `state` says must stay. Leaving the block waits for all of them.
    """

    def __init__(self, state: Status, folder: Path, ledger: Ledger, aside: Aside, *, replace: bool = False) -> None:
        self.state, self.plan, self.folder, self.ledger = state, state.plan, folder, ledger
        self.aside, self.replace = aside, replace
        self._clearing = threading.Lock()
        self.pool = ThreadPoolExecutor(THREADS, "writer")
        self.queue: deque[Future[None]] = deque()

    def __enter__(self) -> "Writers":
        return self

    def __exit__(self, kind: type[BaseException] | None, *exc: object) -> None:
        if kind is not None:  # whoever stops a render does not wait for a backup of the ledger
            self.ledger.be_patient(0.0, lambda line: None)
        _wait_for(self.pool)  # also when interrupted: what is finished is worth its fsync
        while self.queue and kind is None:
            self.queue.popleft().result()

    def put(self, jobs: Sequence[Job], rendered: Rendered[Any]) -> None:
        """Queue a rendered picture for all of `jobs`; waits while the queue is full, raises what a write raised."""
        self.queue.append(self.pool.submit(self._record, jobs, rendered))
        while self.queue and (len(self.queue) > QUEUE or self.queue[0].done()):
            self.queue.popleft().result()

    def take(self, job: Job, made: Image, *, linked: bool) -> bool:
        """Give a finished picture the job's name too, unless its file is no longer what was written.

        linked: as a second name of the same file, where the file system has that.
        """
        source = self.folder / made.output
        try:
            content = read_regular(source, MAX_BYTES)
        except OSError:
            return False
        if hashlib.sha256(content).hexdigest() != made.file_sha256:
            return False
        if not same_format(source, job.output):
            return self._encode_again(job, made, content)

        def write(path: Path) -> os.stat_result:
            try:
                return link(source, path, self.folder) if linked else publish(path, content, self.folder)
            except FileExistsError:
                raise
            except OSError:
                if not linked:
                    raise
                return publish(path, content, self.folder)

        state = self._placed(job, write)
        if state is None:
            return False
        self.ledger.taken(made.output, job, self.plan, stamp_of(state))
        if linked:  # which changed the entry of the file
            self.ledger.stamp([(made.output, stamp_of(source.lstat()))])
        return True

    def _encode_again(self, job: Job, made: Image, content: bytes) -> bool:
        """As `take`, where the job's name asks for another format: from the pixels, if the first one kept them all."""
        image = kept_pixels(content) if made.job_hash == job.job_hash else None
        pixels = None if image is None else pixel_sha256(image)
        if image is None or pixels is None or pixels != made.pixel_sha256:
            return False
        losses, told = self.ledger.one("SELECT losses, guided FROM images WHERE output=?", (made.output,))
        guided = json.loads(told) if told else None
        texts = text_chunks(job, self.plan.bundles, made.origin, pixels, guided)
        again = picture_bytes(image, texts, job.output, self.plan.quality)
        state = self._placed(job, lambda path: publish(path, again, self.folder))
        if state is None:
            return False
        self.ledger.done(
            *(job, self.plan),
            pixel_sha256=pixels,
            file_sha256=hashlib.sha256(again).hexdigest(),
            file_size=len(again),
            seconds=0.0,
            origin=made.origin,
            stamp=stamp_of(state),
            losses=json.loads(losses) if losses else (),
            guided=guided,
        )
        return True

    def _record(self, jobs: Sequence[Job], rendered: Rendered[Any]) -> None:
        if rendered.image is None:
            error = rendered.error or "no picture came out"
            for job in jobs:
                if job.index in self.state.replaced:  # what is there is another job's, or damaged
                    self._clear(job)
                self.ledger.failed(
                    *(job, self.plan, error),
                    seconds=rendered.seconds,
                    origin=rendered.origin,
                    cause=rendered.cause,
                )
            return
        pixels = pixel_sha256(rendered.image)
        guided = guided_data(rendered)
        texts = text_chunks(jobs[0], self.plan.bundles, rendered.origin, pixels, guided)
        # All names of a plan end alike.
        content = picture_bytes(rendered.image, texts, jobs[0].output, self.plan.quality)
        for job in jobs:
            output = str(job.output)
            state = self._placed(job, lambda path: publish(path, content, self.folder))
            if state is None:
                output = f"{KEPT}/{job.job_hash}{job.output.suffix}"
                (self.folder / output).unlink(missing_ok=True)
                state = publish(self.folder / output, content, self.folder)
            self.ledger.done(
                job,
                self.plan,
                pixel_sha256=pixels,
                file_sha256=hashlib.sha256(content).hexdigest(),
                file_size=len(content),
                seconds=rendered.seconds,
                origin=rendered.origin,
                stamp=stamp_of(state),
                losses=rendered.losses,
                guided=guided,
                output=output,
            )
            if output != str(job.output):
                self.ledger.failed(job, self.plan, _IN_THE_WAY, seconds=rendered.seconds, origin=rendered.origin)

    def _placed(self, job: Job, write: Callable[[Path], os.stat_result]) -> os.stat_result | None:
        """What `write` gives for the job's path; None where something lies there that must stay."""
        path = self.folder / job.output
        try:
            return write(path)
        except (FileExistsError, NotADirectoryError):
            if not self._clear(job):
                return None
        try:
            return write(path)
        except (FileExistsError, NotADirectoryError):
            return None

    def _clear(self, job: Job) -> bool:
        """Move what lies under the job's name out of the way, if it is what the status saw and may go."""
        with self._clearing:  # several pictures may wait for one file to go, where their folder is needed
            return self._cleared(job)

    def _cleared(self, job: Job) -> bool:
        name = str(job.output)
        expected = self.state.replaced.get(job.index)
        if expected is not None and look(f"{self.folder}/{name}").stamp == expected:
            self.aside.take(name)
            return True
        if self.replace and job.index in self.state.taken:
            if (found := in_the_way(self.folder, name)) is not None:
                self.aside.take(found)
            return True
        return False


def _wait_for(pool: ThreadPoolExecutor) -> None:
    """Shut `pool` down when its threads have ended, also where a signal is raised meanwhile, which is raised afterwards.

    A `Thread.join` that a signal's exception cuts short takes a thread that still runs for one that has ended (CPython's
    bpo-45274), and the ledger would be closed under it. So this thread's join is not woken: another takes the signal.
    """
    signals = {signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)}
    mask = getattr(signal, "pthread_sigmask", None)  # not on Windows
    before = mask(signal.SIG_BLOCK, signals) if mask else None
    stopped: BaseException | None = None
    try:
        while True:
            try:
                pool.shutdown(wait=True)
                break
            except KeyboardInterrupt as error:
                stopped = error
    finally:
        if mask:
            mask(signal.SIG_SETMASK, before)
    if stopped is not None:
        raise stopped
