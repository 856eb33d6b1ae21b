"""`latentpress bench`: measures a bundle, sweeps its settings, or compares runs; what it prints and writes."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from latentpress.cache.place import cache_dir
from latentpress.cli import bench_options as options
from latentpress.cli.options import print_json
from latentpress.cli.render_options import EngineOption, ThreadsOption
from latentpress.errors import UsageError

if TYPE_CHECKING:
    from latentpress.bench.ceiling import Ceiling
    from latentpress.bench.compare import Comparison
    from latentpress.bench.flops import Convolution
    from latentpress.bench.jobs import Work
    from latentpress.bench.measure import Bench, Settings
    from latentpress.bundle.info import Bundle
    from latentpress.engines.engine import EngineChoice, Session

SAMPLER = "euler"  # the cheapest; the rest of the loop is the same for all samplers
STDOUT = "-"


def bench_command(
    bundle: options.BenchBundle = None,
    size: options.SizeOption = None,
    buckets: options.BucketsOption = "1,2,4,8",
    repeats: options.RepeatsOption = 30,
    seconds: options.SecondsOption = 60.0,
    job: options.JobOption = None,
    every_bucket: options.EveryBucketOption = False,
    steps: options.StepsOption = 20,
    guidance_scale: options.GuidanceOption = 7.5,
    cold: options.ColdOption = False,
    threads: ThreadsOption = None,
    engine: EngineOption = None,
    json_file: options.JsonFileOption = None,
    plot: options.PlotOption = None,
    first_session: options.FirstSessionOption = None,
    sweep: options.SweepOption = None,
    table: options.TableOption = None,
    compare: options.CompareOption = None,
    history: options.HistoryOption = None,
    fail_slower: options.FailSlowerOption = None,
) -> None:
    """Measure a bundle on this machine: latency of its parts and of pictures, images per second, memory."""
    share = options.parse_share(fail_slower)
    if compare is not None:
        if bundle is not None:
            raise UsageError("--compare takes two files that bench --json wrote, and no BUNDLE: nothing is measured")
        _compare_files(compare, share, json_file)
        return
    if bundle is None:
        raise UsageError("no BUNDLE: name the one to measure, e.g. `latentpress bench demo`, or --compare two runs")
    # Wrong arguments first: none of them should cost the time that opening a bundle takes.
    if share is not None and history is None:
        raise UsageError("--fail-slower goes with --compare BEFORE AFTER, or with --history DIR")
    if table is not None and not sweep:
        raise UsageError("--table goes with --sweep AXIS=VALUE,VALUE")
    wanted, pixels = options.parse_buckets(buckets), None if size is None else options.parse_size(size)
    _check_files(plot, table, json_file, first_session)
    from latentpress.bench.jobs import PLAIN, Work
    from latentpress.bench.measure import Settings, check_jobs
    from latentpress.engines.choice import engine_of, parse_engine
    from latentpress.models import named_bundle

    jobs, chosen = check_jobs(job or [PLAIN]), parse_engine(engine) if engine else None
    opened = named_bundle(bundle, cache_dir())
    height, width = pixels or opened.info.default_size
    choice, work = engine_of(opened.info, chosen), Work(height, width, SAMPLER, steps, guidance_scale)
    if sweep:
        _sweep(opened, choice, threads, work, sweep, repeats, json_file, plot, table)
        return
    settings = Settings(work, wanted, repeats, seconds, jobs, every_bucket)
    if first_session is not None:
        _first_session(opened, choice, threads, settings, first_session)
        return
    data = _measured(opened, choice, threads, settings, cold, plot, json_file)
    if history is not None:
        _kept(history, data, share, quiet=json_file == STDOUT)


def _check_files(plot: Path | None, table: Path | None, json_file: str | None, page: Path | None) -> None:
    """Raise UsageError where one of them could not be written: before anything is measured."""
    from latentpress.bench.report import check_plot
    from latentpress.bench.sweep_report import check_table

    if plot is not None:
        check_plot(plot)
    if table is not None:
        check_table(table)
    for path in (plot, table, page, None if json_file in (None, STDOUT) else Path(json_file)):
        if path is not None:
            options.check_folder(path)


def _measured(
    bundle: "Bundle",
    choice: "EngineChoice",
    threads: int | None,
    settings: "Settings",
    cold: bool,
    plot: Path | None,
    json_file: str | None,
) -> dict[str, Any]:
    """Measure, print and write; the run as JSON data."""
    from latentpress.bench.cold import cold_start
    from latentpress.bench.report import benchmark_data, benchmark_lines, save_plot

    # Before anything else: what is measured later fills memory and keeps the cores busy.
    start = cold_start(str(bundle.path), str(choice), threads, settings.work) if cold else None
    found = _bench(bundle, choice, threads).run(settings)
    if plot is not None:
        save_plot(found, plot)
    data = benchmark_data(found, start)
    if json_file == STDOUT:
        print_json(data)
        return data
    if json_file is not None:
        Path(json_file).write_text(json.dumps(data, indent=1) + "\n")
    for line in benchmark_lines(found, start):
        typer.echo(line)
    return data


def _bench(bundle: "Bundle", choice: "EngineChoice", threads: int | None) -> "Bench":
    from latentpress.bench.measure import Bench
    from latentpress.bench.yardstick import yardstick
    from latentpress.engines.devices import device_name

    device = device_name(gpu=choice.kind.on_gpu)
    return Bench(
        bundle,
        _sessions(bundle, choice, threads),
        choice=choice,
        device=device,
        yardstick=yardstick(threads, gpu=choice.kind.on_gpu),
        ceiling=_ceiling(choice, device, threads),
        threads=threads,
        cache=cache_dir(),
        report=_report,
    )


def _first_session(
    bundle: "Bundle", choice: "EngineChoice", threads: int | None, settings: "Settings", page: Path
) -> None:
    from latentpress.bench.first_session import first_session

    most = max(settings.buckets)
    text, well = first_session(bundle, choice, most, threads, lambda: _bench(bundle, choice, threads).run(settings))
    page.write_text(text)
    typer.echo(f"{page} has what was found" if well else f"{page} has what was found, and what failed")
    if not well:
        raise typer.Exit(3)


def _sessions(bundle: "Bundle", choice: "EngineChoice", threads: int | None) -> "dict[str, Session]":
    from latentpress.engines.opening import open_session

    names = [component.name for component in bundle.info.components if component.role != "encoder"]
    return {name: open_session(bundle, name, choice, threads) for name in names}


def _ceiling(
    choice: "EngineChoice", device: str, threads: int | None
) -> "Callable[[Sequence[Convolution]], Ceiling | None]":
    from latentpress.bench.ceiling import cpu_ceiling, gpu_ceiling

    if choice.kind.on_gpu:
        return lambda shapes: gpu_ceiling(device)
    return lambda shapes: cpu_ceiling(device, threads, bf16=choice.precision == "bf16", convolutions=shapes)


def _sweep(
    bundle: "Bundle",
    choice: "EngineChoice",
    threads: int | None,
    work: "Work",
    texts: Sequence[str],
    repeats: int,
    json_file: str | None,
    plot: Path | None,
    table: Path | None,
) -> None:
    from latentpress.bench.conditions import conditions
    from latentpress.bench.machine import watched
    from latentpress.bench.sweep import Combination, combinations_of, parse_axes, swept
    from latentpress.bench.sweep_report import save_front, sweep_lines, table_text
    from latentpress.bench.yardstick import yardstick
    from latentpress.engines.choice import engine_of, parse_engine

    base = Combination(str(choice), threads, (work.height, work.width), work.steps, 8)
    combinations = combinations_of(parse_axes(texts), base)
    choices = {name: engine_of(bundle.info, parse_engine(name)) for name in {one.engine for one in combinations}}

    @cache
    def sessions(name: str, count: int | None) -> "Mapping[str, Session]":
        return _sessions(bundle, choices[name], count)

    on_gpu = any(one.kind.on_gpu for one in choices.values())
    with watched(gpu=on_gpu) as state:
        beside = yardstick(threads, gpu=on_gpu)
        found, notes = swept(bundle, combinations, work, sessions, repeats, beside, _report)
        machine = state()
    if plot is not None:
        save_front(found, plot)
    if table is not None:
        table.write_text(table_text(found, table.suffix))
    about = {"conditions": asdict(conditions()), "machine": asdict(machine)}
    data = {"bundle_hash": bundle.hash, "sweep": [asdict(one) for one in found], **about, "notes": notes}
    if json_file == STDOUT:
        print_json(data)
        return
    if json_file is not None:
        Path(json_file).write_text(json.dumps(data, indent=1) + "\n")
    for line in [*sweep_lines(found), *notes]:
        typer.echo(line)
    if machine.busy:
        typer.echo(f"the machine was busy, and these figures tell of that too: {'; '.join(machine.busy)}")


def _kept(folder: Path, run: Mapping[str, Any], share: float | None, *, quiet: bool) -> None:
    """Keep the run, and compare it with the newest one before it that measured the same."""
    from latentpress.bench.compare import compared
    from latentpress.bench.history import alike, keep_run, kept_runs, save_history

    earlier = alike(run, kept_runs(folder))
    path = keep_run(folder, run)
    typer.echo(f"kept as {path}", err=True)
    if not earlier:
        return
    before, other = earlier[-1]
    typer.echo(f"compared with {before}:", err=True)
    if find_spec("matplotlib") is not None:
        save_history([*earlier, (path, dict(run))], folder / "history.png")
    _told(compared(other, run), share, quiet=quiet)


def _compare_files(files: tuple[Path, Path], share: float | None, json_file: str | None) -> None:
    from latentpress.bench.compare import compared
    from latentpress.bench.kept import read_run

    found = compared(*(read_run(file) for file in files))
    if json_file == STDOUT:
        print_json(asdict(found))
    elif json_file is not None:
        Path(json_file).write_text(json.dumps(asdict(found), indent=1) + "\n")
    _told(found, share, quiet=json_file == STDOUT)


def _told(found: "Comparison", share: float | None, *, quiet: bool) -> None:
    """Print the comparison; ends with exit code 1 where a figure is slower by more than `share`."""
    from latentpress.bench.report import comparison_lines

    for line in () if quiet else comparison_lines(found):
        typer.echo(line)
    if share is not None and (slower := found.slower_than(share)):
        names = ", ".join(f"{one.name} ({one.ratio - 1:+.1%})" for one in slower)
        typer.echo(f"slower by more than {100 * share:g}%: {names}", err=True)
        raise typer.Exit(1)


def _report(line: str) -> None:
    typer.echo(line, err=True)
