"""What a render would do, in words and as data, once it has passed the checks of one (run.py). Changes nothing."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from latentpress.batch.aside import REPLACED
from latentpress.batch.estimate.here import Prospect
from latentpress.batch.estimate.lines import prospect_data, prospect_lines
from latentpress.batch.state.quarantine import quarantine_line
from latentpress.batch.state.report import counts_line
from latentpress.batch.state.status import FOUND, Status
from latentpress.errors import counted


@dataclass(frozen=True)
class Rehearsal:
    """A render that passed its checks and was not begun.

    state: of what is asked for, with what it would leave out as quarantined; moved: how many files it would move out of the
    way; warnings: what the plan does not know of the folder.
    """

    state: Status
    prospect: Prospect
    folder: Path
    ledger: Path
    moved: int
    warnings: tuple[str, ...] = ()

    @property
    def sheet(self) -> Path | None:
        """The first sheet that would be drawn, if it has one page."""
        sheets = self.state.plan.sheets
        return (
            self.folder / f"{sheets[0].name}.{sheets[0].formats[0]}" if sheets and self.state.chosen is None else None
        )

    @property
    def to_write(self) -> int:
        """How many files it would render."""
        return self.state.left - len(self.state.quarantined)

    def lines(self) -> Iterator[str]:
        """What it would do, a sentence each, in the order in which it would."""
        state, plan = self.state, self.state.plan
        yield counts_line(state, self.folder, self.prospect.disk.words)
        if plan.undrawn:
            yield f"would draw {counted(plan.undrawn, 'seed')} and keep {_them(plan.undrawn)} in the ledger"
        if found := state.counts[FOUND]:
            yield f"would give {counted(found, 'picture')} that lie{'s' * (found == 1)} under another name the new one"
        if self.moved:
            yield f"would move {counted(self.moved, 'file')} out of the way, to {self.folder / REPLACED}"
        if self.to_write:
            pictures = counted(self.prospect.loads.pictures, "picture")
            yield f"would render {pictures}, and write {self.to_write:,} in {self.folder}:"
            yield from prospect_lines(plan, self.prospect)
        if state.quarantined:
            yield quarantine_line(len(state.quarantined))
        if self.sheet:
            more = len(self.state.plan.sheets) - 1
            yield f"would draw the sheet {self.sheet}{f' and {more} more' if more else ''}"
        if self.to_write or state.counts[FOUND]:
            yield f"would record it in {self.ledger}"
        yield "nothing was changed; engines are opened by the render itself, and were not tried"

    def data(self) -> dict[str, object]:
        """The same as JSON data."""
        return {
            "dry_run": True,
            "seeds_to_draw": self.state.plan.undrawn,
            "to_take": self.state.counts[FOUND],
            "to_move": self.moved,
            "to_write": self.to_write,
            "sheet": str(self.sheet) if self.sheet else None,
            "estimate": prospect_data(self.state.plan, self.prospect),
        }


def _them(number: int) -> str:
    return "it" if number == 1 else "them"
