"""What is left to render, counted: pictures that can share UNet calls together, in the order in which they are rendered.

Asks the plan's table, a few columns of each draft and job, and builds no job. Knows nothing of time.
"""

import json
from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import compress, groupby, islice

from latentpress.batch.plan.job import request_from
from latentpress.batch.plan.plan import Plan
from latentpress.batch.state.status import FAILED, FOUND, MISSING, STATES, Status
from latentpress.runtime.work import Work

# What of a request decides its work: of the rest, such as prompts and scales, plans have many.
_DECISIVE = ("sampler", "steps", "guidance_stop", "strength", "refiner", "losses", "timesteps")
_KINDS = (
    "SELECT shape, priority, bundle, width, height, json_extract(request, '$.guidance_scale') > 1, "
    "json_type(request, '$.init_image') = 'object', "
    f"json_extract(request, {', '.join(repr(f'$.{name}') for name in _DECISIVE)}) FROM shapes WHERE shape > ? "
    "{among} ORDER BY shape LIMIT 20000"
)
# Of each job its shape and its chunks in one number.
_CHUNKS = 1 << 20
_CODE = f"shape * {_CHUNKS} + min(chunks, {_CHUNKS - 1})"
_EVERY = f"SELECT {_CODE} FROM jobs CROSS JOIN prompts USING (draft) ORDER BY job"
_THESE = f"SELECT {_CODE} FROM json_each(?) CROSS JOIN jobs ON job=value CROSS JOIN prompts USING (draft) ORDER BY job"
# Jobs that wait, where few do; of the others' shapes, which are large, nothing is read then.
_AMONG = "job IN (SELECT value FROM json_each(?))"
_FEW = 20_000
# Pictures whose packing into calls is replayed; of more, their share is taken for all.
REPLAYED = 256
# A byte for each state: whether it asks for a file, and for rendering one.
_WRITES = bytes(name in (FAILED, MISSING, FOUND) for name in STATES).ljust(256, b"\0")
_RENDERS = bytes(name in (FAILED, MISSING) for name in STATES).ljust(256, b"\0")


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
    plan, states = state.plan, state.states
    waiting = list(islice(state.waiting, _FEW + 1))
    among = () if len(waiting) > _FEW else (json.dumps(waiting),)
    if among:
        codes = plan.table.numbers(_THESE, among)
        states = bytes(states[job - 1] for job in waiting)
    else:
        codes, waiting = plan.table.numbers(_EVERY), range(1, len(states) + 1)
    writes, renders = bytearray(states.translate(_WRITES)), bytearray(states.translate(_RENDERS))
    if state.chosen is not None:
        for at, job in enumerate(waiting):
            if job not in state.chosen:
                writes[at] = renders[at] = 0
    places = {job: at for at, job in enumerate(waiting)} if among else range(-1, len(states))
    for group in _twins(plan, among):
        for job in [job for job in group if renders[places[job]]][1:]:
            renders[places[job]] = 0
    alike = _alike(plan, among)
    codes = array("q", (alike[code // _CHUNKS] * _CHUNKS + code % _CHUNKS for code in codes))
    written = Counter(compress(codes, writes))
    kinds = {code: _kind(plan, *divmod(code, _CHUNKS)) for code in written}
    pixels = sum(kinds[code].width * kinds[code].height * count for code, count in written.items())
    return Loads(_loads(array("q", compress(codes, renders)), kinds), written.total(), pixels)


def _loads(codes: "array[int]", kinds: dict[int, Kind]) -> tuple[Load, ...]:
    """The loads of pictures with these codes, in the order in which they are rendered."""
    loads: dict[tuple[int, str, int, int, int], Load] = {}
    of_code: dict[int, Load] = {}
    for code, count in Counter(codes).items():
        kind = kinds[code]
        key = -kind.priority, kind.bundle, kind.width, kind.height, kind.chunks
        if (load := loads.get(key)) is None:
            load = loads[key] = Load(kind.bundle, kind.height, kind.width, kind.chunks)
        load.kinds[kind] += count
        of_code[code] = load
    left = sum(min(load.pictures, REPLAYED) for load in loads.values())
    for code in codes:
        if len(first := of_code[code].first) < REPLAYED:
            first.append(kinds[code])
            left -= 1
            if not left:
                break
    return tuple(loads[key] for key in sorted(loads))


def _alike(plan: Plan, among: tuple[str, ...]) -> "array[int]":
    """At the number of each shape that of the first one that takes the same work."""
    found = array("q", bytes(8 * (plan.table.one("SELECT coalesce(max(shape), 0) FROM shapes")[0] + 1)))
    known: dict[tuple[object, ...], int] = {}
    after = 0
    query = _KINDS.format(
        among=f"AND shape IN (SELECT shape FROM jobs JOIN prompts USING (draft) WHERE {_AMONG})" if among else ""
    )
    while rows := plan.table.answers(query, (after, *among)):
        for shape, *key in rows:
            found[shape] = known.setdefault(tuple(key), shape)
        after = rows[-1][0]
    return found


def _kind(plan: Plan, shape: int, chunks: int) -> Kind:
    (request, bundle, priority) = plan.table.one("SELECT request, bundle, priority FROM shapes WHERE shape=?", (shape,))
    request = request_from(json.loads(request))
    return Kind(
        *(bundle, request.height, request.width, chunks, request.sampler, request.steps),
        plan.facts(bundle).work(request),
        request.refiner.sha256 if request.refiner else "",
        priority,
    )


def _twins(plan: Plan, among: tuple[str, ...]) -> Iterator[list[int]]:
    """The jobs that share a picture, in the order in which one of them renders it; most plans have none."""
    shared = "SELECT job_hash FROM jobs GROUP BY job_hash HAVING count(*) > 1"
    query = (
        f"SELECT job_hash, job FROM jobs JOIN prompts USING (draft) JOIN shapes USING (shape) "
        f"WHERE {_AMONG if among else f'job_hash IN ({shared})'} ORDER BY job_hash, priority DESC, job"
    )
    found = plan.table.answers(query, among)
    return ([job for _, job in group] for _, group in groupby(found, lambda row: row[0]))
