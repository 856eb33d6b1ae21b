"""When a render ends before everything is done: after so many failures, so long, or at a time of day. Knows no executor."""

import re
import time
from dataclasses import dataclass
from datetime import datetime, timedelta

from latentpress.errors import UsageError, shown

_UNITS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)(s|min|m|h|d)")


@dataclass(frozen=True)
class Policy:
    """max_failures: as many pictures may fail, or such a share (below 1) of those to render; one more ends the render.

    stop_after: seconds; stop_at: seconds since 1970. None sets no limit.
    """

    max_failures: float | None = None
    stop_after: float | None = None
    stop_at: float | None = None


NO_POLICY = Policy()


class Limits:
    """A policy as it is applied to a render of `total` pictures that begins now. why: a sentence once it is to end."""

    def __init__(self, policy: Policy, total: int) -> None:
        allowed = policy.max_failures
        self._allowed = int(allowed * total) if allowed is not None and 0 < allowed < 1 else allowed
        self._policy, self._began = policy, time.monotonic()
        self.why = ""

    def reached(self, failed: int) -> bool:
        """Whether the render is to end, now that so many pictures have failed."""
        policy = self._policy
        if self._allowed is not None and failed > self._allowed:
            self.why = f"{failed} pictures failed, and --max-failures allows {self._allowed:g}"
        elif policy.stop_after is not None and time.monotonic() - self._began >= policy.stop_after:
            self.why = "its time is up (--stop-after)"
        elif policy.stop_at is not None and time.time() >= policy.stop_at:
            self.why = "its time is up (--stop-at)"
        return bool(self.why)


def parse_failures(text: str) -> float:
    """`3` or `1%`, as `Policy` has it; raises UsageError."""
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)%|([0-9]+)", text.strip())
    if match is None or (match[1] and not 0 < float(match[1]) < 100):
        raise UsageError(f"--max-failures {shown(text)}: must be a count such as 3, or a share such as 1%")
    return float(match[1]) / 100 if match[1] else int(match[2])


def parse_duration(text: str) -> float:
    """`6h`, `90m`, `1h30m`, as seconds; raises UsageError."""
    parts = _DURATION.findall(text.strip())
    if not parts or "".join(number + unit for number, unit in parts) != text.strip():
        raise UsageError(f"--stop-after {shown(text)}: must be a time such as 6h, 90m or 1h30m")
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def parse_time(text: str, now: datetime | None = None) -> float:
    """The next time that the clock here shows `06:30`, in seconds since 1970; raises UsageError."""
    match = re.fullmatch(r"([01]?[0-9]|2[0-3]):([0-5][0-9])", text.strip())
    if match is None:
        raise UsageError(f"--stop-at {shown(text)}: must be a time of day such as 06:30")
    now = now or datetime.now()
    found = now.replace(hour=int(match[1]), minute=int(match[2]), second=0, microsecond=0)
    return (found if found > now else found + timedelta(days=1)).timestamp()
