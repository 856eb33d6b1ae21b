"""Which failed pictures are not tried again by themselves: those that took the engine or its memory with them too often.

By the ledger's counts alone. A failure of the machine is recorded for no picture, so it never counts.
"""

from dataclasses import replace

from latentpress.batch.plan.database import Database
from latentpress.batch.state.status import FAILED, Status
from latentpress.errors import counted
from latentpress.manifest.policy import DEFAULT_RETRIES, Policy

# Of `runtime.request.CAUSES`, those that cost more than the one picture.
_CAUSES = ("killed", "hang", "memory")


def quarantined(state: Status, policy: Policy) -> frozenset[int]:
    """The jobs of `state` that are asked for, have failed in such a way, and have no retries left."""
    if not state.counts[FAILED]:
        return frozenset()
    query = (
        "SELECT job FROM jobs JOIN images ON images.output=jobs.output AND images.job_hash=jobs.job_hash "
        f"WHERE status='failed' AND cause IN {_CAUSES} AND attempts > ?"
    )
    found = (job for (job,) in state.plan.table.answers(query, (_allowed(policy.retries),)))
    return frozenset(job for job in found if state.state(job) == FAILED and state.asks(job))


def tried(state: Status) -> Status:
    """`state` with just the jobs chosen that a render of it tries."""
    if not state.quarantined:
        return state
    chosen = frozenset(range(1, len(state.plan.jobs) + 1)) if state.chosen is None else state.chosen
    return replace(state, chosen=chosen - state.quarantined, quarantined=frozenset())


def recorded_quarantine(database: Database, retries: int | None) -> frozenset[str]:
    """The outputs of the plan that was recorded last that renders leave out; retries: those that the last render had."""
    query = (
        "SELECT images.output FROM jobs JOIN images ON images.output=jobs.output AND images.job_hash=jobs.job_hash "
        f"WHERE status='failed' AND cause IN {_CAUSES} AND attempts > ?"
    )
    return frozenset(output for (output,) in database.answers(query, (_allowed(retries),)))


def quarantine_line(count: int) -> str:
    """What to know of so many quarantined pictures."""
    pictures = counted(count, "picture is", "pictures are")
    them = "it" if count == 1 else "them"
    return f"{pictures} quarantined: failed too often, and not tried again; `render --retry` tries {them} again"


def _allowed(retries: int | None) -> int:
    return DEFAULT_RETRIES if retries is None else retries
