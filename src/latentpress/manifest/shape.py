"""Jobs as they are written, drafts as they come of it, and what jobs have in common that differ in prompt, id and seed."""

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from latentpress.manifest.field import Values
from latentpress.manifest.fields import FIELDS, label
from latentpress.manifest.nodes import ListNode, MapNode, Node, Place, Scalar
from latentpress.manifest.plain_text import Line
from latentpress.manifest.values import MAX_TEXT, not_given
from latentpress.manifest.wordings import Words

# What is a job's own, and the values within maps and lists that a key holds at most: aliases may multiply.
_OWN = frozenset(("prompt", "id", "seed"))
_VALUES, _DEPTH = 100, 4
# Digits that any seed may have: 2^64-1 has twenty.
_DIGITS = 19
_NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(slots=True, eq=False)
class JobNode:
    """One job as written: an entry of `jobs`, a line of a file, or the manifest as a whole where it has none.

    fields: what it says itself, its `id` and `n` among them; defaults: what all jobs of one file are given, the same map for
    each of them.
    """

    id: str
    fields: Mapping[str, Node]
    place: Place
    defaults: Mapping[str, Node] = field(default_factory=lambda: _NOTHING)


class LineJob(JobNode):
    """A job whose line is written as an earlier one but for id, prompt and seed, and which is parsed once someone asks.

    key: equal for those of which the rest is written alike; prompt, seed: None where it says none.
    """

    __slots__ = ("_parse", "_text", "key", "number", "prompt", "seed")

    def __init__(
        self,
        job_id: str,
        key: Hashable,
        prompt: str | None,
        seed: int | None,
        defaults: Mapping[str, Node],
        number: int,
        text: str,
        parse: Callable[[int, str], JobNode],
    ) -> None:
        self.id, self.key, self.prompt, self.seed, self.defaults = job_id, key, prompt, seed, defaults
        self.number, self._text, self._parse = number, text, parse

    @property
    def fields(self) -> Mapping[str, Node]:  # pyright: ignore[reportIncompatibleVariableOverride] - read alone
        """What it says itself."""
        return self._parse(self.number, self._text).fields

    @property
    def place(self) -> Place:  # pyright: ignore[reportIncompatibleVariableOverride] - read alone
        """Where it begins."""
        return self._parse(self.number, self._text).place


@dataclass(frozen=True, eq=False)
class Shape:
    """What drafts have in common that differ in their id, their prompt and where they are written alone.

    values: every field, `seed` aside; the prompt is that of the first of them; labels: what the matrix calls some of them.
    """

    values: Values
    labels: Mapping[str, str]


@dataclass(slots=True, eq=False)
class Draft:
    """What the pictures of one job and one combination have in common: all but their seeds.

    job: what it comes of; prompt: filled in; defaults, chosen: where the manifest and its matrix set fields, if only to
    null; moved: prompts as they are written that stand elsewhere, in a file; words: of prompts that have drawn words in
    them, which each seed draws; `values` has an example of them.
    """

    job: JobNode
    shape: Shape
    prompt: str
    defaults: Mapping[str, Node]
    chosen: Mapping[str, Node]
    moved: Mapping[str, Line] = field(default_factory=lambda: _NOTHING)
    words: Words | None = None

    @property
    def id(self) -> str:
        """The job's."""
        return self.job.id

    @property
    def written(self) -> Mapping[str, Node]:
        """What the job says itself."""
        return self.job.fields

    @property
    def values(self) -> Values:
        """Every field, prompts filled in, `seed` aside."""
        return {**self.shape.values, "prompt": self.prompt}

    @property
    def labels(self) -> Mapping[str, str]:
        """What the matrix calls some of the fields."""
        return self.shape.labels

    @property
    def nodes(self) -> Mapping[str, Node]:
        """Field -> what sets it, if only to null."""
        return {**self.defaults, **self.job.defaults, **self.job.fields, **self.chosen}

    @property
    def places(self) -> dict[str, Place]:
        """Field -> where the manifest sets it; a field that no one sets is not among them."""
        places = {name: node.place for name, node in self.nodes.items()}
        return places | {name: line.place for name, line in self.moved.items()}

    def written_prompt(self, name: str) -> Line | None:
        """A prompt as it is written, and where; None where nobody gives it."""
        node = self.nodes.get(name)
        return self.moved.get(name) or (Line(node.text, node.place) if isinstance(node, Scalar) else None)

    @property
    def prompt_place(self) -> Place:
        """Where the prompt stands; every draft has one."""
        return self.places["prompt"]

    def said(self, seed: int) -> tuple[dict[str, str], dict[str, str]]:
        """The prompts that `seed` draws where there are `words`, and what their braces fill."""
        return ({}, {}) if self.words is None else self.words.said(seed)

    def all_labels(self) -> dict[str, str]:
        """Placeholder -> what names and sheets show, for every field but the seed; the matrix' labels win."""
        values = self.values
        texts = {name: label(name, values) for name in FIELDS if name != "seed"}
        return {"id": self.id} | texts | dict(self.labels)


def key_of(job: JobNode) -> Hashable | None:
    """Equal for jobs that come to drafts of one shape with the same choices; None for one that must be read for itself."""
    if isinstance(job, LineJob):
        return job.key
    if "n" in job.fields:
        return None
    key: list[Hashable] = [job.place.file, id(job.defaults)]
    for name, node in job.fields.items():
        key.append(name)
        scalar = isinstance(node, Scalar)
        if name in _OWN:
            if scalar and not node.plain:  # in quotes, as most are
                continue
            if not_given(node):
                return None
        elif scalar:
            key += (node.text, node.plain)
        elif not _add(node, key, _DEPTH):
            return None
    return tuple(key)


def quick_text(node: Node) -> str | None:
    """The text of most prompts: ASCII in quotes; None for others, which are parsed."""
    if not isinstance(node, Scalar) or node.plain:
        return None
    text = node.text
    return text if text.isascii() and "\0" not in text and len(text) <= MAX_TEXT else None


def quick_seed(node: Node) -> tuple[int] | None:
    """The seed of most jobs: some digits; None for others, which are parsed."""
    if not isinstance(node, Scalar) or not node.plain:
        return None
    text = node.text
    return (int(text),) if len(text) <= _DIGITS and text.isascii() and text.isdigit() else None


def _add(node: Node, key: list[Hashable], depth: int) -> bool:
    """Add what a node says to a key; False where that is too much."""
    if isinstance(node, Scalar):
        key += (node.text, node.plain)
        return True
    if depth == 0 or len(key) > _VALUES:
        return False
    if isinstance(node, MapNode):
        key += (MapNode, len(node.values), *node.values)
        return all(_add(value, key, depth - 1) for value in node.values.values())
    key += (ListNode, len(node.items))
    return all(_add(item, key, depth - 1) for item in node.items)
