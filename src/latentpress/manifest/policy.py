"""When a render ends before everything is done, and how often a picture is tried: as a manifest and options say it.

Knows no render; batch/policy.py applies it.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from latentpress.errors import shown
from latentpress.manifest.nodes import MapNode, Node, Problems, Scalar, described
from latentpress.manifest.values import given, parse_number

MAX_RETRIES = 1000
DEFAULT_RETRIES = 2
_UNITS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}
_FAILURES = re.compile(r"(?P<share>[0-9]{1,2}(\.[0-9]{1,9})?)%|(?P<count>[0-9]{1,9})")
_PART = r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(s|min|m|h|d)"
_TIME = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])")
# The same for the JSON Schema.
FAILURES_PATTERN = r"^((?!0+(\.0+)?%)[0-9]{1,2}(\.[0-9]{1,9})?%|[0-9]{1,9})$"
DURATION_PATTERN = r"^([0-9]{1,9}(\.[0-9]{1,9})?(s|min|m|h|d))+$"
TIME_PATTERN = r"^([01]?[0-9]|2[0-3]):[0-5][0-9]$"


@dataclass(frozen=True)
class Policy:
    """max_failures: as many pictures may fail, or such a share (below 1) of those to render; one more ends the render.

    stop_after: seconds; stop_at: seconds since 1970; retries: how often a picture is tried again, in later renders, that
    took the engine or its memory with it. None is not given: no limit, and DEFAULT_RETRIES.
    """

    max_failures: float | None = None
    stop_after: float | None = None
    stop_at: float | None = None
    retries: int | None = None

    def over(self, other: "Policy") -> "Policy":
        """This one, and what it does not give from the `other`."""
        return Policy(
            other.max_failures if self.max_failures is None else self.max_failures,
            other.stop_after if self.stop_after is None else self.stop_after,
            other.stop_at if self.stop_at is None else self.stop_at,
            other.retries if self.retries is None else self.retries,
        )


NO_POLICY = Policy()


def parse_failures(text: str) -> float:
    """`3` or `1%`, as `Policy` has it; raises ValueError with the rule."""
    match = _FAILURES.fullmatch(text)
    if match is None or (match["share"] and not float(match["share"])):
        raise ValueError(
            "must be a count such as 3, from 0 to 999,999,999, or a share such as 1%, above 0% and below 100%"
        )
    return float(match["share"]) / 100 if match["share"] else int(match["count"])


def parse_duration(text: str) -> float:
    """`6h`, `90m`, `1h30m`, as seconds; raises ValueError with the rule."""
    if re.fullmatch(f"({_PART})+", text) is None:
        raise ValueError("must be a time such as 6h, 90m or 1h30m, of numbers from 0 to 999,999,999")
    return sum(float(number) * _UNITS[unit] for number, unit in re.findall(_PART, text))


def parse_time(text: str, now: datetime | None = None) -> float:
    """The next time that the clock here shows `06:30`, in seconds since 1970; raises ValueError with the rule."""
    match = _TIME.fullmatch(text)
    if match is None:
        raise ValueError("must be a time of day such as '06:30', from 0:00 to 23:59")
    now = now or datetime.now()
    found = now.replace(hour=int(match[1]), minute=int(match[2]), second=0, microsecond=0)
    return (found if found > now else found + timedelta(days=1)).timestamp()


_PARSERS: Mapping[str, Callable[[str], float]] = {
    "max_failures": parse_failures,
    "stop_after": parse_duration,
    "stop_at": parse_time,
}
KEYS = ("max_failures", "retries", "stop_after", "stop_at")


def parse_policy(node: Node | None, problems: Problems) -> Policy:
    """The manifest's `policy`."""
    if node is None:
        return NO_POLICY
    if not isinstance(node, MapNode):
        problems.add(node.place, f"policy is {described(node)}; write it as {{max_failures: 1%, stop_after: 6h}}")
        return NO_POLICY
    for key in node.values.keys() - set(KEYS):
        problems.unknown_key(node.keys[key], KEYS, "policy")
    values, found = given(node), dict[str, float]()
    for key in values.keys() & _PARSERS.keys():
        value = values[key]
        try:
            found[key] = _PARSERS[key](value.text if isinstance(value, Scalar) else "")
        except ValueError as error:
            what = shown(value.text) if isinstance(value, Scalar) else described(value)
            problems.add(value.place, f"policy {key} is {what}; it {error}")
    retries = None
    if "retries" in values:
        rule = f"a whole number from 0 to {MAX_RETRIES:,}"
        retries = parse_number("policy retries", values["retries"], problems, 0, MAX_RETRIES, whole=True, rule=rule)
    return Policy(**found, retries=None if retries is None else int(retries))
