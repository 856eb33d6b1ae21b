"""Which failed pictures are not tried again by themselves: those that took the engine or its memory with them too often.

By the ledger's counts alone. A failure of the machine is recorded for no picture, so it never counts.
"""

from latentpress.batch.state.status import FAILED, Status
from latentpress.manifest.policy import DEFAULT_RETRIES, Policy

# Of `runtime.request.CAUSES`, those that cost more than the one picture.
_CAUSES = ("killed", "hang", "memory")


def quarantined(state: Status, policy: Policy) -> frozenset[int]:
    """The jobs of `state` that are asked for, have failed in such a way, and have no retries left."""
    if not state.counts[FAILED]:
        return frozenset()
    retries = DEFAULT_RETRIES if policy.retries is None else policy.retries
    query = (
        "SELECT job FROM jobs JOIN images ON images.output=jobs.output AND images.job_hash=jobs.job_hash "
        f"WHERE status='failed' AND cause IN {_CAUSES} AND attempts > ?"
    )
    found = (job for (job,) in state.plan.table.answers(query, (retries,)))
    return frozenset(job for job in found if state.state(job) == FAILED and state.asks(job))


def quarantine_line(count: int) -> str:
    """What to know of so many quarantined pictures."""
    pictures = "1 picture is" if count == 1 else f"{count} pictures are"
    them = "it" if count == 1 else "them"
    return f"{pictures} quarantined: failed too often, and not tried again; `render --retry` tries {them} again"
