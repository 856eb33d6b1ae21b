"""How far a plan has come: which of its outputs the ledger and the folder agree on. Reads, and changes nothing."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from latentpress.batch.pictures.guided import Guided
from latentpress.batch.plan.job import Job
from latentpress.batch.plan.plan import Plan

DONE, FAILED, MISSING = "done", "failed", "missing"
EARLIER = "earlier"  # finished, and a later rule (runtime/rules.py) would draw another picture
OTHER = "other"  # finished on another export of the same checkpoint, whose graphs are others
FOUND = "found"  # finished under another name, from which it is taken
STATES = (DONE, FAILED, MISSING, EARLIER, OTHER, FOUND)
_WAITING = re.compile(bytes((*b"[", *(STATES.index(state) for state in (FAILED, MISSING, FOUND)), *b"]")))


@dataclass(frozen=True)
class Make:
    """What finished pictures were made with: their bundle's hash, the engine as the ledger has it, and the row rule."""

    bundle: str
    provider: str
    row_rule: str


@dataclass(frozen=True)
class Adopted:
    """A whole picture under its name that says itself which job it is, and that the ledger has no row of.

    guided: what it says that losses did to it.
    """

    job_hash: str
    file_sha256: str
    pixel_sha256: str
    size: int
    stamp: str
    engine: str
    row_rule: str
    guided: Guided | None = None


@dataclass(frozen=True)
class Status:
    """The state of each job of a plan.

    made: how many finished pictures were made with what; rules: how many finished pictures each rule would draw otherwise;
    exports: how many were made on each other export (contents, identity.Identity); sources: index of a found job -> the
    output it is taken from; replaced: index -> the stamp of what the ledger wrote under its name for another job, or of what
    became of that by damage; taken: index -> why what lies under its name must stay; recognised: (output, index, job hash)
    of rows of an earlier ledger; adopted: index -> a picture of the plan without a row; stamps: (output, stamp) of files
    read and found whole; chosen: the jobs that are asked for, None for all: others count for nothing here; quarantined:
    those of the failed ones that a render does not try again by itself (quarantine.py), and counts have among the failed.
    """

    plan: Plan
    states: bytes
    made: Counter[Make] = field(default_factory=Counter[Make])
    rules: Counter[str] = field(default_factory=Counter[str])
    exports: Counter[str] = field(default_factory=Counter[str])
    sources: Mapping[int, str] = field(default_factory=dict[int, str])
    replaced: Mapping[int, str] = field(default_factory=dict[int, str])
    taken: Mapping[int, str] = field(default_factory=dict[int, str])
    recognised: list[tuple[str, int, str]] = field(default_factory=list[tuple[str, int, str]])
    adopted: Mapping[int, Adopted] = field(default_factory=dict[int, Adopted])
    stamps: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    chosen: frozenset[int] | None = None
    quarantined: frozenset[int] = frozenset()

    @property
    def counts(self) -> dict[str, int]:
        """How many jobs are in each state."""
        states = self._chosen_states()
        return {state: states.count(code) for code, state in enumerate(STATES)}

    @property
    def total(self) -> int:
        """How many jobs are asked for."""
        return len(self.states) if self.chosen is None else len(self.chosen)

    @property
    def left(self) -> int:
        """How many jobs are to be rendered."""
        states = self._chosen_states()
        return states.count(1) + states.count(2)

    @property
    def recorded(self) -> int:
        """How many jobs have a finished picture under their own name that the ledger has a row of."""
        return sum(self.states.count(STATES.index(state)) for state in (DONE, EARLIER, OTHER)) - len(self.adopted)

    @property
    def waiting(self) -> Iterator[int]:
        """The jobs whose picture is not under their name, in order, asked for or not."""
        return (found.start() + 1 for found in _WAITING.finditer(self.states))

    def asks(self, index: int) -> bool:
        """Whether the job with this index is asked for."""
        return self.chosen is None or index in self.chosen

    def state(self, index: int) -> str:
        """The state of the job with this index, which counts from 1."""
        return STATES[self.states[index - 1]]

    def jobs(self, state: str) -> Iterator[Job]:
        """The jobs in this state, in order."""
        found = re.finditer(re.escape(bytes((STATES.index(state),))), self.states)
        return (self.plan.jobs[one.start()] for one in found if self.asks(one.start() + 1))

    def _chosen_states(self) -> bytes:
        return self.states if self.chosen is None else bytes(self.states[index - 1] for index in self.chosen)
