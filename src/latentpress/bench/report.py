"""A benchmark as lines, as JSON and as a plot."""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from latentpress.bench import yardstick
from latentpress.bench.cold import ColdStart
from latentpress.bench.compare import Comparison
from latentpress.bench.figures import Figure
from latentpress.bench.measure import Measured, counted
from latentpress.bench.scenarios import OFFLINE
from latentpress.errors import EnvironmentFailure, UsageError

# Of the JSON data: it rises where a program that reads it would have to change.
VERSION = 2


def benchmark_data(found: Measured, start: ColdStart | None = None) -> dict[str, Any]:
    """Plain JSON data; times in milliseconds unless their name says seconds, memory in bytes. start: seconds."""
    more = {"yardstick_version": yardstick.VERSION, "cold_start_seconds": None if start is None else asdict(start)}
    return {"version": VERSION, **asdict(found), **more}


def benchmark_lines(found: Measured, start: ColdStart | None = None) -> list[str]:
    """What it was measured on, components, whole pictures, a cold start, and what the machine did meanwhile."""
    work = found.settings.work
    lines = [
        f"{found.bundle} on {found.provider}: {work.width}x{work.height}, {work.sampler}, {work.steps} steps, "
        f"guidance {work.guidance_scale:g}",
        f"{found.device}, {f'{found.threads} threads' if found.threads else 'all its threads'}, "
        f"latentpress {found.conditions.latentpress}",
        "ceiling: not known for this device"
        if found.ceiling is None
        else f"ceiling: {found.ceiling.flops / 1e12:.3g} TFLOP/s, {found.ceiling.how}",
    ]
    heads = f"{'calls':>6}{'median':>10}{'95% interval':>20}{'p90':>9}{'p99':>9}"
    lines += ["", f"{'component, ms':<16}{'rows':>5}{heads}{'cold':>9}{'GFLOP':>9}{'ceiling':>9}"]
    for one in found.components:
        gflops = "-" if one.gflops is None else f"{one.gflops:.2f}"
        share = "-" if one.share is None else f"{one.share:.0%}"
        lines.append(f"{one.component:<16}{one.rows:>5}{_columns(one.figure, 2)}{one.cold:>9.1f}{gflops:>9}{share:>9}")
    if found.scenarios:
        lines += ["", f"{'whole pictures':<27}{'rows':>5}{heads}{'cold':>9}  of the time outside the UNet"]
    for one in found.scenarios:
        unit, digits = ("images/s", 3) if one.scenario == OFFLINE else ("ms", 1)
        cold = "-" if one.cold is None else f"{one.cold:.1f}"
        columns = f"{_columns(one.figure, digits)}{cold:>9}  {one.outside_unet:.0%}"
        lines.append(f"{f'{one.scenario}, {one.job}, {unit}':<27}{one.rows:>5}{columns}")
    if start is not None:
        parts = ", ".join(f"{name} {seconds:.2f}" for name, seconds in asdict(start).items() if name != "whole")
        lines += ["", f"cold start: {start.whole:.2f} s: {parts}"]
    on_gpu = "" if found.peak_device_memory is None else f", {found.peak_device_memory / 1e9:.2f} GB on the GPU"
    lines += ["", f"peak memory: {found.peak_memory / 1e9:.2f} GB{on_gpu}", *found.notes]
    if found.machine.busy:
        lines.append(f"the machine was busy, and these figures tell of that too: {'; '.join(found.machine.busy)}")
    return lines


def _columns(figure: Figure, digits: int) -> str:
    p90, p99 = ("-" if value is None else f"{value:.{digits}f}" for value in (figure.p90, figure.p99))
    interval = f"{figure.low:.{digits}f} - {figure.high:.{digits}f}"
    return f"{figure.calls:>6}{figure.median:>10.{digits}f}{interval:>20}{p90:>9}{p99:>9}"


def comparison_lines(found: Comparison) -> Iterator[str]:
    """A line for each figure, and what differs between the runs."""
    for name, (before, after) in found.unlike.items():
        yield f"unlike: {name}: {before} -> {after}"
    if not found.one_machine:
        yield "the runs are of unlike machines: seconds are compared, and what the neighbours did counts too"
    yield f"{'':<32}{'before':>10}{'after':>10}{'time':>8}{'95% interval':>16}"
    for one in found.differences:
        unit = f"{one.name}, {one.unit}"
        interval = f"{one.low:.3f} - {one.high:.3f}"
        yield f"{unit:<32}{one.before:>10.2f}{one.after:>10.2f}{one.ratio:>8.3f}{interval:>16}  {one.verdict}"
    for name in found.missing:
        yield f"only in one of the runs: {name}"


def check_plot(path: Path) -> None:
    """Raise UsageError or EnvironmentFailure where `save_plot` could not write `path`: before anything is measured."""
    try:
        from matplotlib.backend_bases import FigureCanvasBase
    except ImportError:
        raise EnvironmentFailure("--plot needs matplotlib; `pip install 'latentpress[bench]'` adds it") from None
    known = sorted(FigureCanvasBase.get_supported_filetypes())
    if path.suffix.removeprefix(".").lower() not in known:
        raise UsageError(f"--plot {path}: the suffix must say a picture's format, e.g. {path.with_suffix('.png')}")


def save_plot(found: Measured, path: Path) -> None:
    """The UNet's milliseconds per row over the bucket, with intervals, and whole pictures; the suffix says which format."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Plot

    plot = Plot(figsize=(8, 3.2), layout="constrained")
    FigureCanvasAgg(plot)
    left, right = plot.subplots(1, 2)
    unet = [one for one in found.components if one.role == "denoiser"]
    rows, medians = [one.rows for one in unet], [one.figure.median / one.rows for one in unet]
    below = [(one.figure.median - one.figure.low) / one.rows for one in unet]
    above = [(one.figure.high - one.figure.median) / one.rows for one in unet]
    left.errorbar(rows, medians, yerr=[below, above], marker="o", capsize=3)
    left.set(xlabel="UNet rows a call", ylabel="ms per row", ylim=(0, None), xticks=rows)
    whole = [one for one in found.scenarios if one.scenario == OFFLINE]
    names = [f"{one.job}, {counted(one.rows)}" for one in whole]
    right.bar(names, [one.images_per_second for one in whole])
    right.set(ylabel=f"{OFFLINE}, images/s")
    right.tick_params("x", rotation=20)
    plot.suptitle(f"{found.bundle}, {found.provider}, {found.settings.work.width}x{found.settings.work.height}")
    plot.savefig(path, dpi=120)
