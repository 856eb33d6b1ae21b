"""When a process that renders has hung: a judgement from how long it has said nothing, and what it did meanwhile.

A slow machine is no hang. What counts is the processor time that the process has had: one that waits for a lock, or was
stopped, gets none; one that runs in a circle gets far more than its call ever took. Knows nothing of processes.
"""

from dataclasses import dataclass, field

# A process that computes on a machine with a hundred others still gets more than this share of a core.
_STILL = 0.005
# How many times what such a call took before it may take; calls differ by what else the machine does, not by this much.
_TIMES = 20
# Seconds that a call which computes, and of which nothing is known, may take: so many times the floor for each row of
# 512x512, and at least so many.
_PIXELS = 512 * 512
# So many times the floor may pass without a sign of life where nothing of a picture is computed: while an engine is opened.
_OPENING = 10


@dataclass
class _Call:
    """A call that began: what it is of, how many pictures and pixels it is for, the clock, and the process's own time."""

    what: str
    pictures: int
    pixels: int
    at: float
    cpu: float


@dataclass
class Patience:
    """Hears of calls as they begin, and says when one has lasted too long.

    floor: seconds that any call may take without any progress; on_gpu: the process waits for a device, and need not compute.
    """

    floor: float
    on_gpu: bool = False
    _calls: dict[int, _Call] = field(default_factory=dict[int, _Call])
    # (what, pixels of a picture) -> the most seconds and processor seconds a picture took.
    _took: dict[tuple[str, int], tuple[float, float]] = field(
        default_factory=dict[tuple[str, int], tuple[float, float]]
    )

    def began(self, thread: int, what: str, pictures: int, pixels: int, at: float, cpu: float) -> None:
        """A call begins in `thread` of the process, and the one before has ended; at, cpu: its clock, its processor time."""
        if (last := self._calls.pop(thread, None)) is not None and last.pictures:
            known = self._took.get((last.what, last.pixels), (0.0, 0.0))
            took = (at - last.at) / last.pictures, (cpu - last.cpu) / last.pictures
            self._took[last.what, last.pixels] = max(known[0], took[0]), max(known[1], took[1])
        if pictures:
            self._calls[thread] = _Call(what, pictures, pixels, at, cpu)

    def forget(self) -> None:
        """The process is another one, or does nothing: no call is under way."""
        self._calls.clear()

    def over(self, quiet: float, cpu: float | None) -> bool:
        """Whether a process has hung that was heard of `quiet` seconds ago; cpu: what it has had since, where known."""
        if cpu is None:  # no one knows whether it computes
            return quiet > _TIMES * self._floor() if self._calls else False
        if cpu < quiet * _STILL and quiet > self._still():
            return True
        return bool(self._calls) and cpu > _TIMES * self._floor()

    def _still(self) -> float:
        """Seconds that may pass without any progress."""
        if not self._calls:
            return _OPENING * self.floor
        expected = [self._expected(call, 0) for call in self._calls.values()]
        if self.on_gpu and None in expected:
            return _OPENING * self.floor
        return max(self.floor, *(_TIMES * (one or 0.0) for one in expected)) if self.on_gpu else self.floor

    def _floor(self) -> float:
        """Seconds that the calls under way may take, a twentieth of what they are given."""
        return max(
            self.floor * max(1.0, call.pictures * call.pixels / _PIXELS)
            if (expected := self._expected(call, 1)) is None
            else max(self.floor, expected)
            for call in self._calls.values()
        )

    def _expected(self, call: _Call, which: int) -> float | None:
        """What the call should take by those before it, of this size or scaled to it; None where there were none."""
        known = {pixels: took[which] for (what, pixels), took in self._took.items() if what == call.what}
        if not known:
            return None
        nearest = min(known, key=lambda pixels: abs(pixels - call.pixels))
        # Attention takes the square of the pixels.
        return call.pictures * known[nearest] * max(1.0, call.pixels / nearest) ** 2
