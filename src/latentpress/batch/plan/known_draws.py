"""What a draw is known by from one render to the next, and which earlier draws those of a manifest are.

Every edit of a manifest changes something, so draws are matched in rounds: first by what a job is most surely known by.
"""

import re
from collections import defaultdict, deque
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

# Before it, in the table of seeds, stand keys of `first_key` in draws.py, which have no prefix.
_PREFIX = "2"
_KEY = re.compile(rf"{_PREFIX}((?::[0-9a-f]*){{3}}):(-?[0-9]+)((?::[0-9a-f]*){{2}}):([0-9]+):([0-9]+)")


class KnownDraw(NamedTuple):
    """A draw, in digests; what there is none of is empty.

    id: the job's, if one is written; fields: those that the job writes itself, without its id, seed and n; prompt: the one
    the job writes; place: the job's among those with draws, from 1, or for a draw that the last render did not have a
    number below 1 of its own; axes, label, choice, number: as in `manifest.draws.Draw`.
    """

    id: str
    fields: str
    prompt: str
    place: int
    axes: str
    label: str
    choice: int
    number: int

    @property
    def key(self) -> str:
        """The draw as a key of the ledger's table of seeds."""
        return ":".join([_PREFIX, *map(str, self)])


def read_known(frozen: Mapping[str, int]) -> tuple[dict[KnownDraw, int], dict[str, int]]:
    """The draws of a table of seeds, those of the last render first and in its order; and the other rows."""
    known: dict[KnownDraw, int] = {}
    others: dict[str, int] = {}
    for key, seed in frozen.items():
        if (match := _KEY.fullmatch(key)) is None:
            others[key] = seed
            continue
        job_id, fields, prompt = match[1][1:].split(":")
        axes, label = match[3][1:].split(":")
        known[KnownDraw(job_id, fields, prompt, int(match[2]), axes, label, int(match[4]), int(match[5]))] = seed
    order = sorted(known, key=lambda one: (one.place < 1, abs(one.place), one.choice, one.number))
    return {one: known[one] for one in order}, others


# What a job is known by, most surely first. Which draw of the job it is comes second, and the axes are always the same.
_OF_JOB: tuple[Callable[[KnownDraw], str], ...] = (
    lambda known: known.id,
    lambda known: known.fields,
    lambda known: known.prompt,
)
_OF_DRAW: tuple[Callable[[KnownDraw], Hashable], ...] = (
    lambda known: (known.label, known.number) if known.label else None,
    lambda known: (known.choice, known.number),
    lambda known: (),  # in their order
)


def matched(draws: Sequence[KnownDraw], earlier: Iterable[KnownDraw]) -> dict[KnownDraw, KnownDraw]:
    """Draw -> the earlier draw that it is; those that are new are left out. Both in order, no earlier one is two draws."""
    found: dict[KnownDraw, KnownDraw] = {}
    left, waiting = list(draws), list(earlier)
    for of_job in _OF_JOB:
        for of_draw in _OF_DRAW:
            if not left or not waiting:
                return found
            taken = _round(left, waiting, partial(_key, of_job=of_job, of_draw=of_draw))
            found |= taken
            left = [draw for draw in left if draw not in taken]
            used = set(taken.values())
            waiting = [one for one in waiting if one not in used]
    return found | _by_place(left, waiting, found)


def _key(
    known: KnownDraw, of_job: Callable[[KnownDraw], str], of_draw: Callable[[KnownDraw], Hashable]
) -> Hashable | None:
    job, draw = of_job(known), of_draw(known)
    return (job, known.axes, draw) if job and draw is not None else None


def _round(
    left: Iterable[KnownDraw], waiting: Iterable[KnownDraw], key: Callable[[KnownDraw], Hashable | None]
) -> dict[KnownDraw, KnownDraw]:
    """Draws and earlier ones of one key, each by turns."""
    queues: defaultdict[Hashable, deque[KnownDraw]] = defaultdict(deque)
    for one in waiting:
        queues[key(one)].append(one)
    queues.pop(None, None)
    return {draw: queue.popleft() for draw in left if (queue := queues.get(key(draw)))}


def _by_place(
    left: Iterable[KnownDraw], waiting: Iterable[KnownDraw], found: Mapping[KnownDraw, KnownDraw]
) -> dict[KnownDraw, KnownDraw]:
    """Of the last render's draws those of the job that stood behind the same job; a changed prompt is found by it."""
    places = {0: 0} | {draw.place: one.place for draw, one in found.items()}
    candidates = {(one.place, one.axes, one.choice, one.number): one for one in waiting if one.place > 0}
    taken: dict[KnownDraw, KnownDraw] = {}
    for draw in left:
        before = places.get(draw.place - 1, -1)
        place = places.get(draw.place, before + 1 if before >= 0 else -1)
        one = candidates.pop((place, draw.axes, draw.choice, draw.number), None)
        if one is not None:
            taken[draw] = one
            places[draw.place] = one.place
    return taken
