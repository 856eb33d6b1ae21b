"""A benchmark as lines, as JSON and as a plot."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from latentpress.bench.measure import Benchmark, counted
from latentpress.errors import EnvironmentFailure, UsageError


def benchmark_data(found: Benchmark) -> dict[str, Any]:
    """Plain JSON data; times in milliseconds, memory in bytes."""
    return asdict(found)


def benchmark_lines(found: Benchmark) -> list[str]:
    """A table of components, one of buckets, and what they were measured on."""
    height, width = found.size
    lines = [
        f"{found.bundle} on {found.provider}: {width}x{height}, {found.sampler}, {found.steps} steps, "
        f"guidance {found.guidance_scale:g}",
        f"{found.device}, {f'{found.threads} threads' if found.threads else 'all its threads'}, "
        f"{found.repeats} calls of each",
        "ceiling: not known for this device"
        if found.ceiling is None
        else f"ceiling: {found.ceiling.flops / 1e12:.3g} TFLOP/s, {found.ceiling.how}",
    ]
    lines += ["", f"{'component':<16}{'rows':>5}{'p50 ms':>10}{'p90 ms':>10}{'p99 ms':>10}{'GFLOP':>10}{'ceiling':>9}"]
    for timing in found.components:
        gflops = "-" if timing.gflops is None else f"{timing.gflops:.2f}"
        share = "-" if timing.share is None else f"{timing.share:.0%}"
        lines.append(
            f"{timing.component:<16}{timing.rows:>5}{timing.p50:>10.2f}{timing.p90:>10.2f}{timing.p99:>10.2f}"
            f"{gflops:>10}{share:>9}"
        )
    if found.throughput:
        lines += ["", f"{'bucket':<16}{'images/s':>10}{'outside UNet':>14}{'peak memory':>13}"]
    for row in found.throughput:
        memory = f"{row.peak_memory / 1e9:.2f} GB"
        lines.append(f"{counted(row.rows):<16}{row.images_per_second:>10.3f}{row.outside_unet:>14.1%}{memory:>13}")
    on_gpu = "" if found.peak_device_memory is None else f", {found.peak_device_memory / 1e9:.2f} GB on the GPU"
    return [*lines, "", f"peak memory: {found.peak_memory / 1e9:.2f} GB{on_gpu}", *found.notes]


def check_plot(path: Path) -> None:
    """Raise UsageError or EnvironmentFailure where `save_plot` could not write `path`: before anything is measured."""
    try:
        from matplotlib.backend_bases import FigureCanvasBase
    except ImportError:
        raise EnvironmentFailure("--plot needs matplotlib; `pip install 'latentpress[bench]'` adds it") from None
    known = sorted(FigureCanvasBase.get_supported_filetypes())
    if path.suffix.removeprefix(".").lower() not in known:
        raise UsageError(f"--plot {path}: the suffix must say a picture's format, e.g. {path.with_suffix('.png')}")


def save_plot(found: Benchmark, path: Path) -> None:
    """Images/s and the UNet's milliseconds per row over the bucket, as a picture; the suffix says which format."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.2), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    rows = [row.rows for row in found.throughput]
    left.plot(rows, [row.images_per_second for row in found.throughput], marker="o")
    left.set(xlabel="UNet rows a call", ylabel="images/s", ylim=(0, None), xticks=rows)
    unet = [timing for timing in found.components if timing.role == "denoiser"]
    for name in ("p50", "p90", "p99"):
        right.plot([t.rows for t in unet], [getattr(t, name) / t.rows for t in unet], marker="o", label=name)
    right.set(xlabel="UNet rows a call", ylabel="ms per row", ylim=(0, None), xticks=[t.rows for t in unet])
    right.legend()
    figure.suptitle(f"{found.bundle}, {found.provider}, {found.size[1]}x{found.size[0]}")
    figure.savefig(path, dpi=120)
