"""Renders a plan: the program's table of contents. How pictures come about is the executor's business."""

import json
from array import array
from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby, islice
from typing import Protocol, TypeVar

from latentpress.batch.ledger.ledger import Ledger
from latentpress.batch.plan.job import Job
from latentpress.batch.plan.jobs import RUN_ORDER
from latentpress.batch.policy import NO_POLICY, Limits, Policy
from latentpress.batch.state.status import FAILED, FOUND, MISSING, Status
from latentpress.batch.tally import Tally
from latentpress.batch.writers import Writers
from latentpress.errors import LatentpressError, counted
from latentpress.runtime.request import Rendered, RenderRequest

K = TypeVar("K")

# Jobs handed to an executor at once: it holds their requests, and fills its last calls of each block less well.
BLOCK = 4096
# Jobs that are asked for one by one rather than found among all.
_FEW = 20_000


class Executor(Protocol):
    """Renders requests in any order: in this process (executors/local.py), or wherever there is one."""

    def open(self, bundle: str, requests: Iterable[RenderRequest]) -> str:
        """Make ready for such requests on the bundle with this hash; returns the row rule of what will be rendered."""
        ...

    def render(self, requests: Iterable[tuple[K, RenderRequest]]) -> Iterator[Rendered[K]]:
        """Each picture of `requests`, on the bundle opened last, under its key, with what it was made on."""
        ...


@dataclass(frozen=True)
class Summary:
    """How many of the plan's images this run rendered, found done (by an earlier rule too), and could not render.

    stopped: why it ended before all was done, "" where it did not; left: how many it left then; quarantined: how many it did
    not try, because they failed too often (state/quarantine.py).
    """

    done: int
    skipped: int
    failed: int
    stopped: str = field(default="", repr=False)
    left: int = field(default=0, repr=False)
    quarantined: int = field(default=0, repr=False)


def render(
    pending: "Pending", executor: Executor, writers: Writers, tally: Tally, policy: Policy = NO_POLICY
) -> Summary:
    """Render what is `pending`, into a folder whose lock the caller holds. Safe to kill and start again.

    policy: where it says stop, no more pictures are begun, and those that the executor began are waited for if it can say.
    """
    limits = Limits(policy, pending.count)
    with tally.rendering(pending.count, skipped=pending.asked - pending.count), writers:
        for bundle, jobs in pending.blocks():
            if limits.why:
                break
            pending.make_ready(bundle, executor, tally)
            waiting = {job.index: job for job in jobs}
            for rendered in executor.render((job.index, job.request) for job in jobs):
                twins = pending.twins(waiting.pop(rendered.key))
                writers.put(twins, rendered)
                tally.advance(twins, rendered)
                if not limits.why and limits.reached(tally.failed):
                    if (stop := getattr(executor, "stop", None)) is None:
                        break
                    stop()
            if waiting and not limits.why:
                first = next(iter(waiting.values())).title
                raise LatentpressError(
                    f"{first}: the executor ended without this picture, and {counted(len(waiting) - 1, 'other')}"
                )
        left = tally.total - tally.count
    stopped = limits.why if left else ""
    return Summary(tally.done, pending.asked - tally.total, tally.failed, stopped, left if stopped else 0)


class Pending:
    """The jobs whose picture is nowhere, and which of them are twins, one picture under several names.

    settled: those of the found ones that were taken from another name; accept: raises if pictures of a bundle must not be
    made under the row rule that the executor has for it.
    """

    def __init__(
        self,
        state: Status,
        settled: Container[int] = (),
        accept: Callable[[str, str], None] = lambda bundle, row_rule: None,
    ) -> None:
        self.plan = state.plan
        self._jobs, self._table, self._state, self._accept = state.plan.jobs, state.plan.table, state, accept
        self._settled, self._opened = settled, ""
        waiting = array("q", (index for index in state.waiting if index not in settled))
        self._count = len(waiting)
        # Of few jobs that wait, the many others are not read.
        self._among, self._values = "", ()
        if len(waiting) <= _FEW:
            self._among, self._values = "AND job IN (SELECT value FROM json_each(?))", (json.dumps(list(waiting)),)
        shared = "job_hash IN (SELECT job_hash FROM jobs GROUP BY job_hash HAVING count(*) > 1)"
        query = (
            f"SELECT job_hash, job FROM jobs JOIN drafts USING (draft) WHERE {'true' if self._among else shared} "
            f"{self._among} ORDER BY job_hash, priority DESC, job"
        )
        # The indices of the jobs of each picture that has several names; of most plans none.
        groups = [
            [job for _, job in group if self._waits(job)]
            for _, group in groupby(self._table.answers(query, self._values), lambda row: row[0])
        ]
        self._first = {jobs[0]: jobs for jobs in groups if len(jobs) > 1}
        self._others = {index for jobs in self._first.values() for index in jobs[1:]}

    def make_ready(self, bundle: str, executor: Executor, tally: Tally) -> None:
        """Open `bundle` on the executor, unless it was opened last. Raises what the executor or `accept` raise."""
        if bundle != self._opened:
            with tally.opening(bundle):
                self._accept(bundle, executor.open(bundle, self.requests(bundle)))
            self._opened = bundle

    def without(self, settled: Container[int]) -> "Pending":
        """The same without those `settled` meanwhile."""
        pending = Pending(self._state, settled, self._accept)
        pending._opened = self._opened
        return pending

    @property
    def asked(self) -> int:
        """How many jobs are asked for, finished ones too."""
        return self._state.total

    @property
    def count(self) -> int:
        """How many jobs wait for a picture, twins counted each."""
        return self._count

    @property
    def bundles(self) -> list[str]:
        """The bundles that something is still to be rendered on, in the order of `blocks`."""
        return list(dict.fromkeys(bundle for _, bundle, _ in self._rows()))

    def requests(self, bundle: str) -> Iterator[RenderRequest]:
        """What is still to be rendered on one bundle."""
        return (self._jobs[job - 1].request for job, found, _ in self._rows() if found == bundle)

    def twins(self, job: Job) -> list[Job]:
        """The jobs that the picture of `job` is written for."""
        indices = self._first.get(job.index, [job.index])
        return [job if index == job.index else self._jobs[index - 1] for index in indices]

    def blocks(self) -> Iterator[tuple[str, list[Job]]]:
        """(bundle, jobs) to render: of the highest priority first, and of one bundle, size and number of chunks together,
        which can share a call."""
        for (bundle, _), rows in groupby(self._rows(), lambda row: row[1:]):
            while block := list(islice(rows, BLOCK)):
                yield bundle, self._jobs.at([job for job, *_ in block])

    def _waits(self, index: int) -> bool:
        return self._state.state(index) in (FAILED, MISSING, FOUND) and index not in self._settled

    def _rows(self) -> Iterator[tuple[int, str, int]]:
        """(index, bundle, priority) of each picture to render."""
        tables = "FROM jobs JOIN drafts USING (draft)"
        groups = f"SELECT DISTINCT bundle, priority {tables} WHERE true {self._among} ORDER BY priority DESC, bundle"
        query = f"SELECT job {tables} WHERE bundle=? AND priority=? {self._among} ORDER BY {RUN_ORDER}"
        for bundle, priority in self._table.answers(groups, self._values) if self._count else ():
            for job in self._table.numbers(query, (bundle, priority, *self._values)):
                if job not in self._others and self._waits(job):
                    yield job, bundle, priority


def take_found(state: Status, ledger: Ledger, writers: Writers, unasked: Container[int] = ()) -> set[int]:
    """Give each picture that lies finished under another name its own, rather than render it; returns their jobs.

    unasked: the jobs to leave alone.
    """
    taken: set[int] = set()
    for index in state.sources:
        if index in unasked:
            continue
        hashes, earlier = ledger.one("SELECT job_hash, earlier FROM jobs WHERE job=?", (index,))
        job = state.plan.jobs[index - 1]
        # Asked anew: what is moved out of one job's way may be another's picture.
        known = (one for job_hash in (hashes, *reversed((earlier or "").split())) for one in ledger.finished(job_hash))
        for made in known:
            wanted = ledger.one("SELECT 1 FROM jobs WHERE output=?", (made.output,)) is not None
            if made.output != str(job.output) and writers.take(job, made, linked=not wanted):
                taken.add(index)
                break
    return taken
