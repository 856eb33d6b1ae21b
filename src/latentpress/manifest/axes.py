"""A matrix as data: axes of choices, and which of their combinations there are. Made as asked for, held by no list."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from latentpress.manifest.fields import FIELDS
from latentpress.manifest.nodes import Node, Scalar
from latentpress.manifest.values import not_given

# By this, which no text can hold, `exclude` means a value that is null.
NULL = "\0"


@dataclass
class Choice:
    """One value of one axis, or several combined: what it sets, and what it is called.

    fields: job field -> node; words: placeholder of one's own -> node; texts: placeholder -> its own text, for prompts;
    labels: placeholder -> what names and sheets show; aliases: placeholder -> every text by which `exclude` may mean it.
    """

    fields: dict[str, Node] = field(default_factory=dict[str, Node])
    words: dict[str, Node] = field(default_factory=dict[str, Node])
    texts: dict[str, str] = field(default_factory=dict[str, str])
    labels: dict[str, str] = field(default_factory=dict[str, str])
    aliases: dict[str, set[str]] = field(default_factory=dict[str, set[str]])

    def merged(self, other: "Choice") -> "Choice":
        """Both choices at once."""
        return Choice(
            self.fields | other.fields,
            self.words | other.words,
            self.texts | other.texts,
            self.labels | other.labels,
            self.aliases | other.aliases,
        )

    def put(self, key: str, node: Node, text: str, label: str | None) -> None:
        """Set `key` to what `node` says; `text` is how it reads in a prompt, `label` (if any) in names.

        Where it says null, a word of one's own reads as nothing and is called `none`, and a field is called as it is
        where no one sets it.
        """
        (self.fields if key in FIELDS else self.words)[key] = node
        self.texts[key] = text
        own = {label} if label else set[str]()
        if not_given(node):
            self.aliases[key] = {NULL, "none"} | own
            if label or key not in FIELDS:
                self.labels[key] = label or "none"
            return
        self.aliases[key] = {text} | own | ({node.text} if isinstance(node, Scalar) else set())
        # What a seed comes to is only known when ranges are spread and seeds drawn, so only a label replaces it.
        if label or key != "seed":
            self.labels[key] = label or text


@dataclass(frozen=True)
class ListedAxis:
    """An axis whose choices are all held.

    variables: every placeholder that some choice fills; seeds_alone: whether every choice sets the seed and nothing else.
    """

    name: str
    choices: Sequence[Choice]

    def __len__(self) -> int:
        return len(self.choices)

    def choice(self, index: int) -> Choice:
        """The choice at `index`."""
        return self.choices[index]

    @cached_property
    def variables(self) -> Sequence[str]:
        return list(dict.fromkeys(key for choice in self.choices for key in choice.texts))

    @cached_property
    def seeds_alone(self) -> bool:
        return all(choice.fields.keys() == choice.texts.keys() == {"seed"} for choice in self.choices)


@dataclass(frozen=True)
class SeedRange:
    """The axis `seed` over one inclusive range, `node`: its choices are made when asked for, for there may be a million."""

    node: Scalar
    numbers: range
    name: str = "seed"
    variables: Sequence[str] = ("seed",)
    seeds_alone: bool = True

    def __len__(self) -> int:
        return len(self.numbers)

    def choice(self, index: int) -> Choice:
        """The choice at `index`."""
        choice = Choice()
        text = str(self.numbers[index])
        choice.put("seed", Scalar(text, True, self.node.place), text, None)
        return choice


Axis = ListedAxis | SeedRange
# For each axis the indices that an entry of `exclude` means, None for all of them.
Exclusion = tuple[frozenset[int] | None, ...]


@dataclass(frozen=True)
class Matrix:
    """The combinations of the axes, in the order written, the last axis moving fastest."""

    axes: tuple[Axis, ...] = ()
    exclusions: tuple[Exclusion, ...] = ()

    @property
    def variables(self) -> list[str]:
        """Every placeholder some combination fills."""
        return list(dict.fromkeys(key for axis in self.axes for key in axis.variables))

    def combinations(self) -> Iterator[tuple[int, ...]]:
        """The index of each axis' choice, for every combination that is not excluded."""
        for indices in itertools.product(*(range(len(axis)) for axis in self.axes)):
            if not self.exclusions or self.excluding(indices) is None:
                yield indices

    def excluding(self, indices: tuple[int, ...]) -> int | None:
        """The first exclusion that means this combination, None where none does."""
        for number, exclusion in enumerate(self.exclusions):
            if all(meant is None or index in meant for index, meant in zip(indices, exclusion, strict=True)):
                return number
        return None

    def choice(self, indices: Sequence[int | None]) -> Choice:
        """The choices at `indices` at once; an axis at None is left out."""
        whole = Choice()
        for axis, index in zip(self.axes, indices, strict=True):
            if index is not None:
                whole = whole.merged(axis.choice(index))
        return whole
