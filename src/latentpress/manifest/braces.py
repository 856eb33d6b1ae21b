"""Braces in prompts, `{red|blue}`, as data: how many prompts a text with them is, which ones, and which words a seed draws.

The syntax is that of the package dynamicprompts. All options are meant, each a prompt, unless `~` says that one is drawn.
Knows nothing of manifests and files: variants.py reads texts to these parts. Pure.
"""

import hashlib
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple

from latentpress.manifest.nodes import Place

# From here on one array is faster than a loop.
_MANY = 64
_MASK = 2**64 - 1


@dataclass(frozen=True, slots=True)
class Option:
    """One option: its text as written, what it comes to, and how likely it is beside the others when one is drawn.

    place: where the text begins, if that is in a file of its own; weighted: whether a weight other than 1 was written.
    """

    text: str
    parts: "Sequence[Part]"
    weight: float = 1.0
    place: Place | None = field(default=None, compare=False)
    weighted: bool = field(default=False, compare=False)


@dataclass(frozen=True, eq=False)
class Braces:
    """Options, of which `low` to `high` at a time are put together with `separator` between them.

    name: the placeholder that they fill; drawn: whether the seed decides; key: what tells this draw from the others of
    one prompt.
    """

    options: Sequence[Option]
    name: str | None = None
    drawn: bool = False
    key: str = ""
    low: int = 1
    high: int = 1
    separator: str = ","

    @cached_property
    def count(self) -> int:
        """How many texts it is, drawn ones aside."""
        if self.drawn:
            return 1
        counts = [count_of(option.parts) for option in self.options]
        if self.low == self.high == 1:
            return sum(counts)
        # How many sets of 0, 1, ... options there are, each with every text of its members; then every order of them.
        sets = [1] + [0] * self.high
        for count in counts:
            for size in range(self.high, 0, -1):
                sets[size] += sets[size - 1] * count
        return sum(sets[size] * math.factorial(size) for size in range(self.low, self.high + 1))

    @cached_property
    def digests(self) -> list[int]:
        """A number for each option's text."""
        return [_number(option.text) for option in self.options]

    @cached_property
    def weights(self) -> list[float] | None:
        """The options' weights, None where all are equal."""
        weights = [option.weight for option in self.options]
        return weights if len(set(weights)) > 1 else None


Part = str | Braces


class Span(NamedTuple):
    """In a row of tokens: here begins what braces of this name came to, or of none; it ends at the next END on its level."""

    name: str | None


END = Span("")
Token = str | Braces | Span


def count_of(parts: "Sequence[Part]") -> int:
    """How many texts `parts` are."""
    return math.prod(part.count for part in parts if isinstance(part, Braces))


def each(parts: "Sequence[Part]") -> Iterator[tuple[Token, ...]]:
    """Every text of `parts` in the order written, the last braces moving fastest; what is to be drawn is left in it."""
    head: list[Token] = []
    for at, part in enumerate(parts):
        if isinstance(part, str) or part.drawn:
            head.append(part)
        elif part.count == 1:  # so that only what branches goes deeper
            head += next(_choices(part))
        else:
            for chosen in _choices(part):
                for rest in each(parts[at + 1 :]):
                    yield (*head, *chosen, *rest)
            return
    yield tuple(head)


def _choices(braces: Braces) -> Iterator[tuple[Token, ...]]:
    for size in range(braces.low, braces.high + 1):
        for chosen in _orders(braces, size, frozenset()):
            yield (Span(braces.name), *chosen, END)


def _orders(braces: Braces, size: int, used: frozenset[int]) -> Iterator[tuple[Token, ...]]:
    """`size` options in every order, every text of each; those `used` stand before them."""
    if not size:
        yield ()
        return
    for at, option in enumerate(braces.options):
        if at in used:
            continue
        for one in each(option.parts):
            for rest in _orders(braces, size - 1, used | {at} if size > 1 else used):
                yield (*one, braces.separator, *rest) if size > 1 else one


class Said(NamedTuple):
    """What a row of tokens comes to: its text, of each named braces the words chosen, and those of all outermost ones."""

    text: str
    named: dict[str, str]
    chosen: list[str]


def say(tokens: Sequence[Token], seed: int = 0, salt: str = "") -> Said:
    """The text of `tokens`; what is to be drawn, `seed` and `salt` decide."""
    text: list[str] = []
    named: dict[str, str] = {}
    chosen: list[str] = []
    opened: list[tuple[str | None, int]] = []
    met: Counter[str] = Counter()
    todo = list(reversed(tokens))
    while todo:
        token = todo.pop()
        if isinstance(token, str):
            text.append(token)
        elif isinstance(token, Braces):
            met[token.key] += 1
            todo += reversed(_drawn(token, f"{seed} {salt} {met[token.key]} {token.key}"))
        elif token is not END:
            opened.append((token.name, len(text)))
        else:
            name, start = opened.pop()
            words = "".join(text[start:])
            if name is not None:
                named[name] = words
            if not opened:
                chosen.append(words)
    return Said("".join(text), named, chosen)


def _drawn(braces: Braces, stirred: str) -> list[Token]:
    """The options that are drawn. An option's chance depends on its own text, so that others may come and go beside it."""
    stir = _number(stirred)
    size = braces.low
    if braces.high > braces.low:
        size += _mixed(stir ^ _number("how many")) % (braces.high - braces.low + 1)
    tokens: list[Token] = [Span(braces.name)]
    for number, at in enumerate(_least(braces, stir, size)):
        tokens += [braces.separator] if number else []
        # Within what is drawn everything is.
        tokens += [
            part if isinstance(part, str) or part.drawn else replace(part, drawn=True)
            for part in braces.options[at].parts
        ]
    return [*tokens, END]


def _least(braces: Braces, stir: int, size: int) -> Sequence[int]:
    """The `size` options of the least marks, each mark a random number of the option's own: weighted sampling without
    replacement (Efraimidis and Spirakis, 2006)."""
    if braces.weights is None:
        if len(braces.options) > _MANY:
            return _least_of_many(braces.digests, stir, size)
        marks: list[float] = [_mixed(stir ^ digest) for digest in braces.digests]
    else:
        marks = [
            -math.log((_mixed(stir ^ digest) + 1) / 2**64) / weight if weight else math.inf
            for digest, weight in zip(braces.digests, braces.weights, strict=True)
        ]
    return sorted(range(len(marks)), key=marks.__getitem__)[:size]


def _least_of_many(digests: list[int], stir: int, size: int) -> Sequence[int]:
    """The same of equal weights, in an array."""
    import numpy as np

    x = np.array(digests, np.uint64) ^ np.uint64(stir)
    x += np.uint64(_GOLDEN)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(_FIRST)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(_SECOND)
    x ^= x >> np.uint64(31)
    return [int(at) for at in np.argsort(x, kind="stable")[:size]]


# SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
_GOLDEN, _FIRST, _SECOND = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


def _mixed(x: int) -> int:
    x = (x + _GOLDEN) & _MASK
    x = ((x ^ (x >> 30)) * _FIRST) & _MASK
    x = ((x ^ (x >> 27)) * _SECOND) & _MASK
    return x ^ (x >> 31)


def _number(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")
