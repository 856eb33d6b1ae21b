"""From a manifest's drafts to a plan: sizes and seeds settled, jobs hashed, names checked, all of it in a table."""

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from latentpress.batch.plan.collisions import check_collisions
from latentpress.batch.plan.database import Database
from latentpress.batch.plan.draws import DrawnSeeds
from latentpress.batch.plan.jobs import INDEXES, SCHEMA, Jobs, Row, clear, seed_column
from latentpress.batch.plan.shapes import Settled, Settling
from latentpress.batch.plan.sheet_facts import SCHEMA as FACTS
from latentpress.batch.plan.sheet_facts import Facts, put_facts
from latentpress.batch.plan.sheet_terms import check_terms
from latentpress.batch.plan.sheet_text import text_warnings
from latentpress.batch.plan.twins import seed_warnings
from latentpress.batch.plan.unguided import unguided_rows
from latentpress.errors import condensed, one_line, shape, short, shown
from latentpress.manifest import names, templates
from latentpress.manifest.manifest import Manifest
from latentpress.manifest.nodes import Problems, uncollected
from latentpress.manifest.shape import Draft, Shape
from latentpress.runtime.facts import BundleFacts, Bundles
from latentpress.safe_names import safe
from latentpress.sheets.spec import Sheet

# Jobs written to the table at once, and drafts kept of those whose words are drawn.
_ROWS = 5000
_SAID = 16_384


@dataclass(frozen=True)
class Plan:
    """Everything that will be rendered, in order.

    jobs: read from the table as they are asked for; draws: the ledger's table of drawn seeds as it is to be;
    undrawn: how many seeds no earlier run drew; bundles: as the manifest names them, refiners among them;
    chunks: of each bundle's hash the most chunks that a prompt on it takes, 1 unless one is longer than the text
    encoders' limit and not cut; began: the date and time that names show, as `now` gives them; quality: the manifest's.
    """

    name: str
    jobs: Jobs
    bundles: Bundles
    plan_hash: str
    draws: Mapping[str, int]
    undrawn: int
    warnings: tuple[str, ...]
    sheets: tuple[Sheet, ...]
    chunks: Mapping[str, int]
    table: Database
    began: str
    quality: int | None = None

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
        query = "SELECT bundle FROM shapes GROUP BY bundle ORDER BY min(shape)"
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
    settling = Settling(manifest, bundles, table, problems, began)
    listing = hashlib.sha256(b"[")
    rows: list[Row] = []
    with table.transaction(), uncollected():
        clear(table)
        table.script(SCHEMA + FACTS)
        planning = _Planning(manifest, settling, seeds, problems)
        for row in planning.jobs():
            rows.append(row)
            if len(rows) == _ROWS:
                _write(table, rows, listing)
        _write(table, rows, listing)
        if manifest.twins:
            for row in unguided_rows(manifest, table, problems, planning.row):
                rows.append(row)
                if len(rows) == _ROWS:
                    _write(table, rows, listing)
            _write(table, rows, listing)
        settling.write()
        listing.update(b"]")
        check_collisions(manifest, table, problems)
        axes = tuple(axis.name for axis in manifest.expansion.matrix.axes)
        check_terms(manifest, table, axes, problems)
        problems.raise_if_any()
        settling.prompts.warn_of_unused(manifest.concepts)
        table.script(INDEXES)
        put_facts(table, Facts(manifest.name, listing.hexdigest(), began, axes, manifest.sheets))
        seed_lines = seed_warnings(table, manifest.path)
        sheet_lines = text_warnings(table, manifest.sheets, axes, manifest.path)
    warnings = (
        *manifest.warnings,
        *_ordinary(manifest, bundles),
        *settling.prompts.warnings,
        *seed_lines,
        *sheet_lines,
    )
    return Plan(
        name=manifest.name,
        jobs=Jobs(table),
        bundles=bundles,
        plan_hash=listing.hexdigest(),
        draws=seeds.table(),
        undrawn=seeds.undrawn,
        warnings=_told(warnings),
        sheets=manifest.sheets,
        chunks=settling.prompts.chunks,
        table=table,
        began=began,
        quality=manifest.quality,
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


def _write(table: Database, rows: list[Row], listing: Any) -> None:
    """Write `rows` and empty the list; `listing` hears of each job's output and hash, as JSON."""
    table.many("INSERT INTO jobs VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
    text = ",".join([f'[{_as_json(row[4])},"{row[6]}"]' for row in rows])
    if rows:
        listing.update((("," if rows[0][0] > 1 else "") + text).encode())
    rows.clear()


# One encoder: json.dumps makes one for each call that asks for Unicode.
_as_json = json.JSONEncoder(ensure_ascii=False).encode


class _Planning:
    """One pass over a manifest's drafts."""

    def __init__(self, manifest: Manifest, settling: Settling, seeds: DrawnSeeds, problems: Problems) -> None:
        self._manifest, self._settling, self._seeds, self._problems = manifest, settling, seeds, problems
        self._template = templates.Template(manifest.output)
        self._said: dict[tuple[Draft, tuple[str, ...]], Draft] = {}
        self._last: Draft | None = None
        self._settled: Settled | None = None

    def jobs(self) -> Iterator[Row]:
        """A row of the table of jobs for each picture of the manifest."""
        for index, (draft, asked, seed_label) in enumerate(self._manifest.drafts(), 1):
            yield self.row(index, draft, asked if isinstance(asked, int) else self._seeds.of(asked, draft), seed_label)

    def row(self, index: int, draft: Draft, seed: int, seed_label: str | None) -> Row:
        """The row of one picture."""
        if draft.words is not None:
            draft = self._drawn(draft, seed)
        if draft is not self._last or self._settled is None:
            self._last, self._settled = draft, self._settling.of(draft)
        settled = self._settled
        digest = settled.hashes.of(seed)
        own = {
            "seed": safe(seed_label) if seed_label else str(seed),
            "index": str(index),
            "hash": digest,
            **settled.own,
        }
        output = settled.name.fill(own)
        if trouble := names.path_problem(output):
            way_out = self._template.way_out(output, {**settled.shared, **own})
            message = f"output name {shown(output)} {trouble}{way_out}"
            self._problems.add(self._manifest.output_place, message)
        before = " ".join([hashes.of(seed) for hashes in settled.earlier]) if settled.earlier else None
        return (
            *(index, settled.number, seed_column(seed), seed_label, output),
            *(names.collision_key(output), digest, before),
        )

    def _drawn(self, draft: Draft, seed: int) -> Draft:
        """The draft with the words that `seed` draws; the same for seeds that draw the same."""
        try:
            prompts, labels = draft.said(seed)
        except templates.TemplateError as error:
            self._problems.add(draft.places.get(error.field, draft.prompt_place), f"{error.field} {error}")
            return draft
        key = draft, (*prompts.values(), *labels.values())
        if key not in self._said:
            if len(self._said) >= _SAID:
                self._said.clear()
            shape = Shape({**draft.values, **prompts}, {**draft.labels, **labels})
            self._said[key] = replace(draft, shape=shape, prompt=shape.values["prompt"])
        return self._said[key]
