"""What a render would take, in words and as data: what is opened, the work in its order, time and disk."""

from collections import Counter
from collections.abc import Iterator

from latentpress.batch.estimate.estimate import Estimate, Part
from latentpress.batch.estimate.here import Prospect
from latentpress.batch.plan.plan import Plan
from latentpress.batch.progress import duration
from latentpress.errors import counted

# Sizes of one bundle and kinds of one size that are listed; what plans have more of is told as a number.
_LISTED = 12
_KINDS = 4


def prospect_lines(plan: Plan, found: Prospect) -> Iterator[str]:
    """The work, ordered as it is rendered, and the time; nothing where nothing is left."""
    by_bundle: dict[str, list[Part]] = {}
    for part in found.time.parts:
        by_bundle.setdefault(part.load.bundle, []).append(part)
    for bundle, parts in by_bundle.items():
        yield _opened(plan, found, bundle, parts)
        yield from (f"  {_part_line(part)}" for part in parts[:_LISTED])
        if len(parts) > _LISTED:
            yield f"  and {counted(len(parts) - _LISTED, 'more size')}"
    if by_bundle:
        yield time_line(found.time)


def time_line(time: Estimate) -> str:
    """How long it will take, as far as that is known, and how far off such estimates were."""
    if time.seconds is None:
        return "time unknown: nothing like it was rendered on this engine here; `render --limit 8` finds out"
    loading = f" and {duration(time.loading)} to load" if time.loading else ""
    if time.error is not None:
        share, count = time.error
        off = "1 earlier estimate here was" if count == 1 else f"{count:,} earlier estimates here were"
        how = f"{off} off by {share:.0%}" + (" on average" if count > 1 else "")
    else:
        how = "no earlier estimate here to compare with"
    rough = "; rough, drawn from other sizes or from calibration alone" if time.rough else ""
    return f"about {duration(time.seconds)}{loading} ({how}{rough})"


def prospect_data(plan: Plan, found: Prospect) -> dict[str, object]:
    """The same as JSON data."""
    time, disk = found.time, found.disk
    return {
        "pictures": found.loads.pictures,
        "rows": sum(load.rows for load in found.loads.loads),
        "seconds": time.seconds,
        "loading": time.loading,
        "rough": time.rough,
        "error": None if time.error is None else {"share": time.error[0], "runs": time.error[1]},
        "bytes": disk.bytes,
        "bytes_free": disk.free,
        "work": [
            {
                "bundle": plan.facts(part.load.bundle).name,
                "engine": found.engines.get(part.load.bundle),
                "width": part.load.width,
                "height": part.load.height,
                "chunks": part.load.chunks,
                "pictures": part.load.pictures,
                "rows": part.load.rows,
                "calls": {str(rows): count for rows, count in sorted(part.calls.items(), reverse=True)},
                "gradients": sum(kind.work.gradients * count for kind, count in part.load.kinds.items()),
                "seconds": part.seconds,
            }
            for part in time.parts
        ],
    }


def _opened(plan: Plan, found: Prospect, bundle: str, parts: list[Part]) -> str:
    refiners = {kind.refiner for part in parts for kind in part.load.kinds if kind.refiner}
    names = " and ".join(plan.facts(one).name for one in (bundle, *sorted(refiners)))
    engine = found.engines.get(bundle)
    pictures = sum(part.load.pictures for part in parts)
    return f"opens {names}{f' on {engine}' if engine else ''} for {counted(pictures, 'picture')}:"


def _part_line(part: Part) -> str:
    load = part.load
    steps: Counter[str] = Counter()
    for kind, count in load.kinds.items():
        steps[f"{kind.sampler} {kind.steps}"] += count
    which = [name for name, _ in steps.most_common(_KINDS)] + ["others"] * (len(steps) > _KINDS)
    gradients = sum(kind.work.gradients * count for kind, count in load.kinds.items())
    calls = ", ".join(f"{count:,} of {rows}" for rows, count in sorted(part.calls.items(), reverse=True)[:_KINDS])
    if len(part.calls) > _KINDS:
        calls += " and others"
    chunks = f" in {load.chunks} chunks" if load.chunks > 1 else ""
    guided = f", {counted(gradients, 'gradient')} of losses" if gradients else ""
    seconds = f", {duration(part.seconds)}" if part.seconds is not None else ""
    many = "step" if {kind.steps for kind in load.kinds} == {1} else "steps"
    rows = "row" if list(part.calls) == [1] else "rows"
    return (
        f"{counted(load.pictures, 'picture')} of {load.width}x{load.height}{chunks}, {', '.join(which)} {many}: "
        f"{counted(load.rows, 'UNet row')} in {counted(part.calls.total(), 'call')} ({calls} {rows}){guided}{seconds}"
    )
