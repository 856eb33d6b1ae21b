"""How far a picture may move with what is rendered beside it, and what --strict fixes so that it does not.

An engine's row test (engines/proof.py) says which of three it is: the same bits in every batch, which needs nothing;
the same bits in every batch of one size, which then is the size of all of them; or the same bits alone.
The bits of torch's gradients, where a loss guides, depend on the number of its threads, which --strict fixes too.
"""

from collections.abc import Iterable
from typing import Literal

from latentpress.bundle.info import RowTest
from latentpress.errors import EnvironmentFailure

# What the ledger says of a run's pixels; a --strict run has the first, or the number of rows of every UNet call, as text.
# They depend on the job alone.
ANY_ROWS: Literal["any"] = "any"
# No row test is known.
UNTESTED: Literal["untested"] = "untested"
# They may depend on the UNet's batch.
UNFIXED: Literal["unfixed"] = "unfixed"

# torch's, where a loss guides: as many as a small machine can bear and a large one can use.
GUIDANCE_THREADS = 8


def fixed_rows(test: RowTest, wanted: int) -> int | None:
    """The rows that every call must have, at most `wanted`; None where any number will do.

    Raises EnvironmentFailure for an engine that does not even give one row the same bits twice.
    """
    if test.equal:
        return None
    sizes = [size for size in test.bits or () if size <= wanted]
    if not sizes:
        raise EnvironmentFailure(
            f"--strict: {test.component} on {test.engine} gives the same row other bits each time it is asked, even alone, "
            "so no picture can be made twice; use another engine, e.g. --engine cpu, or leave out --strict"
        )
    return max(sizes)


def require_bits(test: RowTest, size: int, now: str) -> None:
    """Raise EnvironmentFailure unless `now`, the digest of the test's row in a batch of `size`, is what was recorded."""
    if test.bits is not None and test.bits.get(size) != now:
        raise EnvironmentFailure(
            f"--strict: {test.component} on {test.engine} gives a row other bits than when it was tested on this machine, so"
            " pictures of two runs would differ; use another engine, or test this one again: `latentpress engines BUNDLE "
            f"--engine {test.engine} --rebuild`"
        )


def row_rule(tests: Iterable[RowTest | None]) -> str:
    """What is known of pixels made without --strict on engines of these row tests, None for an engine without one."""
    found = list(tests)
    if any(test is not None and not test.equal for test in found):
        return UNFIXED
    return UNTESTED if None in found else ANY_ROWS


def warning(tests: Iterable[RowTest | None]) -> str | None:
    """One sentence where pixels may move, else None."""
    moved = [test for test in tests if test is not None and not test.equal]
    if not moved:
        return None
    components = " and ".join(dict.fromkeys(test.component for test in moved))
    return (
        f"warning: on {moved[0].engine} the bits of a row of {components} depend on its batch, so a picture may differ "
        "with what is rendered beside it and with --batch-rows; --strict prevents that"
    )
