"""Settles what a plan's drafts have in common, once: all but their prompts, ids and seeds. Few of a million differ in more.

A shape is one manifest `Shape` on its bundle; a variant of it is what prompts share that draw on the same concepts and are
touched by the same rules. A prompt that A1111's dialect changes between the steps is a variant of its own. Shapes that
differ in their matrix' labels alone, as where axes make up the prompt, are settled from the first of them.
"""

import json
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from latentpress.batch.plan.database import Database
from latentpress.batch.plan.given import picture_warnings
from latentpress.batch.plan.identity import Prompted, Seeded, hashed_data, identity_of
from latentpress.batch.plan.job import request_data, stored
from latentpress.batch.plan.prompts import PromptChecks
from latentpress.manifest import templates
from latentpress.manifest.field import Values
from latentpress.manifest.fields import request_of
from latentpress.manifest.manifest import Manifest
from latentpress.manifest.nodes import Problems
from latentpress.manifest.shape import Draft, Shape
from latentpress.runtime.facts import BundleFacts, Bundles
from latentpress.runtime.prompt_rules import reading_of
from latentpress.runtime.prompts.parts import Reading
from latentpress.runtime.request import RenderRequest
from latentpress.runtime.rules import earlier, numbers
from latentpress.safe_names import safe

# Shapes and drafts kept settled: of a matrix whose seeds are not its fastest axis, or a file whose lines differ.
_KEPT = 16_384
# Variants of one shape: more than its prompts' concepts come to, unless there is one for each prompt.
_VARIANTS = 1024
_ROWS = 5000

# What jobs and drafts fill of their names by themselves.
_OWN = {"id", "prompt", "seed", "index", "hash"}

# One encoder: json.dumps makes one for each call that asks for Unicode.
_as_json = json.JSONEncoder(ensure_ascii=False).encode


@dataclass(frozen=True)
class _Variant:
    """What prompts share: their row in the table of shapes, their hashes, and those from before rules touched them."""

    number: int
    hashes: Prompted
    earlier: Sequence[Prompted]


@dataclass(frozen=True)
class _Made:
    """A variant and its row, but for number and labels."""

    before_labels: Sequence[object]
    after_labels: Sequence[object]
    hashes: Prompted
    earlier: Sequence[Prompted]


@dataclass(frozen=True)
class _Shape:
    """A shape on its bundle.

    on: the bundles that read its prompts; request: with the prompt of its first draft and seed 0; telling: whether something
    is to be said of each of its drafts, at its place; chunks: of the negative prompt; values: its own, which must live as
    long as it is known by them; unlabelled: its labels but for the matrix'; made: the variants of all shapes that it is kin
    to.
    """

    facts: BundleFacts
    on: Sequence[BundleFacts]
    request: RenderRequest
    reading: Reading
    refused: tuple[str, str] | None
    notes: Sequence[tuple[str, str]]
    telling: bool
    chunks: int
    labels: Mapping[str, str]
    texts: Mapping[str, str]
    name: templates.Filling
    values: Values
    unlabelled: Mapping[str, str]
    variants: dict[Hashable, _Variant] = field(default_factory=dict[Hashable, _Variant])
    made: dict[Hashable, _Made] = field(default_factory=dict[Hashable, _Made])


@dataclass(slots=True, eq=False)
class Settled:
    """A draft on its bundle: its number in the table, its hashes, and its file name but for seed, index and hash.

    earlier: the hashes that its jobs had before rules touched them; own: what is its own of the output template; shared:
    what else fills it.
    """

    number: int
    hashes: Seeded
    earlier: Sequence[Seeded]
    name: templates.Filling
    own: Mapping[str, str]
    shared: Mapping[str, str]


class Settling:
    """Settles a manifest's drafts one by one and puts them into the plan's table; mistakes go to `problems`."""

    def __init__(self, manifest: Manifest, bundles: Bundles, table: Database, problems: Problems, began: str) -> None:
        self._manifest, self._bundles, self._table, self._problems = manifest, bundles, table, problems
        self._template = templates.Template(manifest.output)
        self._named = [name for name in ("id", "prompt") if name in self._template.names]
        self._shapes: dict[object, _Shape] = {}
        self._kin: dict[Hashable, _Shape] = {}
        self._settled: dict[Draft, Settled] = {}
        # Where no axis is, the jobs of a draft follow each other.
        self._recurring = bool(manifest.expansion.matrix.axes)
        self._rows: list[tuple[object, ...]] = []
        self._shape_rows: list[tuple[object, ...]] = []
        self._drafts = self._variants = 0
        self._moment = dict(zip(("date", "time"), began.split(" "), strict=True))
        words = manifest.expansion.wordings
        self.prompts = PromptChecks(bundles, problems, words.where, words.lines, wildcards=manifest.wildcards)

    def of(self, draft: Draft) -> Settled:
        """The draft of the next job, settled once for all of its jobs."""
        if not self._recurring:
            return self._settle(draft)
        settled = self._settled.get(draft)
        if settled is None:
            if len(self._settled) >= _KEPT:
                self._settled.clear()
            settled = self._settled[draft] = self._settle(draft)
        return settled

    def write(self) -> None:
        """Put what was settled since the last time into the table."""
        self._table.many("INSERT INTO prompts VALUES (?, ?, ?, ?, ?, ?, ?)", self._rows)
        self._rows.clear()
        self._write_shapes()

    def _settle(self, draft: Draft) -> Settled:
        shape = self._shapes.get(draft.shape)
        if shape is None:
            if len(self._shapes) >= _KEPT:
                self._shapes.clear()
            shape = self._shapes[draft.shape] = self._settle_shape(draft)
        elif shape.telling:
            self._tell(draft, shape)
        prompt, chunks = draft.prompt, shape.chunks
        concepts = self.prompts.plain(prompt, shape.reading, shape.on)
        if concepts is not None:
            variant = shape.variants.get(concepts) or self._variant(draft, shape, concepts)
        else:
            most, found = self.prompts.positive(draft, shape.facts)
            chunks = max(chunks, most)
            alike = shape.facts.alike(prompt, shape.reading)
            key = None if alike is None else (alike, found)
            variant = (key and shape.variants.get(key)) or self._variant(draft, shape, key)
        hashes = variant.hashes.of(prompt)
        self._drafts += 1
        label = draft.labels.get("prompt")
        self._rows.append((self._drafts, variant.number, draft.id, prompt, label, chunks, hashes.unseeded))
        if len(self._rows) == _ROWS:
            self.write()
        own = {"id": draft.id, "prompt": prompt if label is None else label}
        named = {name: safe(own[name]) for name in self._named}
        before = [one.of(prompt) for one in variant.earlier] if variant.earlier else ()
        return Settled(self._drafts, hashes, before, shape.name, named, shape.texts)

    def _settle_shape(self, draft: Draft) -> _Shape:
        known_by = _known_by(draft.shape.values)
        first = self._kin.get(known_by)
        if first is None:
            if len(self._kin) >= _KEPT:
                self._kin.clear()
            shape = self._kin[known_by] = self._settle_first(draft)
        else:
            shape = replace(first, **self._labelled(draft, first.unlabelled, first.request), variants={})
        self._tell(draft, shape)
        return shape

    def _settle_first(self, draft: Draft) -> _Shape:
        facts = self._bundles[draft.values["model"]]
        # The seed is each job's own; 0 stands for any.
        request = request_of({**draft.values, "seed": 0}, self._bundles)
        unlabelled = replace(draft, shape=Shape(draft.shape.values, {})).all_labels()
        refused, notes = facts.refusal(request), facts.notes(request)
        chunks, said = self.prompts.negative(draft, facts)
        return _Shape(
            facts=facts,
            on=self.prompts.read_on(draft.values, facts),
            request=request,
            reading=reading_of(request),
            refused=refused,
            notes=notes,
            telling=bool(said or refused or notes or request.init_image or request.mask_image),
            chunks=chunks,
            **self._labelled(draft, unlabelled, request),
            values=draft.shape.values,
            unlabelled=unlabelled,
        )

    def _labelled(self, draft: Draft, unlabelled: Mapping[str, str], request: RenderRequest) -> dict[str, Any]:
        """Of a shape what the labels decide."""
        labels = {**unlabelled, **draft.labels, "id": "", "prompt": ""}
        labels["size"] = labels["size"] or f"{request.width}x{request.height}"
        shared = self._template.names - _OWN
        # What some jobs' braces or values of an axis fill, and this one's do not, is "none".
        filled = dict.fromkeys(shared, "none") | self._moment | labels if shared else {}
        texts = {key: safe(filled[key]) for key in shared}
        return {"labels": labels, "texts": texts, "name": self._template.filling(texts)}

    def _tell(self, draft: Draft, shape: _Shape) -> None:
        """Say what is to be said of each draft of a shape: a line for its place."""
        warnings, places = self.prompts.warnings, draft.places
        if shape.telling:
            self.prompts.negative(draft, shape.facts)
            warnings |= dict.fromkeys(picture_warnings(draft, shape.request, self._bundles))
        if shape.refused is not None:
            name, why = shape.refused
            self._problems.add(places.get(name, draft.prompt_place), why)
        for name, what in shape.notes:
            # Where the field is not written, the model is what it does not suit.
            place = places.get(name, self._manifest.models[draft.values["model"]])
            warnings.setdefault(f"{place}: warning: {what}")

    def _variant(self, draft: Draft, shape: _Shape, key: Hashable | None) -> _Variant:
        """The variant of a shape that fits the prompt of `draft`; key: what it is known by, None for this prompt alone."""
        made = None if key is None else shape.made.get(key)
        if made is None:
            made = self._make(draft, shape)
            if key is not None:
                if len(shape.made) >= _VARIANTS:
                    shape.made.clear()
                shape.made[key] = made
        self._variants += 1
        row = (self._variants, *made.before_labels, _as_json(shape.labels), *made.after_labels)
        self._shape_rows.append(row)
        if len(self._shape_rows) == _ROWS:
            self._write_shapes()
        variant = _Variant(self._variants, made.hashes, made.earlier)
        if key is not None:
            if len(shape.variants) >= _VARIANTS:
                shape.variants.clear()
            shape.variants[key] = variant
        return variant

    def _make(self, draft: Draft, shape: _Shape) -> _Made:
        request = request_of({**draft.values, "seed": 0}, self._bundles)
        # A rule may ask for the tables of what runs, which a refused request need not have.
        data, rules = request_data(request), () if shape.refused else shape.facts.rules(request)
        hashed = hashed_data(data)
        identity = identity_of(request, shape.facts, self._bundles, self.prompts.verdict)
        before = (shape.facts.hash, request.width, request.height, draft.values["priority"])
        after = (_as_json({**stored(request, data), "prompt": ""}), " ".join(numbers(rules)), identity.contents)
        earlier_ones = [Prompted(hashed, identity, known) for known in earlier(rules)]
        return _Made(before, after, Prompted(hashed, identity, numbers(rules)), earlier_ones)

    def _write_shapes(self) -> None:
        self._table.many("INSERT INTO shapes VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", self._shape_rows)
        self._shape_rows.clear()


def _known_by(values: Values) -> Hashable:
    """Equal for values that are the same objects but for prompt and seed, and texts that are equal."""
    return tuple(
        value if type(value) is str else id(value) for name, value in values.items() if name not in ("prompt", "seed")
    )
