"""Chooses a run's bucket, the number of UNet rows per call: fixed, given, remembered, calibrated, or the default."""

import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from latentpress.bundle.content import parts_of
from latentpress.engines.devices import cpu_count, device_name
from latentpress.runtime.calibrate import BUCKETS, REPEATS, calibrate, recalled, remembered
from latentpress.runtime.render import Renderer
from latentpress.runtime.request import RenderRequest
from latentpress.runtime.timings import Measured

DEFAULT_ROWS = 8
# A run of this many UNet rows is worth a calibration, which takes at most (1 + REPEATS) calls of each bucket.
WORTH_ROWS = 4 * (1 + REPEATS) * sum(BUCKETS)


def calibration_file(cache: Path) -> Path:
    """Where a machine's calibrations are kept in its cache folder."""
    return cache / "calibration.json"


def choose_rows(renderer: Renderer, requests: Iterable[RenderRequest], cache: Path, threads: int | None) -> str:
    """Set `renderer.batch_rows` for `requests`, and say in one line what it is and why.

    A calibration at the requests' most common size is taken from `cache`, or made and kept there where there is enough
    to render; threads: what the renderer's engines were given.
    """
    work = list(requests)
    if not work:
        return _say(renderer, "nothing to render")
    if renderer.fixed_rows is not None:
        return _say(renderer, f"fixed by --strict: on {renderer.provider} a row's bits change with its batch")
    height, width = common_size(work)
    key = calibration_key(renderer, height, width, threads)
    file = calibration_file(cache)
    distilled = renderer.bundle.info.guidance_embedding is not None  # no row but a picture's own
    rows = sum(request.steps + (0 if distilled else request.guided_steps(request.steps)) for request in work)
    found = recalled(file, key)
    if (found is None or found.disturbed) and rows < WORTH_ROWS:
        renderer.batch_rows = DEFAULT_ROWS
        lacking = "a calibration" if found is None else "another calibration, as the last was made on a busy machine"
        return _say(renderer, f"the default; there is too little to render for {lacking}")
    known, found = found, remembered(file, key, lambda: calibrate(renderer.trial(height, width)))
    renderer.batch_rows = found.rows
    tried = ", ".join(map(str, found.milliseconds))
    when = f"calibrated before, {found.measured}," if known == found else "calibrated now"
    disturbed = (
        f"; other programs took {found.others:.0%} of the CPU time meanwhile, so the next render measures again"
        if found.disturbed
        else ""
    )
    return _say(
        renderer,
        f"{when} at {width}x{height} on {device_name(gpu=renderer.engine.kind.on_gpu)} ({renderer.provider}): "
        f"{found.milliseconds[found.rows]:.3g} ms a row, the best of {tried}{disturbed}; --batch-rows overrides",
    )


def note_calibration(renderer: Renderer, requests: Sequence[RenderRequest], cache: Path, threads: int | None) -> None:
    """Tell the renderer's timings what calls of the UNet were calibrated to take, and how many rows they will have."""
    if not requests:
        return
    height, width = common_size(requests)
    renderer.add_time(Measured("bucket", height, width), 0.0, renderer.batch_rows)
    found = recalled(calibration_file(cache), calibration_key(renderer, height, width, threads))
    for rows, milliseconds in found.milliseconds.items() if found else ():
        renderer.add_time(Measured("call", height, width, 1, rows), milliseconds * rows / 1000)


def common_size(requests: Iterable[RenderRequest]) -> tuple[int, int]:
    """The (height, width) that most requests have."""
    return Counter((request.height, request.width) for request in requests).most_common(1)[0][0]


def calibration_key(renderer: Renderer, height: int, width: int, threads: int | None) -> str:
    """Everything a calibration depends on; what the bundle's UNet computes, and none of its other parts."""
    device = device_name(gpu=renderer.engine.kind.on_gpu)
    count = threads or cpu_count()
    unet = parts_of(renderer.bundle)[renderer.bundle.info.denoiser.name]
    return f"{unet} {renderer.provider} {width}x{height} threads={count} {sys.platform} {device}"


def _say(renderer: Renderer, why: str) -> str:
    return f"{renderer.batch_rows} UNet rows a call: {why}"
