"""Which seed each draw of a manifest has: the one of an earlier render, that of a picture that lies there, or a new one.

A draw is one job's, for the values of the axes it is not shared along. Defaults, names, templates and the values of other
axes are not part of it, so that changed ones leave it its seed; known_draws.py says how jobs are known again.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

from latentpress.batch.plan.earlier_claims import unseeded_key
from latentpress.batch.plan.identity import facts_by_hash, hashed_data, job_hashes
from latentpress.batch.plan.job import canonical_json, request_data
from latentpress.batch.plan.known_draws import KnownDraw, matched, read_known
from latentpress.manifest.draws import Draw
from latentpress.manifest.fields import FIELDS, request_of
from latentpress.manifest.manifest import Manifest
from latentpress.manifest.seeds import DRAWN
from latentpress.manifest.shape import Draft
from latentpress.manifest.written import Digests, text_digest
from latentpress.runtime.facts import Bundles


class DrawnSeeds:
    """The seeds behind the draws of `manifest`, for one pass over its pictures.

    undrawn: how many are new.
    """

    def __init__(
        self,
        manifest: Manifest,
        bundles: Bundles,
        frozen: Mapping[str, int],
        draw: Callable[[], int],
        found: Mapping[str, Sequence[int]],
    ) -> None:
        """Find the seeds that are known.

        frozen: the `table` of the last render; draw: gives a new seed; found: what `_unseeded` gives for a job -> seeds
        of its pictures whose draws no ledger remembers.
        """
        self._manifest, self._bundles, self._frozen, self._draw = manifest, bundles, frozen, draw
        self._digests = Digests()
        self._of_job: dict[int, tuple[str, str, str]] = {}
        self._seeds: dict[Draw, int] = {}
        self._unmatched: dict[KnownDraw, int] = {}
        self._others: Mapping[str, int] = {}
        self._first: _FirstKeys | None = None
        self.undrawn = 0
        if manifest.expansion.drawn and (frozen or found):
            self._unmatched, self._others = read_known(frozen)
            self._match()
            if found:
                self._take_found(found)
            self._first = _FirstKeys(bundles) if self._others else None

    def of(self, draw: Draw, draft: Draft) -> int:
        """The seed of the next picture that has a draw."""
        if self._first is not None:
            key = self._first.next(draft)
            if draw.plain and key in self._others:
                return self._others[key]
        if draw not in self._seeds:
            self._remember(draw, draft)
            self._seeds[draw] = self._draw()
            self.undrawn += 1
        return self._seeds[draw]

    def table(self) -> Mapping[str, int]:
        """What a ledger's table of seeds holds after this pass, in place of what it held.

        Draws that the manifest no longer has stay in it, for they may come back.
        """
        if not self._manifest.expansion.drawn:
            return self._frozen
        table = dict(self._others)
        gone = min((0, *(one.place for one in self._unmatched)))
        for one, seed in self._unmatched.items():
            if one.place > 0:
                gone -= 1
                one = one._replace(place=gone)
            table[one.key] = seed
        return table | {one.key: self._seeds[draw] for one, draw in self._known(self._seeds).items()}

    def _pictures(self) -> Iterator[tuple[Draw, Draft]]:
        """Every picture that has a draw."""
        for draft, asked, _ in self._manifest.drafts():
            if isinstance(asked, Draw):
                yield asked, draft

    def _known(self, draws: Sequence[Draw] | Mapping[Draw, object]) -> dict[KnownDraw, Draw]:
        """What each draw is known by, in the order of the manifest."""
        places = {job: place for place, job in enumerate(sorted({draw.job for draw in draws}), 1)}
        return {self._known_by(draw, places[draw.job]): draw for draw in sorted(draws, key=_order)}

    def _remember(self, draw: Draw, draft: Draft) -> None:
        """Keep what the job of a draw is known by; jobs are read as a stream, and none is found again by its number."""
        if draw.job not in self._of_job:
            written = draft.written
            own = {name: node for name, node in written.items() if name in FIELDS and name not in ("seed", "priority")}
            job_id, prompt = (self._digests.of(written[name]) if name in written else "" for name in ("id", "prompt"))
            self._of_job[draw.job] = job_id, self._digests.of_fields(own), prompt

    def _known_by(self, draw: Draw, place: int) -> KnownDraw:
        label = "" if draw.label is None else text_digest(draw.label)
        return KnownDraw(*self._of_job[draw.job], place, draw.axes, label, draw.choice, draw.number)

    def _match(self) -> None:
        """Give each draw the seed that an earlier one had."""
        first = _FirstKeys(self._bundles) if self._others else None
        draws: dict[Draw, None] = {}
        for draw, draft in self._pictures():
            draws[draw] = None
            self._remember(draw, draft)
            if first is not None and (key := first.next(draft)) in self._others:
                self._seeds.setdefault(draw, self._others[key])
        known = self._known(draws)
        for one, before in matched(list(known), self._unmatched).items():
            self._seeds.setdefault(known[one], self._unmatched.pop(before))

    def _take_found(self, found: Mapping[str, Sequence[int]]) -> None:
        """Give draws that no table knows the seeds of pictures found, each to one draw."""
        used = set(self._seeds.values())
        for draw, draft in self._pictures():
            if draw in self._seeds:
                continue
            seeds = [seed for key in _unseeded(draft, self._bundles) for seed in found.get(key, ())]
            if (seed := next((seed for seed in seeds if seed not in used), None)) is not None:
                self._seeds[draw] = seed
                used.add(seed)


def _order(draw: Draw) -> tuple[int, int, int]:
    return draw.job, draw.choice, draw.number


def _unseeded(draft: Draft, bundles: Bundles) -> list[str]:
    """The `JobHash.unseeded` of a draft's jobs, and by what those of earlier releases are known; none where its bundle
    refuses them."""
    facts = bundles[draft.values["model"]]
    request = request_of({**draft.values, "seed": 0}, bundles)
    if facts.refusal(request) is not None:
        return []
    data = hashed_data(request_data(request))
    refiner = facts_by_hash(bundles, request.refiner.sha256).source if request.refiner else None
    return [job_hashes(request, facts, bundles).unseeded, unseeded_key(data, facts.source, refiner)]


class _FirstKeys:
    """The keys of the table's first format, in which every picture had a draw of its own and no other is known by it.

    The sha256 of which of the equal requests it is, the job's id, and the request with -1 as its seed.
    """

    def __init__(self, bundles: Bundles) -> None:
        self._bundles = bundles
        self._seen: Counter[str] = Counter()
        self._last: tuple[Draft, str] | None = None

    def next(self, draft: Draft) -> str:
        """The key of the next picture with a draw; to be asked for each of them in order."""
        if self._last is None or self._last[0] is not draft:
            request = request_of({**draft.values, "seed": DRAWN}, self._bundles)
            self._last = draft, canonical_json([draft.id, request_data(request)])
        text = self._last[1]
        self._seen[text] += 1
        return hashlib.sha256(f"{self._seen[text]}:{text}".encode()).hexdigest()
