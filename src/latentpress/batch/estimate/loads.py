"""What is left to render, counted: pictures that can share UNet calls together, in the order in which they are rendered.

Asks the plan's table, a few columns of each draft and job, and builds no job. Knows nothing of time.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby, islice

from latentpress.batch.plan.plan import Plan
from latentpress.batch.state.status import FAILED, FOUND, MISSING, Status
from latentpress.runtime.work import Work

# What of a request decides its work: of the rest, such as prompts and scales, plans have many.
_DECISIVE = ("sampler", "steps", "guidance_stop", "strength", "refiner", "losses", "timesteps")
_KINDS = (
    "SELECT draft, priority, bundle, width, height, chunks, json_extract(request, '$.guidance_scale') > 1, "
    "json_type(request, '$.init_image') = 'object', "
    f"json_extract(request, {', '.join(repr(f'$.{name}') for name in _DECISIVE)}) FROM drafts WHERE draft > ? "
    "{among} ORDER BY draft LIMIT 20000"
)
_JOBS = "SELECT job, draft FROM jobs WHERE job > ? {among} ORDER BY job LIMIT 20000"
# Jobs that wait, where few do; of the others' drafts, which are large, nothing is read then.
_AMONG = "job IN (SELECT value FROM json_each(?))"
_FEW = 20_000
# Pictures whose packing into calls is replayed; of more, their share is taken for all.
REPLAYED = 256


@dataclass(frozen=True)
class Kind:
    """Pictures of one priority that take the same work. refiner: the hash of its bundle, "" without one."""

    bundle: str
    height: int
    width: int
    chunks: int
    sampler: str
    steps: int
    work: Work
    refiner: str = ""
    priority: int = 0


@dataclass
class Load:
    """Pictures that can share UNet calls: of one priority, bundle, size and number of chunks.

    kinds: how many of each; first: the kinds of the first REPLAYED of them, in order.
    """

    bundle: str
    height: int
    width: int
    chunks: int
    kinds: Counter[Kind] = field(default_factory=Counter[Kind])
    first: list[Kind] = field(default_factory=list[Kind])

    @property
    def pictures(self) -> int:
        """How many pictures are rendered; twins under several names are one."""
        return self.kinds.total()

    @property
    def rows(self) -> int:
        """UNet rows of all of them, the refiner's too."""
        return sum(count * (sum(kind.work.rows) + sum(kind.work.refined)) for kind, count in self.kinds.items())


@dataclass(frozen=True)
class Loads:
    """All that is left. names: how many files it becomes, twins counted each; pixels: of those files together."""

    loads: tuple[Load, ...] = ()
    names: int = 0
    pixels: int = 0

    @property
    def pictures(self) -> int:
        """How many pictures are rendered."""
        return sum(load.pictures for load in self.loads)


def loads_of(state: Status) -> Loads:
    """What a render of what `state` lacks takes."""
    if not state.left and not state.counts[FOUND]:
        return Loads()
    plan = state.plan
    among = _among(state)
    kinds, of_draft = _kinds(plan, among)
    second = _second_twins(plan, among, lambda job: state.state(job) in (FAILED, MISSING) and state.asks(job))
    loads: dict[tuple[int, str, int, int, int], Load] = {}
    names = pixels = 0
    for job, draft in _pending(state, among):
        kind = kinds[of_draft[draft]]
        names, pixels = names + 1, pixels + kind.width * kind.height
        if job in second or state.state(job) == FOUND:
            continue
        key = -kind.priority, kind.bundle, kind.width, kind.height, kind.chunks
        if (load := loads.get(key)) is None:
            load = loads[key] = Load(kind.bundle, kind.height, kind.width, kind.chunks)
        load.kinds[kind] += 1
        if len(load.first) < REPLAYED:
            load.first.append(kind)
    return Loads(tuple(loads[key] for key in sorted(loads)), names, pixels)


def _among(state: Status) -> tuple[str, ...]:
    """The jobs that wait as the queries have them, if they are few."""
    waiting = list(islice(state.waiting, _FEW + 1))
    return () if len(waiting) > _FEW else (json.dumps(waiting),)


def _pending(state: Status, among: tuple[str, ...]) -> Iterator[tuple[int, int]]:
    """(job, draft) of each job that is not done, in order."""
    after = 0
    query = _JOBS.format(among=f"AND {_AMONG}" if among else "")
    while found := state.plan.table.answers(query, (after, *among)):
        for job, draft in found:
            if state.state(job) in (FAILED, MISSING, FOUND) and state.asks(job):
                yield job, draft
        after = found[-1][0]


def _kinds(plan: Plan, among: tuple[str, ...]) -> tuple[list[Kind], Mapping[int, int]]:
    """The kinds of a plan, and of each draft, by its number, which of them it is."""
    kinds: list[Kind] = []
    known: dict[tuple[object, ...], int] = {}
    of_draft: dict[int, int] = {}
    after = 0
    query = _KINDS.format(among=f"AND draft IN (SELECT draft FROM jobs WHERE {_AMONG})" if among else "")
    while found := plan.table.answers(query, (after, *among)):
        for draft, *key in found:
            number = known.setdefault(tuple(key), len(kinds))
            if number == len(kinds):
                kinds.append(_kind(plan, draft))
            of_draft[draft] = number
        after = found[-1][0]
    return kinds, of_draft


def _kind(plan: Plan, draft: int) -> Kind:
    (job,) = plan.table.one("SELECT min(job) FROM jobs WHERE draft=?", (draft,))
    one = plan.jobs[job - 1]
    request = one.request
    chunks, priority = plan.table.one("SELECT chunks, priority FROM drafts WHERE draft=?", (draft,))
    return Kind(
        *(one.bundle, request.height, request.width, chunks, request.sampler, request.steps),
        plan.facts(one.bundle).work(request),
        request.refiner.sha256 if request.refiner else "",
        priority,
    )


def _second_twins(plan: Plan, among: tuple[str, ...], waits: Callable[[int], bool]) -> set[int]:
    """The jobs whose picture is rendered for an earlier one of the same hash; most plans have none."""
    shared = "SELECT job_hash FROM jobs GROUP BY job_hash HAVING count(*) > 1"
    query = (
        f"SELECT job_hash, job FROM jobs JOIN drafts USING (draft) WHERE {_AMONG if among else f'job_hash IN ({shared})'} "
        "ORDER BY job_hash, priority DESC, job"
    )
    found = plan.table.answers(query, among)
    groups = ([job for _, job in group if waits(job)] for _, group in groupby(found, lambda row: row[0]))
    return {job for group in groups for job in group[1:]}
