"""`latentpress bench`: its arguments, and what it prints and writes."""

import json
import re
from pathlib import Path
from typing import Annotated

import typer

from latentpress.cache.place import cache_dir
from latentpress.cli.options import JSON_VERSION, BundleArgument, print_json
from latentpress.cli.render_options import EngineOption, ThreadsOption
from latentpress.errors import UsageError

SAMPLER = "euler"  # the cheapest; the rest of the loop is the same for all samplers
STDOUT = "-"


def bench_command(
    bundle: BundleArgument,
    size: Annotated[str | None, typer.Option(metavar="WxH", help="Pixels; default the bundle's own size.")] = None,
    buckets: Annotated[str, typer.Option(metavar="N,N,...", help="UNet rows per call.")] = "1,2,4,8",
    repeats: Annotated[int, typer.Option(min=1, help="Timed calls of each component and bucket.")] = 20,
    steps: Annotated[int, typer.Option(min=1, help="Steps of the whole renders.")] = 20,
    guidance_scale: Annotated[float, typer.Option(min=0, help="Above 1 a picture takes two rows.")] = 7.5,
    threads: ThreadsOption = None,
    engine: EngineOption = None,
    json_file: Annotated[str | None, typer.Option("--json", metavar="FILE|-", help="Write JSON; - is stdout.")] = None,
    plot: Annotated[Path | None, typer.Option(metavar="FILE.png", help="Draw images/s and ms per row.")] = None,
) -> None:
    """Measure a bundle on this machine: latency of its parts, images per second and memory."""
    # Wrong arguments first: none of them should cost the time that opening a bundle takes.
    wanted = parse_buckets(buckets)
    pixels = None if size is None else parse_size(size)
    from latentpress.bench.report import benchmark_data, benchmark_lines, check_plot, save_plot

    if plot is not None:
        check_plot(plot)
    for path in (plot, None if json_file in (None, STDOUT) else Path(json_file)):
        if path is not None and not path.parent.is_dir():
            raise UsageError(f"{path}: the folder {path.parent} does not exist; make it, or write elsewhere")
    from latentpress.bench.ceiling import cpu_ceiling, gpu_ceiling
    from latentpress.bench.measure import Workload, run_benchmark
    from latentpress.engines.choice import engine_of, parse_engine
    from latentpress.engines.devices import device_name
    from latentpress.engines.engine import Session
    from latentpress.engines.opening import open_session
    from latentpress.models import named_bundle

    chosen = parse_engine(engine) if engine else None
    opened = named_bundle(bundle, cache_dir())
    height, width = pixels or opened.info.default_size
    names = [component.name for component in opened.info.components if component.role != "encoder"]
    choice = engine_of(opened.info, chosen)
    sessions: dict[str, Session] = {name: open_session(opened, name, choice, threads) for name in names}
    device = device_name(gpu=choice.kind.on_gpu)
    found = run_benchmark(
        opened,
        Workload(height, width, SAMPLER, steps, guidance_scale, repeats),
        wanted,
        sessions=sessions,
        device=device,
        ceiling=lambda: (
            gpu_ceiling(device) if choice.kind.on_gpu else cpu_ceiling(device, threads, bf16=choice.precision == "bf16")
        ),
        threads=threads,
        report=lambda line: typer.echo(f"measuring {line}", err=True),
    )
    if plot is not None:
        save_plot(found, plot)
    if json_file == STDOUT:
        print_json(benchmark_data(found))
        return
    if json_file is not None:
        data = {"version": JSON_VERSION, **benchmark_data(found)}
        Path(json_file).write_text(json.dumps(data, indent=2) + "\n")
    for line in benchmark_lines(found):
        typer.echo(line)


def parse_buckets(text: str) -> list[int]:
    """`1,2,4,8` as rising numbers, each once; raises UsageError."""
    try:
        found = sorted({int(part) for part in text.split(",")})
    except ValueError:
        found = []
    if not found or found[0] < 1 or found[-1] > 1024:
        raise UsageError(
            f"--buckets {text!r}: must be numbers of rows from 1 to 1024 with commas between, e.g. 1,2,4,8"
        )
    return found


def parse_size(text: str) -> tuple[int, int]:
    """`WxH` as (height, width), multiples of 8; raises UsageError."""
    found = re.fullmatch(r"(\d{1,5})x(\d{1,5})", text)
    sides = (int(found[2]), int(found[1])) if found else (0, 0)
    if not all(side > 0 and side % 8 == 0 for side in sides):
        raise UsageError(f"--size {text!r}: must be WIDTHxHEIGHT in pixels, both multiples of 8, e.g. 512x512")
    return sides
