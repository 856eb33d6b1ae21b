"""From a manifest's drafts to a plan: sizes and seeds settled, jobs hashed, names checked, all of it in a table."""

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from latentpress.batch.plan.collisions import check_collisions
from latentpress.batch.plan.database import Database
from latentpress.batch.plan.draws import DrawnSeeds
from latentpress.batch.plan.given import picture_warnings
from latentpress.batch.plan.identity import JobHash, hashed_data, identity_of
from latentpress.batch.plan.job import request_data, stored
from latentpress.batch.plan.jobs import CLEAR, INDEXES, SCHEMA, Jobs, seed_column
from latentpress.batch.plan.prompts import PromptChecks
from latentpress.batch.plan.twins import twins_warning
from latentpress.errors import condensed, one_line, shape, short, shown
from latentpress.manifest import names, templates
from latentpress.manifest.draft import Draft
from latentpress.manifest.fields import request_of
from latentpress.manifest.manifest import Manifest, SheetSpec
from latentpress.manifest.nodes import Problems, uncollected
from latentpress.runtime.facts import BundleFacts, Bundles
from latentpress.runtime.request import RenderRequest
from latentpress.runtime.rules import earlier, numbers

# Jobs written to the table at once, and drafts kept settled: of a matrix whose seeds are not its fastest axis.
_ROWS = 5000
_SETTLED = 16_384
# What each job fills of its name by itself.
_OWN = {"seed", "index", "hash"}


@dataclass(frozen=True)
class Plan:
    """Everything that will be rendered, in order.

    jobs: read from the table as they are asked for; draws: the ledger's table of drawn seeds as it is to be;
    undrawn: how many seeds no earlier run drew; bundles: as the manifest names them, refiners among them;
    chunks: of each bundle's hash the most chunks that a prompt on it takes, 1 unless one is longer than the text
    encoders' limit and not cut; began: the date and time that names show, as `now` gives them.
    """

    name: str
    jobs: Jobs
    bundles: Bundles
    plan_hash: str
    draws: Mapping[str, int]
    undrawn: int
    warnings: tuple[str, ...]
    sheet: SheetSpec | None
    chunks: Mapping[str, int]
    table: Database
    began: str

    @property
    def bundle(self) -> BundleFacts:
        """The bundle of the first job, of most manifests the only one."""
        return self.facts(self.jobs[0].bundle)

    def facts(self, bundle_hash: str) -> BundleFacts:
        """What is known of the bundle with this hash."""
        return next(facts for facts in self.bundles.values() if facts.hash == bundle_hash)

    @property
    def rendered_on(self) -> list[BundleFacts]:
        """The bundles that jobs are rendered on, in the order of the first job of each."""
        query = "SELECT bundle FROM jobs JOIN drafts USING (draft) GROUP BY bundle ORDER BY min(job)"
        return [self.facts(bundle) for (bundle,) in self.table.answers(query)]

    @property
    def distinct(self) -> int:
        """How many different pictures there are; twins under two names are one."""
        return int(self.table.one("SELECT count(DISTINCT job_hash) FROM jobs")[0])


def build_plan(
    manifest: Manifest,
    bundles: Bundles,
    frozen: Mapping[str, int],
    draw: Callable[[], int],
    table: Database | None = None,
    found: Mapping[str, Sequence[int]] = MappingProxyType({}),
    began: str | None = None,
) -> Plan:
    """Plan `manifest` on `bundles`; `frozen` are the `draws` of the plan before, `draw` gives seeds still to be drawn.

    table: where the jobs go, in place of those of an earlier plan; by default a temporary database; found: as
    `DrawnSeeds` takes it; began: when the folder's first render of the manifest began, None where this is the first.
    Raises ManifestError listing every prompt and name that cannot be rendered.
    """
    table = table or Database(None)
    problems = Problems()
    began = began or now()
    seeds = DrawnSeeds(manifest, bundles, frozen, draw, found)
    planning = _Planning(manifest, bundles, seeds, table, problems, began)
    listing = hashlib.sha256(b"[")
    rows: list[tuple[Any, ...]] = []
    with table.transaction(), uncollected():
        table.script(CLEAR + SCHEMA)
        for row in planning.jobs():
            rows.append(row)
            if len(rows) == _ROWS:
                _write(table, rows, listing)
        _write(table, rows, listing)
        listing.update(b"]")
        check_collisions(manifest, table, problems)
        problems.raise_if_any()
        planning.prompts.warn_of_unused(manifest.concepts)
        table.script(INDEXES)
        twins = twins_warning(table, manifest.path)
    warnings = (
        *manifest.warnings,
        *_ordinary(manifest, bundles),
        *planning.prompts.warnings,
        *([twins] if twins else []),
    )
    return Plan(
        name=manifest.name,
        jobs=Jobs(table),
        bundles=bundles,
        plan_hash=listing.hexdigest(),
        draws=planning.seeds.table(),
        undrawn=planning.seeds.undrawn,
        warnings=_told(warnings),
        sheet=manifest.sheet,
        chunks=planning.prompts.chunks,
        table=table,
        began=began,
    )


def now() -> str:
    """The date and time of day as names show them, `2026-11-27 22-00`: no time zone that is set later changes them."""
    return time.strftime("%Y-%m-%d %H-%M")


def _ordinary(manifest: Manifest, bundles: Bundles) -> list[str]:
    """A warning for each of the manifest's concepts that an ordinary word of a prompt would mean."""
    words = {token for facts in bundles.values() for token in facts.ordinary}
    return [
        f"{concept.place}: warning: {short(concept.token)} is an ordinary word too; by itself in a prompt it is the concept"
        for concept in manifest.concepts
        if concept.token in words
    ]


def _told(warnings: Sequence[str]) -> tuple[str, ...]:
    """`warnings`, a line each whatever they hold; of many that say the same, wherever it is, their count."""
    lines = [one_line(line) for line in warnings]
    return tuple(condensed(lines, lambda line: shape(line.partition(": warning: ")[2])))


def _write(table: Database, rows: list[tuple[Any, ...]], listing: Any) -> None:
    """Write `rows` and empty the list; `listing` hears of each job's output and hash, as JSON."""
    table.many("INSERT INTO jobs VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
    text = ",".join([f'[{_as_json(row[4])},"{row[6]}"]' for row in rows])
    if rows:
        listing.update((("," if rows[0][0] > 1 else "") + text).encode())
    rows.clear()


# One encoder: json.dumps makes one for each call that asks for Unicode.
_as_json = json.JSONEncoder(ensure_ascii=False).encode


@dataclass(frozen=True)
class _Settled:
    """A draft on its bundle: its row in the table, what jobs with any seed share, and the texts of their names.

    earlier: the hashes that its jobs had before rules touched them; texts: what it fills of the output template.
    """

    number: int
    draft: Draft
    request: RenderRequest
    hashes: JobHash
    earlier: tuple[JobHash, ...]
    name: templates.Filling
    texts: dict[str, str]


class _Planning:
    """One pass over a manifest's drafts."""

    def __init__(
        self,
        manifest: Manifest,
        bundles: Bundles,
        seeds: DrawnSeeds,
        table: Database,
        problems: Problems,
        began: str,
    ) -> None:
        self._manifest, self._bundles, self._table, self._problems = manifest, bundles, table, problems
        self._drafts = 0
        self._template = templates.Template(manifest.output)
        self._settled = lru_cache(_SETTLED)(self._settle)
        self._said: dict[tuple[Draft, tuple[str, ...]], Draft] = {}
        self._moment = dict(zip(("date", "time"), began.split(" "), strict=True))
        self.seeds = seeds
        self.prompts = PromptChecks(bundles, problems, wildcards=manifest.wildcards)

    def jobs(self) -> Iterator[tuple[int, int, int, str | None, str, str, str, str | None]]:
        """A row of the table of jobs for each picture."""
        add, place = self._problems.add, self._manifest.output_place
        for index, (draft, asked, seed_label) in enumerate(self._manifest.drafts(), 1):
            seed = asked if isinstance(asked, int) else self.seeds.of(asked, draft)
            settled = self._settled(draft if draft.words is None else self._drawn(draft, seed))
            digest = settled.hashes.of(seed)
            own = {"seed": names.safe(seed_label) if seed_label else str(seed), "index": str(index), "hash": digest}
            output = settled.name.fill(own)
            if trouble := names.path_problem(output):
                add(
                    place, f"output name {shown(output)} {trouble}{self._template.way_out(output, settled.texts | own)}"
                )
            before = " ".join(hashes.of(seed) for hashes in settled.earlier) or None
            collision = names.collision_key(output)
            yield index, settled.number, seed_column(seed), seed_label, output, collision, digest, before

    def _drawn(self, draft: Draft, seed: int) -> Draft:
        """The draft with the words that `seed` draws; the same for seeds that draw the same."""
        try:
            prompts, labels = draft.said(seed)
        except templates.TemplateError as error:
            self._problems.add(draft.places.get(error.field, draft.prompt_place), f"{error.field} {error}")
            return draft
        key = draft, (*prompts.values(), *labels.values())
        if key not in self._said:
            if len(self._said) >= _SETTLED:
                self._said.clear()
            self._said[key] = replace(draft, values={**draft.values, **prompts}, labels={**draft.labels, **labels})
        return self._said[key]

    def _settle(self, draft: Draft) -> _Settled:
        facts = self._bundles[draft.values["model"]]
        # The seed is each job's own; 0 stands for any.
        request = request_of({**draft.values, "seed": 0}, self._bundles)
        chunks = self.prompts.check(draft, facts)
        self.prompts.warnings |= dict.fromkeys(picture_warnings(draft, request, self._bundles))
        if (refused := facts.refusal(request)) is not None:
            name, why = refused
            self._problems.add(draft.places.get(name, draft.prompt_place), why)
        for name, what in facts.notes(request):
            # Where the field is not written, the model is what it does not suit.
            place = draft.places.get(name, self._manifest.models[draft.values["model"]])
            self.prompts.warnings.setdefault(f"{place}: warning: {what}")
        labels = draft.all_labels()
        labels["size"] = labels["size"] or f"{request.width}x{request.height}"
        self._drafts += 1
        # A rule may ask for the tables of what runs, which a refused request need not have.
        data, rules = request_data(request), () if refused else facts.rules(request)
        hashed, identity = hashed_data(data), identity_of(request, facts, self._bundles, self.prompts.verdict)
        hashes = JobHash(hashed, identity, numbers(rules))
        row = (
            *(self._drafts, draft.id, facts.hash, request.width, request.height, chunks, draft.values["priority"]),
            _as_json(labels),
            _as_json(stored(request, data)),
            " ".join(numbers(rules)),
            *(identity.contents, hashes.unseeded),
        )
        self._table.run(f"INSERT INTO drafts VALUES ({', '.join('?' * len(row))})", row)
        # What some jobs' braces or values of an axis fill, and this one's do not.
        filled = dict.fromkeys(self._template.names - _OWN, "none") | self._moment | labels
        named = {key: names.safe(text) for key, text in filled.items() if key in self._template.names}
        before = tuple(JobHash(hashed, identity, known) for known in earlier(rules))
        return _Settled(self._drafts, draft, request, hashes, before, self._template.filling(named), named)
