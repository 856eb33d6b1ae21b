"""What to know at the end of a render: counts, failures by cause, times, and how right the estimate was."""

from collections.abc import Iterator

from latentpress.batch.progress import duration
from latentpress.batch.tally import Tally
from latentpress.errors import counted

# What `runtime.request.CAUSES` are called in a sentence.
_CAUSES = {
    "not_finite": "came out NaN or infinite",
    "input": "had an input that cannot be read",
    "memory": "did not fit into memory",
    "exception": "raised an error",
    "hang": "took too long",
    "killed": "lost the engine's process",
    "": "failed otherwise",
}


def summary_data(tally: Tally) -> dict[str, object]:
    """The same as JSON data; seconds, `loading` that of opening engines, `estimate` that of `seconds`."""
    return {
        "done": tally.done,
        "failed": tally.failed,
        "causes": {cause or "unknown": count for cause, count in sorted(tally.causes.items())},
        "loading": round(tally.loading, 3),
        "seconds": round(tally.seconds, 3),
        "images_per_second": None if tally.rate is None else round(tally.rate, 4),
        "estimate": None if tally.estimate is None else round(tally.estimate, 3),
    }


def summary_lines(tally: Tally) -> Iterator[str]:
    """For people; nothing where nothing was to be rendered."""
    if tally.failed:
        yield f"failed: {'; '.join(f'{count:,} {cause_of(cause)}' for cause, count in tally.causes.most_common())}"
    if tally.count:
        loading = f" after {duration(tally.loading)} of loading" if tally.loading >= 0.05 else ""
        rate = "" if tally.rate is None else f", {tally.rate:.2f} images/s"
        expected = "" if tally.estimate is None else f", estimated {duration(tally.estimate)}"
        yield f"{counted(tally.done, 'image')} in {duration(tally.seconds)}{loading}{rate}{expected}"


def overshot_line(tally: Tally) -> str | None:
    """That losses moved pictures further than there is anything of a picture; None where they did not."""
    if not tally.overshot:
        return None
    pictures, furthest = counted(tally.overshot, "picture"), tally.furthest
    return (
        f"losses moved {pictures} by up to {furthest:.3g} times |x0| in one step, which ends as noise more often than not; "
        "take a lower scale or size, or `step: capped`"
    )


def cause_of(cause: str) -> str:
    """What happened to a picture that failed for this cause, as a verb."""
    return _CAUSES.get(cause, _CAUSES[""])
