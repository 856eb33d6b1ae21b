"""How far losses led pictures from their unguided twins, once both are done: PSNR, SSIM, and each loss on the twin.

The ledger keeps it in the guided picture's row, with what both pictures' pixels were, so that neither can be another since.
"""

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentpress.batch.ledger.ledger import Ledger
from latentpress.batch.pictures.guided import Guided, drift_of, went_wrong
from latentpress.batch.plan.database import Database
from latentpress.batch.plan.job import canonical_json
from latentpress.batch.plan.plan import Plan
from latentpress.engines.devices import cpu_count
from latentpress.errors import LatentpressError
from latentpress.measures.cells import read_picture
from latentpress.measures.likeness import psnr, ssim, structural_similarity
from latentpress.measures.pooled import mapped
from latentpress.runtime.guidance import LOSSES
from latentpress.runtime.guidance.context import Moment
from latentpress.runtime.pictures.reading import NotAPicture
from latentpress.runtime.request import RenderRequest

_DRAWN = "status='done' AND (images.job_hash=jobs.job_hash OR instr(coalesce(jobs.earlier, ''), images.job_hash))"
_DONE = f"SELECT jobs.job, jobs.job_hash, images.* FROM jobs JOIN images ON images.output=jobs.output AND {_DRAWN}"
_PAIRS = (
    "SELECT twins.job, mine.output, mine.pixel_sha256, mine.drift, mine.guided, other.output, other.pixel_sha256 "
    f"FROM twins JOIN ({_DONE}) AS mine ON mine.job=twins.job "
    "JOIN jobs AS twin ON twin.job_hash=twins.twin "
    "JOIN images AS other ON other.output=twin.output AND other.status='done' GROUP BY twins.job ORDER BY twins.job"
)


@dataclass(frozen=True)
class Drift:
    """A guided picture beside its twin. output, twin: their names; psnr: dB, None where their pixels are equal; ssim: at
    most 1, None where it was not measured."""

    output: str
    twin: str
    psnr: float | None
    ssim: float | None


@dataclass(frozen=True)
class _Pair:
    job: int
    output: str
    pixels: str
    drift: str | None
    guided: Guided | None
    twin: str
    twin_pixels: str

    @property
    def known(self) -> bool:
        """Whether it was compared already, and nothing of it has changed since."""
        said = drift_of(self.drift, self.pixels)
        if said is None or said["pixels"][1] != self.twin_pixels:
            return False
        return said["ssim"] is not None or structural_similarity() is None or not said["measurable"]


def record_drift(plan: Plan, folder: Path, ledger: Ledger) -> None:
    """Compare each guided picture with its twin that both are there and were not compared yet; the ledger keeps it."""
    if not any(ledger.one("SELECT 1 FROM twins LIMIT 1") or ()):
        return
    left = [pair for pair in _pairs(ledger) if not pair.known]
    if not left:
        return

    def compared(pair: _Pair) -> tuple[str, str | None, str] | None:
        try:
            picture, twin = (read_picture(folder / name) for name in (pair.output, pair.twin))
        except (OSError, NotAPicture):
            return None
        request = plan.jobs[pair.job - 1].request
        values = _values(request, twin)
        said = {"twin": pair.twin, "pixels": [pair.pixels, pair.twin_pixels], **_apart(picture, twin), "losses": values}
        scales = [loss.scale for loss in request.losses]
        wrong = went_wrong(pair.guided, scales, values) if pair.guided else []
        return canonical_json(said), json.dumps(wrong) if wrong else None, pair.output

    with ThreadPoolExecutor(cpu_count(), "drift") as pool:
        for one in mapped(pool, compared, left):
            if one is not None:
                ledger.run("UPDATE images SET drift=?, rose=? WHERE output=?", one)


def drifts(table: Database) -> list[Drift]:
    """The drift of each guided picture of the plan whose twin is as it was when they were compared, in the plan's order."""
    if not table.answers("SELECT 1 FROM pragma_table_info('twins')"):
        return []
    found: list[Drift] = []
    for pair in _pairs(table):
        said = drift_of(pair.drift, pair.pixels)
        if said is not None and said["pixels"][1] == pair.twin_pixels:
            found.append(Drift(pair.output, pair.twin, said["psnr"], said["ssim"]))
    return found


def drift_data(found: Sequence[Drift]) -> dict[str, object] | None:
    """How far pictures are from their twins, as JSON data: means, and how many there are; None where there are none."""
    if not found:
        return None
    unlike = [one.psnr for one in found if one.psnr is not None]
    alike = [one.ssim for one in found if one.ssim is not None]
    return {"pictures": len(found), "equal": len(found) - len(unlike), "psnr": _spread(unlike), "ssim": _spread(alike)}


def drift_line(found: Sequence[Drift]) -> str | None:
    """The same for people."""
    if (data := drift_data(found)) is None:
        return None
    parts = [f"{data['equal']:,} equal"] if data["equal"] else []
    for name, unit in (("psnr", " dB"), ("ssim", "")):
        spread: Any = data[name]
        if spread is not None:
            parts.append(f"{name.upper()} {spread['mean']:.3g}{unit} ({spread['least']:.3g} to {spread['most']:.3g})")
    pictures = "1 picture" if len(found) == 1 else f"{len(found):,} pictures"
    return f"{pictures} beside unguided twins: {', '.join(parts)}"


def _spread(values: Sequence[float]) -> dict[str, float] | None:
    if not values:
        return None
    return {"mean": round(float(np.mean(values)), 6), "least": min(values), "most": max(values)}


def _pairs(table: Database) -> Iterator[_Pair]:
    for job, output, pixels, drift, guided, twin, twin_pixels in table.answers(_PAIRS):
        yield _Pair(job, output, pixels, drift, guided and json.loads(guided), twin, twin_pixels)


def _apart(picture: NDArray[np.uint8], twin: NDArray[np.uint8]) -> Mapping[str, object]:
    """How far two pictures are apart; measurable: whether SSIM could be had where nothing says what it is."""
    if picture.shape != twin.shape or np.array_equal(picture, twin):
        return {"psnr": None, "ssim": 1.0, "measurable": False}
    alike = ssim(picture, twin)
    told = None if alike is None else round(alike, 6)
    return {"psnr": round(psnr(picture, twin)[0], 4), "ssim": told, "measurable": min(picture.shape[:2]) >= 3}


def _values(request: RenderRequest, twin: NDArray[np.uint8]) -> list[float | None]:
    """Each loss's value on the twin; None of people's own, whose code runs with the rendering alone, and of those that ask
    for more than the picture."""
    with contextlib.suppress(ModuleNotFoundError):
        from latentpress.runtime.guidance.gradient import picture_losses

        unit = (np.moveaxis(twin, -1, 0) / 255).astype(np.float32)
        moment = Moment(request.seed, request.steps, request.steps)
        found: list[float | None] = []
        for loss in request.losses:
            value = None
            if loss.code is None and loss.name in LOSSES and not LOSSES[loss.name].wants:
                # Of a picture or a model that it compares with, and that is gone or another by now.
                with contextlib.suppress(OSError, NotAPicture, LatentpressError):
                    value = picture_losses(unit, np.zeros((4, 1, 1), np.float32), [loss], moment)[0][1]
            found.append(float(f"{value:.6g}") if value is not None and np.isfinite(value) else None)
        return found
    return [None] * len(request.losses)
