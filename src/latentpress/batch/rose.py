"""Of which pictures a loss went the wrong way, by the ledger: what a render warns of, and `status` says."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from latentpress.batch.plan.database import Database
from latentpress.errors import counted

# Pictures that a sentence names.
_NAMED = 3
_DONE = "jobs JOIN images ON images.output=jobs.output AND status='done'"


@dataclass(frozen=True)
class Rose:
    """A loss that is worse than it was in some pictures of the plan.

    loss: its name; pictures: their outputs; of: how many guided pictures there are; beside: how many of `pictures` were
    compared with their unguided twin, and not with what their first guided step began with.
    """

    loss: str
    pictures: Sequence[str]
    of: int
    beside: int

    def line(self) -> str:
        """The same in a sentence."""
        count = len(self.pictures)
        named = ", ".join(self.pictures[:_NAMED]) + (", ..." if count > _NAMED else "")
        than = "than in the unguided twin" if self.beside else "than where its guiding began"
        if 0 < self.beside < count:
            than += ", or than where its guiding began"
        way_out = "" if self.beside == count else "; `twins: true` tells what the picture would have been without it"
        of = counted(self.of, "guided picture")
        return f"the loss {self.loss} is worse {than} in {count:,} of {of} ({named}){way_out}"

    def data(self) -> dict[str, Any]:
        """The same as JSON data."""
        return {"loss": self.loss, "pictures": list(self.pictures), "of": self.of, "beside_twin": self.beside}


def risen(table: Database) -> list[Rose]:
    """The losses that went the wrong way in finished pictures of the plan, in the order in which they are met."""
    if not table.answers("SELECT 1 FROM pragma_table_info('jobs')"):
        return []
    (guided,) = table.one(f"SELECT count(guided) FROM {_DONE}")
    found: dict[str, list[tuple[str, bool]]] = {}
    query = f"SELECT jobs.output, rose, drift IS NOT NULL FROM {_DONE} WHERE rose IS NOT NULL ORDER BY job"
    for output, rose, beside in table.answers(query) if guided else ():
        for loss in json.loads(rose):
            found.setdefault(loss, []).append((output, bool(beside)))
    return [
        Rose(loss, [output for output, _ in some], guided, sum(beside for _, beside in some))
        for loss, some in found.items()
    ]
