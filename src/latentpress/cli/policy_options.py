"""Options of `render` that say what becomes of a run in which something fails."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from latentpress.cli.help import ENGINE_PANEL, FAILURE_PANEL
from latentpress.errors import UsageError, shown

if TYPE_CHECKING:
    from latentpress.manifest.policy import Policy

InProcessOption = Annotated[
    bool,
    typer.Option(
        "--in-process",
        envvar="LATENTPRESS_IN_PROCESS",
        help="Run the engine in this process, and not in one of its own that may die without ending the run.",
        rich_help_panel=ENGINE_PANEL,
    ),
]
MaxFailuresOption = Annotated[
    str | None,
    typer.Option(
        "--max-failures",
        metavar="N|N%",
        help="Stop once more pictures than this failed, as 3 or 1%.",
        rich_help_panel=FAILURE_PANEL,
    ),
]
StopAfterOption = Annotated[
    str | None,
    typer.Option(
        "--stop-after", metavar="TIME", help="Stop after so long, as 6h or 1h30m.", rich_help_panel=FAILURE_PANEL
    ),
]
StopAtOption = Annotated[
    str | None,
    typer.Option(
        "--stop-at", metavar="HH:MM", help="Stop when the clock shows this, as 06:30.", rich_help_panel=FAILURE_PANEL
    ),
]

RetriesOption = Annotated[
    int | None,
    typer.Option(
        "--retries",
        min=0,
        max=1000,
        help="How often to try again, in later renders, what took the engine down; default 2.",
        rich_help_panel=FAILURE_PANEL,
    ),
]
RetryOption = Annotated[
    bool,
    typer.Option(
        "--retry",
        help="Try what is quarantined too: what took the engine down too often.",
        rich_help_panel=FAILURE_PANEL,
    ),
]


def policy_of(
    max_failures: str | None, stop_after: str | None, stop_at: str | None, retries: int | None = None
) -> "Policy":
    """The policy of the options; raises UsageError."""
    from latentpress.manifest.policy import Policy, parse_duration, parse_failures, parse_time

    return Policy(
        _parsed("--max-failures", max_failures, parse_failures),
        _parsed("--stop-after", stop_after, parse_duration),
        _parsed("--stop-at", stop_at, parse_time),
        retries,
    )


def _parsed(option: str, text: str | None, parse: Callable[[str], float]) -> float | None:
    if text is None:
        return None
    try:
        return parse(text.strip())
    except ValueError as error:
        raise UsageError(f"{option} {shown(text)}: {error}") from None
