"""What came of comparing two sides: counted as it comes, and told as lines for people and as data for programs."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from latentpress.compare.pair import CLOSE, DIFFERENT, EQUAL, UNREADABLE, Pair
from latentpress.errors import one_line

_STATES = (EQUAL, CLOSE, DIFFERENT, UNREADABLE)


@dataclass(frozen=True)
class Report:
    """Two sides compared.

    close: dB from which on unequal pictures are close; counts: state -> how many pairs; unequal: the pairs in another
    state than equal, the worst first; only_a, only_b: pictures of one side alone; common: what differs in how they were
    made in each of `told` pairs, those of two whole files that are unequal in their bytes.
    """

    a: Path
    b: Path
    close: float
    counts: dict[str, int]
    unequal: tuple[Pair, ...]
    only_a: tuple[str, ...]
    only_b: tuple[str, ...]
    common: tuple[str, ...]
    told: int

    @property
    def equal(self) -> bool:
        """Whether both sides hold the same pictures, pixel for pixel."""
        return not (self.unequal or self.only_a or self.only_b)

    @property
    def pairs(self) -> int:
        """How many pairs there are."""
        return sum(self.counts.values())

    def lines(self) -> Iterator[str]:
        """A line for each picture that is not equal on both sides, the worst first; then what holds for all."""
        first = [pair for pair in self.unequal if pair.state == UNREADABLE]
        yield from map(self._pair_line, first)
        for side, names in (("A", self.only_a), ("B", self.only_b)):
            yield from (f"only in {side}   {one_line(name)}" for name in names)
        yield from map(self._pair_line, self.unequal[len(first) :])
        if self.common:
            every = f"all {self.told}" if self.told == self.pairs else f"{self.told} of {self.pairs}"
            yield f"made differently, {every} pairs: {', '.join(self.common)}"
        yield self.summary()

    def summary(self) -> str:
        """How many pairs are in which state, in one line."""
        counted = {
            "equal": self.counts[EQUAL],
            f"close (>= {self.close:g} dB)": self.counts[CLOSE],
            "different": self.counts[DIFFERENT],
            "unreadable": self.counts[UNREADABLE],
            "only in A": len(self.only_a),
            "only in B": len(self.only_b),
        }
        told = ", ".join(f"{count:,} {what}" for what, count in counted.items() if count or what == EQUAL)
        return f"A {one_line(str(self.a))}, B {one_line(str(self.b))}: {told}"

    def data(self) -> dict[str, object]:
        """The same as JSON data."""
        return {
            "a": str(self.a),
            "b": str(self.b),
            "close": self.close,
            "counts": {**self.counts, "only_in_a": len(self.only_a), "only_in_b": len(self.only_b)},
            "made_differently": {"pairs": self.told, "in": list(self.common)},
            "unequal": [pair_data(pair) for pair in self.unequal],
            "only_in_a": list(self.only_a),
            "only_in_b": list(self.only_b),
        }

    def own(self, pair: Pair) -> str:
        """What differs in how a pair was made, beside what differs in all of them; empty where nothing does."""
        return ", ".join(said for said in pair.made if said not in self.common)

    def _pair_line(self, pair: Pair) -> str:
        name = one_line(pair.a if pair.a == pair.b or self.a.is_file() else f"{pair.a} = {pair.b}")
        said = f"; {made}" if (made := self.own(pair)) else ""
        return f"{pair.state:<10}  {name}: {measured(pair)}{said}"


class Tally:
    """Counts pairs as they come, in any order, and keeps those that are not equal."""

    def __init__(self, a: Path, b: Path, close: float) -> None:
        self._a, self._b, self._close = a, b, close
        self._counts: Counter[str] = Counter()
        self._unequal: list[Pair] = []
        self._common: dict[str, None] = {}
        self._told = 0

    def add(self, pair: Pair) -> None:
        """Count one pair."""
        self._counts[pair.state] += 1
        if pair.state != EQUAL:
            self._unequal.append(pair)
        if not pair.same_file and pair.state != UNREADABLE:
            before = self._common if self._told else pair.made
            self._common = {said: None for said in before if said in pair.made}
            self._told += 1

    def report(self, only_a: Sequence[str], only_b: Sequence[str]) -> Report:
        """What came of all of them; only_a, only_b: names without another side."""
        unequal = tuple(sorted(self._unequal, key=lambda pair: (pair.badness, pair.a)))
        counts = {state: self._counts[state] for state in _STATES}
        common = tuple(self._common)
        return Report(self._a, self._b, self._close, counts, unequal, tuple(only_a), tuple(only_b), common, self._told)


def measured(pair: Pair) -> str:
    """How far the two pictures of an unequal pair are apart, in a few words."""
    if pair.why is not None:
        return pair.why
    if pair.psnr is None:
        assert pair.sizes is not None
        (width, height), (wide, tall) = pair.sizes
        return f"{width}x{height} and {wide}x{tall} pixels"
    similar = "" if pair.ssim is None else f", SSIM {pair.ssim:.4f}"
    return f"{pair.psnr:.2f} dB{similar}, at most {pair.largest} of 255 apart"


def pair_data(pair: Pair) -> dict[str, object]:
    """A pair as JSON data."""
    found = asdict(pair)
    del found["same_file"]
    found["made_differently"] = list(found.pop("made"))
    found["sizes"] = pair.sizes and [f"{width}x{height}" for width, height in pair.sizes]
    return found
