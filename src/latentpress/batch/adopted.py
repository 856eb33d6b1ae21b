"""Records what a status found: pictures of the plan that no row of the ledger tells of, and that say what they are."""

from latentpress.batch.ledger.ledger import Ledger
from latentpress.batch.pictures.guided import losses_of
from latentpress.batch.state.status import Status
from latentpress.runtime.request import Origin


def record_adopted(state: Status, ledger: Ledger) -> None:
    """Give each of the pictures that `state` adopted a row."""
    for index, found in state.adopted.items():
        ledger.done(
            state.plan.jobs[index - 1],
            state.plan,
            pixel_sha256=found.pixel_sha256,
            file_sha256=found.file_sha256,
            file_size=found.size,
            seconds=0.0,
            origin=Origin(found.engine, 0, found.row_rule),
            stamp=found.stamp,
            losses=losses_of(found.guided),
            guided=found.guided,
            job_hash=found.job_hash,
        )
