"""Seconds of each part of rendering, from a machine's timings: as measured, or drawn from what is most like it.

What is drawn from something else makes an estimate rough, and what nothing is known of makes it none.
"""

from collections.abc import Iterator
from functools import cache

from latentpress.runtime.timings import Measured, Timings

# Where a part was never timed, so many UNet rows of the same size, by the multiplications in Stable Diffusion 1.5 at
# 512x512: 0.8e12 in a UNet row, 1.2e12 in the decoder, whose gradient takes about three times that.
_DECODE_ROWS, _GRADIENT_ROWS = 1.5, 4.5


class Pace:
    """The pace of one model on one engine; `rough` is set once something had to be drawn from something else."""

    def __init__(self, timings: Timings) -> None:
        self._timings = {what: seconds / count for what, (count, seconds) in timings.items() if count and seconds}
        buckets = {what: found[0] for what, found in timings.items() if what.part == "bucket"}
        self._buckets = {(what.height, what.width): int(rows) for what, rows in buckets.items()}
        self.rough = False
        self.turn = cache(self._turn)

    def bucket(self, height: int, width: int) -> int | None:
        """The rows a call had in the last render of that size, None where there was none."""
        return self._buckets.get((height, width))

    def _turn(self, height: int, width: int, chunks: int, rows: int) -> float | None:
        """Seconds of one UNet call with all that belongs to it; None where nothing of the kind was timed."""
        found = list(self._calls("turn", height, width, chunks)) or list(self._calls("turn", height, width))
        if not found:
            found = list(self._calls("call", height, width))
            self.rough = self.rough or bool(found)
        if found:
            return _at(rows, dict(found))
        nearest = self._nearest(("turn", "call"), height, width)
        if nearest is None:
            return None
        self.rough = True
        known = dict(self._calls(nearest.part, nearest.height, nearest.width))
        return _at(rows, known) * _scale(nearest, height, width)

    def gradient(self, height: int, width: int) -> float | None:
        """Seconds of a loss's gradient."""
        return self._like("gradient", height, width, _GRADIENT_ROWS)

    def decode(self, height: int, width: int) -> float | None:
        """Seconds of decoding a picture."""
        return self._like("decode", height, width, _DECODE_ROWS)

    def around(self, height: int, width: int, *, read: bool) -> float:
        """Seconds of what comes before a picture's first step and after its last; 0 for what was never timed.

        read: whether a given picture is encoded, which is taken for a decoding where none was timed.
        """
        begun = self._like("read" if read else "begin", height, width, _DECODE_ROWS if read else 0) or 0
        return begun + self._timings.get(Measured("between"), 0.0)

    @property
    def loading(self) -> float | None:
        """Seconds of opening the engines."""
        return self._timings.get(Measured("load"))

    @property
    def guidance(self) -> float | None:
        """Seconds of opening what guides by losses."""
        return self._timings.get(Measured("guidance"))

    def _like(self, part: str, height: int, width: int, rows: float) -> float | None:
        if (known := self._timings.get(Measured(part, height, width))) is not None:
            return known
        if (nearest := self._nearest((part,), height, width)) is not None:
            self.rough = self.rough or bool(rows)
            return self._timings[nearest] * _scale(nearest, height, width)
        if not rows:
            return 0.0
        self.rough = True
        call = self.turn(height, width, 1, 2)
        return None if call is None else call / 2 * rows

    def _calls(self, part: str, height: int, width: int, chunks: int | None = None) -> Iterator[tuple[int, float]]:
        for what, seconds in self._timings.items():
            if (what.part, what.height, what.width) == (part, height, width) and chunks in (None, what.chunks):
                yield what.rows, seconds

    def _nearest(self, parts: tuple[str, ...], height: int, width: int) -> Measured | None:
        """What was timed of one of `parts` with the size that is most like this one."""
        known = [what for what in self._timings if what.part in parts and what.height]
        return min(
            known, key=lambda what: max(_scale(what, height, width), 1 / _scale(what, height, width)), default=None
        )


def _scale(what: Measured, height: int, width: int) -> float:
    """How many times as many pixels the size has."""
    return height * width / (what.height * what.width)


def _at(rows: int, known: dict[int, float]) -> float:
    """Seconds of a call of `rows` rows, from those of other numbers of rows: on a line through two, else in proportion."""
    if rows in known:
        return known[rows]
    below = max((one for one in known if one < rows), default=None)
    above = min((one for one in known if one > rows), default=None)
    if below is not None and above is not None:
        return known[below] + (known[above] - known[below]) * (rows - below) / (above - below)
    nearest = below if below is not None else above
    assert nearest is not None, "a size without a call was asked for"
    return known[nearest] * rows / nearest
