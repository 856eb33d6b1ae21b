"""What `plan` and `status` print: lines for people, plain data for programs. Also refuses a disk that is too full."""

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from latentpress.batch.job import Job, request_data
from latentpress.batch.plan import Plan
from latentpress.batch.status import Status
from latentpress.errors import EnvironmentFailure


def plan_lines(plan: Plan, state: Status) -> Iterator[str]:
    """A line for each job, then one for the plan."""
    states = state.by_index
    for job in plan.jobs:
        request = job.request
        yield (
            f"{job.index:>4}  {states[job.index]:<7}  {job.output}  {request.width}x{request.height}  "
            f"{request.sampler} {request.steps}  scale {request.guidance_scale:g}  seed {request.seed}  "
            f"loss {job.labels['loss']}  {request.prompt!r}"
        )
    if plan.undrawn:
        yield f"{plan.undrawn} seeds are still to be drawn; the ones shown, and names made of them, will differ"
    yield f"plan {plan.plan_hash[:12]}, bundle {plan.bundle.name} {plan.bundle.hash[:12]}"


def counts_line(plan: Plan, state: Status, folder: Path) -> str:
    """How far the plan has come, in one line."""
    left = (*state.missing, *state.failed)
    disk = f", at most {_mebibytes(disk_bytes(left))} to write" if left else ""
    return (
        f"{folder}: {len(state.done)} of {len(plan.jobs)} images done, {len(state.missing)} missing, "
        f"{len(state.failed)} failed{disk}"
    )


def plan_data(plan: Plan, state: Status, folder: Path) -> dict[str, object]:
    """The plan and its state as JSON data."""
    return {
        "name": plan.name,
        "plan_hash": plan.plan_hash,
        "bundle": {"name": plan.bundle.name, "sha256": plan.bundle.hash},
        "folder": str(folder),
        "total": len(plan.jobs),
        "distinct": len(plan.groups),
        "counts": state.counts,
        "undrawn_seeds": plan.undrawn,
        "warnings": list(plan.warnings),
    }


def job_data(plan: Plan, state: Status) -> list[dict[str, object]]:
    """Each job as JSON data."""
    states = state.by_index
    return [
        {
            "index": job.index,
            "id": job.id,
            "output": str(job.output),
            "state": states[job.index],
            "job_hash": job.job_hash,
            "labels": dict(job.labels),
            "request": request_data(job.request),
        }
        for job in plan.jobs
    ]


def disk_bytes(jobs: Sequence[Job]) -> int:
    """An upper bound of what the images of `jobs` take on disk: raw RGB, which noise compresses to, and 8 KiB each."""
    return sum(job.request.width * job.request.height * 3 + 8192 for job in jobs)


def check_space(jobs: Sequence[Job], folder: Path) -> None:
    """Raise EnvironmentFailure where the disk of `folder` cannot take the images of `jobs`."""
    needed, free = disk_bytes(jobs), shutil.disk_usage(folder).free
    if needed > free:
        raise EnvironmentFailure(
            f"{folder}: the images take up to {_mebibytes(needed)} and {_mebibytes(free)} are free; "
            "free some space or choose another disk with -o"
        )


def _mebibytes(count: int) -> str:
    return f"{count / 2**20:,.1f} MiB"
