"""What a render finds in a folder that nobody may write to: everything, or a reason to refuse."""

from collections.abc import Callable
from pathlib import Path

from latentpress.batch.render import Summary
from latentpress.batch.run import Outcome
from latentpress.batch.sheets import sheets_there
from latentpress.batch.state.report import earlier_line
from latentpress.batch.state.status import FOUND, Status
from latentpress.errors import EnvironmentFailure, counted


def found_finished(state: Status, folder: Path, say: Callable[[str], None] = lambda line: None) -> Outcome:
    """What a render finds in a folder that it cannot write to; raises EnvironmentFailure unless everything is done."""
    plan = state.plan
    whole = state.chosen is None
    sheets = sheets_there(plan.sheets, folder) if whole else ()
    wanted = state.left + state.counts[FOUND]
    what = f"{wanted} of {counted(state.total, 'image')}" if wanted else "a sheet"
    if wanted or sheets is None:
        raise EnvironmentFailure(
            f"{folder}: cannot be written to, and {what} must be; make it writable, or choose another with -o"
        )
    warnings = [*plan.warnings, *([line] if (line := earlier_line(state)) else [])]
    for warning in warnings:
        say(warning)
    return Outcome(plan, Summary(0, state.total, 0), sheets, tuple(warnings))
