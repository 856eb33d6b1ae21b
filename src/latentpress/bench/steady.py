"""When a call is warmed up: its last timings show no trend any more. Knows nothing of what is timed."""

import math

# Of timings that are looked at, and the score above which they have a trend with 95% confidence.
WINDOW = 8
_TREND = 1.96


class Steady:
    """Timings of a call as they come. seconds: all of them, in order."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def add(self, seconds: float) -> None:
        """Another call took so long."""
        self.seconds.append(seconds)

    @property
    def done(self) -> bool:
        """Whether the last calls neither rise nor fall: of 8, by the test of Mann and Kendall (Econometrica 13, 1945)."""
        last = self.seconds[-WINDOW:]
        return len(last) == WINDOW and abs(trend(last)) < _TREND


def trend(values: list[float]) -> float:
    """The standard score of Mann's and Kendall's S: below 0 where values fall, 0 without a trend."""
    count = len(values)
    pairs = ((values[i], values[j]) for i in range(count) for j in range(i + 1, count))
    score = sum((later > earlier) - (later < earlier) for earlier, later in pairs)
    spread = math.sqrt(count * (count - 1) * (2 * count + 5) / 18)
    return (score - (score > 0) + (score < 0)) / spread if spread else 0.0
