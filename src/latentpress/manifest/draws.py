"""Which pictures of a manifest share a drawn seed. Knows nothing of the seeds that are drawn."""

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import accumulate
from typing import NamedTuple

from latentpress.manifest.axes import Axis, Matrix
from latentpress.manifest.nodes import Node
from latentpress.manifest.seeds import ToDraw, is_drawn
from latentpress.manifest.written import Digests, text_digest


class Draw(NamedTuple):
    """One seed to be drawn; pictures with equal draws share it.

    job: the number of its job, from 1; axes: the digest of the values of those axes that it is not shared along, empty where
    there are none; label: what the axis of seeds calls it; choice: which of the drawn values of that axis it is, from 1;
    number: which of the seeds of one value, from 1; plain: written as -1.
    """

    job: int
    axes: str
    label: str | None
    choice: int
    number: int
    plain: bool


class Sharing:
    """Tells which combinations of a matrix share a draw."""

    def __init__(self, matrix: Matrix) -> None:
        self._matrix, self._digests = matrix, Digests()
        # Only one axis may set the seed.
        self._setter = next((at for at, axis in enumerate(matrix.axes) if "seed" in axis.variables), None)

    def draws(
        self, asked: ToDraw, job: int, indices: Sequence[int | None], label: str | None, words: str = ""
    ) -> Iterator[Draw]:
        """The draws that `asked` comes to for one job, combination and choice of its braces' `words`."""
        apart, choice = self._apart(asked, indices), 1
        if words and asked.along is not None:
            apart.append(f"words {text_digest(words)}")
        if self._setter is not None and self._matrix.axes[self._setter].seeds_alone:
            choice = self._ordinals[indices[self._setter] or 0]
        axes = text_digest(" ".join(apart)) if apart else ""
        for number in range(1, asked.count + 1):
            yield Draw(job, axes, label, choice, number, asked.plain)

    def _apart(self, asked: ToDraw, indices: Sequence[int | None]) -> list[str]:
        """The values that tell this draw from the job's others, in an order that moved axes do not change."""
        found: list[str] = []
        for at, (axis, index) in enumerate(zip(self._matrix.axes, indices, strict=True)):
            if index is None or axis.seeds_alone:
                continue
            # A draw that stands in a value of an axis, with other fields beside it, is that value's own.
            stands_here = at == self._setter and "seed" in axis.choice(index).fields
            if stands_here or (asked.along is not None and axis.name not in asked.along):
                found.append(self._values[at][index])
        return sorted(found)

    @cached_property
    def _values(self) -> list[list[str]]:
        """Of each axis a text for each value, which holds what the value sets and no label."""
        return [[] if axis.seeds_alone else list(self._texts(axis)) for axis in self._matrix.axes]

    def _texts(self, axis: Axis) -> Iterator[str]:
        seen: Counter[str] = Counter()
        for index in range(len(axis)):
            choice = axis.choice(index)
            written: dict[str, Node] = {**choice.words, **choice.fields}
            for name in ("seed", "priority"):  # which the draw is of, or which has no part in the picture
                written.pop(name, None)
            text = self._digests.of_fields(written)
            seen[text] += 1
            yield f"{text}#{seen[text]}"

    @cached_property
    def _ordinals(self) -> list[int]:
        """Of each value of the axis of seeds how many up to it are drawn."""
        assert self._setter is not None
        axis = self._matrix.axes[self._setter]
        return list(accumulate(int(is_drawn(axis.choice(index).fields["seed"])) for index in range(len(axis))))
