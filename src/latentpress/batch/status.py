"""How far a plan has come: which of its outputs the ledger and the folder agree on."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from latentpress.batch.job import Job
from latentpress.batch.ledger import Row
from latentpress.batch.plan import Plan


@dataclass(frozen=True)
class Status:
    """The jobs of a plan by state."""

    done: tuple[Job, ...]
    failed: tuple[Job, ...]
    missing: tuple[Job, ...]

    @property
    def counts(self) -> dict[str, int]:
        """How many jobs are in each state."""
        return {"done": len(self.done), "failed": len(self.failed), "missing": len(self.missing)}

    @property
    def by_index(self) -> dict[int, str]:
        """Each job's index -> done, failed or missing."""
        return {
            job.index: state
            for state, jobs in (("done", self.done), ("failed", self.failed), ("missing", self.missing))
            for job in jobs
        }


def is_done(job: Job, row: Row | None, folder: Path) -> bool:
    """Whether `row` says this very picture is done and its file is still there, of the size it had."""
    if row is None or row.status != "done" or row.job_hash != job.job_hash:
        return False
    try:
        return (folder / job.output).stat().st_size == row.file_size
    except OSError:
        return False


def plan_status(plan: Plan, rows: Mapping[str, Row], folder: Path) -> Status:
    """Sort the jobs of `plan` into done, failed and missing."""
    sorted_jobs: dict[str, list[Job]] = {"done": [], "failed": [], "missing": []}
    for job in plan.jobs:
        row = rows.get(str(job.output))
        if is_done(job, row, folder):
            sorted_jobs["done"].append(job)
        elif row and row.status == "failed" and row.job_hash == job.job_hash:
            sorted_jobs["failed"].append(job)
        else:
            sorted_jobs["missing"].append(job)
    return Status(tuple(sorted_jobs["done"]), tuple(sorted_jobs["failed"]), tuple(sorted_jobs["missing"]))
