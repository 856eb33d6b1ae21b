"""What a sheet, a gallery or a table shows: a cell for each planned picture, whatever has become of it.

Knows no ledger and no plan: batch/cells.py fills the cells. Where an axis' values meet and no cell is, nothing was planned.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

# What has become of a cell's picture.
DONE = "done"
FAILED = "failed"
# Not rendered yet.
WAITING = "waiting"
# The ledger says done, and the file is not there, or is not what was rendered.
MISSING = "missing"
# No cell's: a place of a sheet for which nothing is planned.
EXCLUDED = "excluded"
STATES = (DONE, FAILED, WAITING, MISSING, EXCLUDED)
# Why there is no picture where the cell has no reason of its own.
REASONS = {WAITING: "not rendered yet", MISSING: "file is gone"}


@dataclass(frozen=True)
class Cell:
    """One planned picture.

    labels: axis or field -> its text, as file names show it before they are made safe; reason: why a failed one failed, or
    what is wrong with the file of a missing one, "" where there is none; output: its path below the output folder; width,
    height: in pixels; job_hash, pixel_sha256: "" where not known; seconds: that rendering took, 0 where not known; alt: what
    it shows, in a sentence for those who cannot see it; figures: numbers that are known of it beside, by column: what losses
    did.
    """

    labels: Mapping[str, str]
    state: str
    output: PurePosixPath
    width: int
    height: int
    prompt: str = ""
    negative_prompt: str = ""
    seed: int = 0
    job_hash: str = ""
    pixel_sha256: str = ""
    seconds: float = 0.0
    reason: str = ""
    alt: str = ""
    figures: Mapping[str, float] = field(default_factory=dict[str, float])


@dataclass(frozen=True)
class Cells:
    """The cells of one plan, in the plan's order.

    name: the manifest's; plan_hash: of the whole plan; axes: the manifest's, in order, and behind them whatever else tells
    its jobs apart; date: when the first render began, `2026-11-27 22-00`, "" where not known.
    """

    name: str
    plan_hash: str
    axes: tuple[str, ...]
    cells: Sequence[Cell]
    date: str = ""

    def labels(self, key: str) -> list[str]:
        """The texts that `key` has, each once, in order of appearance."""
        return list(dict.fromkeys(cell.labels.get(key, "") for cell in self.cells))

    @property
    def figures(self) -> list[str]:
        """The columns of the cells' figures in order of appearance, how far they drifted behind the losses."""
        return sorted(dict.fromkeys(name for cell in self.cells for name in cell.figures), key=_is_drift)


def _is_drift(figure: str) -> bool:
    return figure.startswith("drift_")


def reason_of(cell: Cell) -> str:
    """Why a cell has no picture; "" where it has."""
    return cell.reason or REASONS.get(cell.state, "")


def alt_text(prompt: str, seed: int, axes: Mapping[str, str], state: str = DONE, reason: str = "") -> str:
    """What a picture shows, in a sentence or two, from its job; axes: those of the matrix, with its values on them."""
    values = dict(axes) | {"seed": str(seed)}
    facts = "; ".join(f"{key.replace('_', ' ')}: {text}" for key, text in values.items() if text and text != prompt)
    shown = " ".join(prompt.split()) or "no prompt"
    lead = {DONE: "Generated picture of", FAILED: "No picture, rendering failed of"}.get(state, "No picture yet of")
    why = f" Reason: {reason}" if reason else ""
    return f"{lead}: {shown}. {facts}.{why}"
