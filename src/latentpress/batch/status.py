"""How far a plan has come: which of its outputs the ledger and the folder agree on."""

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from latentpress.batch.job import Job
from latentpress.batch.plan import Plan

DONE, FAILED, MISSING = "done", "failed", "missing"
EARLIER = "earlier"  # finished, and a later rule (runtime/rules.py) would draw another picture
_STATES = (DONE, FAILED, MISSING, EARLIER)
# Raw RGB, which noise compresses to, and so much for what a PNG holds beside its pixels.
_OVERHEAD = 8192


@dataclass(frozen=True)
class Make:
    """What finished pictures were made with: their bundle's hash, the engine as the ledger has it, and the row rule."""

    bundle: str
    provider: str
    row_rule: str


@dataclass(frozen=True)
class Status:
    """The state of each job of a plan.

    made: how many finished pictures were made with what; bytes_left: an upper bound of what the others take on disk;
    rules: how many finished pictures each rule would draw otherwise.
    """

    plan: Plan
    states: bytes
    made: Counter[Make]
    bytes_left: int
    rules: Counter[str]

    @property
    def counts(self) -> dict[str, int]:
        """How many jobs are in each state."""
        return {state: self.states.count(code) for code, state in enumerate(_STATES)}

    @property
    def left(self) -> int:
        """How many jobs have no finished picture."""
        return self.states.count(1) + self.states.count(2)

    def state(self, index: int) -> str:
        """done, failed, missing or earlier, of the job with this index, which counts from 1."""
        return _STATES[self.states[index - 1]]

    def jobs(self, state: str) -> Iterator[Job]:
        """The jobs in this state, in order."""
        code = _STATES.index(state)
        return (self.plan.jobs[index] for index, found in enumerate(self.states) if found == code)


def plan_status(plan: Plan, folder: Path, *, redraw: bool = False) -> Status:
    """Sort the jobs of `plan` into its states, by what its table sees of the ledger, and by the files.

    A picture is done if the ledger says so of this very job and its file is still there, of the size it had. It is of an
    earlier rule if the ledger says so of the job as it was before the rules that touch it; with `redraw` it is missing.
    """
    states = bytearray()
    made: Counter[Make] = Counter()
    rules: Counter[str] = Counter()
    left = 0
    query = (
        "SELECT job, jobs.output, bundle, width * height * 3, status, file_size, provider, row_rule, "
        "images.job_hash=jobs.job_hash, rules FROM jobs JOIN drafts USING (draft) LEFT JOIN images "
        "ON images.output=jobs.output AND (images.job_hash=jobs.job_hash OR instr(earlier, images.job_hash)) "
        "WHERE job > ? ORDER BY job LIMIT 5000"
    )
    while found := plan.table.answers(query, (len(states),)):
        for _, output, bundle, size, status, file_size, provider, row_rule, current, touching in found:
            kept = status == DONE and (current or not redraw)
            if kept and _size(f"{folder}/{output}") == file_size:
                states.append(0 if current else 3)
                rules.update([] if current else touching.split())
                made[Make(bundle, provider, row_rule or "untested")] += 1
            else:
                states.append(1 if status == FAILED and current else 2)
                left += size + _OVERHEAD
    return Status(plan, bytes(states), made, left, rules)


def _size(path: str) -> int | None:
    try:
        return os.stat(path).st_size  # noqa: PTH116  100,000 of them, and a Path costs more than the question
    except OSError:
        return None
