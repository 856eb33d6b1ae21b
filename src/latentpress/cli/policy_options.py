"""Options of `render` that say what becomes of a run in which something fails."""

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from latentpress.batch.policy import Policy

InProcessOption = Annotated[
    bool,
    typer.Option(
        "--in-process",
        envvar="LATENTPRESS_IN_PROCESS",
        help="Run the engine in this process, and not in one of its own that may die without ending the run.",
    ),
]
MaxFailuresOption = Annotated[
    str | None,
    typer.Option("--max-failures", metavar="N|N%", help="Stop once more pictures than this failed, as 3 or 1%."),
]
StopAfterOption = Annotated[
    str | None, typer.Option("--stop-after", metavar="TIME", help="Stop after so long, as 6h or 1h30m.")
]
StopAtOption = Annotated[
    str | None, typer.Option("--stop-at", metavar="HH:MM", help="Stop when the clock shows this, as 06:30.")
]


def policy_of(max_failures: str | None, stop_after: str | None, stop_at: str | None) -> "Policy":
    """The policy of the options; raises UsageError."""
    from latentpress.batch.policy import Policy, parse_duration, parse_failures, parse_time

    return Policy(
        None if max_failures is None else parse_failures(max_failures),
        None if stop_after is None else parse_duration(stop_after),
        None if stop_at is None else parse_time(stop_at),
    )
