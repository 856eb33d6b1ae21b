"""Runs the sides of a workload in turns, one process each, and writes the table and the plot."""

import contextlib
import json
import resource
import statistics
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

app = typer.Typer(help=__doc__, no_args_is_help=True, pretty_exceptions_enable=False)
HERE = Path(__file__).resolve().parent
REFERENCE = "diffusers f32"


@dataclass(frozen=True)
class Turn:
    """One side, in one process: seconds of each render after the first, which is a warm-up; peak memory in bytes."""

    side: str
    batch: int
    images: int
    seconds: list[float]
    load_seconds: float
    peak_memory: int


@app.command()
def run(
    workload: Annotated[str, typer.Option(help="demo, mixed or sd15.")] = "demo",
    side: Annotated[list[str] | None, typer.Option(help="A side; may be repeated; all by default.")] = None,
    batch: Annotated[list[int] | None, typer.Option(help="A peer's batch size; may be repeated.")] = None,
    images: Annotated[int | None, typer.Option(min=1, help="The workload's first images alone.")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="How often each side's process is started.")] = 2,
    repeats: Annotated[int, typer.Option(min=1, help="Renders in each process, after a warm-up.")] = 1,
    append: Annotated[bool, typer.Option(help="Add to the turns of an earlier run, on the same machine.")] = False,
    scratch: Annotated[Path, typer.Option(help="Exported models and pictures are kept here.")] = Path("out/peers"),
) -> None:
    """Measure; leaves SCRATCH/WORKLOAD.json, .md and .png."""
    from peers.sides import SIDES, WITHOUT_LOSSES
    from peers.workloads import NAMES, batches

    for given, known in (([workload], NAMES), (side or [], tuple(SIDES))):
        for name in given:
            if name not in known:
                raise typer.BadParameter(f"{name!r} is unknown; known are {', '.join(known)}")
    scratch = scratch.resolve()
    scratch.mkdir(parents=True, exist_ok=True)
    # Ours choose their bucket themselves; peers are measured at each batch size the workload allows.
    contenders = [
        (name, size)
        for name in side or SIDES
        for size in (
            (1,) if name.startswith("latentpress") else batch or batches(workload, reference=name == REFERENCE)
        )
        if not (workload == "mixed" and name.startswith(WITHOUT_LOSSES))
    ]
    record = scratch / f"{workload}.json"
    turns = [Turn(**turn) for turn in json.loads(record.read_text())] if append and record.exists() else []
    for number in range(rounds):
        for name, size in contenders:
            typer.echo(f"round {number + 1} of {rounds}: {name}, batch {size}", err=True)
            command = [sys.executable, "-m", "peers", "one", name, workload, str(size), str(repeats), str(scratch)]
            command += ["--images", str(images)] if images else []
            done = subprocess.run(command, cwd=HERE.parent, stdout=subprocess.PIPE, text=True)
            if done.returncode:
                typer.echo(f"  failed with exit code {done.returncode}", err=True)
                continue
            turns.append(Turn(**json.loads(done.stdout.splitlines()[-1])))
            # A long run that is interrupted leaves what it has.
            record.write_text(json.dumps([asdict(turn) for turn in turns], indent=1))
    if not turns:
        typer.echo("no side could be measured", err=True)
        raise typer.Exit(1)
    table = f"{machine()}\n\n{markdown(turns, scratch, workload)}"
    (scratch / f"{workload}.md").write_text(table)
    typer.echo(table)
    plot({workload: turns}, scratch / f"{workload}.png")


@app.command()
def report(
    scratch: Annotated[Path, typer.Option(help="Where `run` left its figures.")] = Path("out/peers"),
) -> None:
    """The tables again, and peers.png with all workloads, from what was measured."""
    from peers.workloads import NAMES

    records = {name: scratch / f"{name}.json" for name in NAMES}
    measured = {
        name: [Turn(**turn) for turn in json.loads(record.read_text())]
        for name, record in records.items()
        if record.exists()
    }
    if not measured:
        raise typer.BadParameter(f"{scratch} holds no figures; run `python -m peers run` first")
    for name, turns in measured.items():
        typer.echo(markdown(turns, scratch, name))
    plot(measured, scratch / "peers.png")


@app.command(hidden=True)
def one(name: str, workload: str, batch: int, repeats: int, scratch: Path, images: int | None = None) -> None:
    """One side in this process: prints a Turn as JSON and keeps its pictures."""
    from peers.sides import SIDES
    from peers.workloads import workload as make

    work = make(workload, scratch, images)
    started = time.perf_counter()
    render = SIDES[name](work, scratch, batch)
    loaded = time.perf_counter() - started
    pictures = render()
    seconds: list[float] = []
    for _ in range(repeats):
        started = time.perf_counter()
        pictures = render()
        seconds.append(time.perf_counter() - started)
    if len(pictures) != len(work.requests):
        raise SystemExit(f"{name}: {len(pictures)} pictures of {len(work.requests)}")
    np.save(_pictures(scratch, workload, name, batch), np.stack(pictures))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    print(json.dumps(asdict(Turn(name, batch, len(pictures), seconds, loaded, peak))))


def machine() -> str:
    """The machine and the versions, in one line."""
    from latentpress.engines.devices import device_name

    found: list[str] = []
    for package in ("torch", "diffusers", "onnxruntime", "openvino", "optimum-onnx", "optimum-intel"):
        with contextlib.suppress(PackageNotFoundError):
            found.append(f"{package} {version(package)}")
    return f"{device_name()}; {', '.join(found)}"


def measured_rates(turns: list[Turn]) -> dict[tuple[str, int], list[float]]:
    """(side, batch) -> images/s of each of its renders."""
    found: dict[tuple[str, int], list[float]] = {}
    for turn in turns:
        found.setdefault((turn.side, turn.batch), []).extend(turn.images / second for second in turn.seconds)
    return found


def rates(turns: list[Turn]) -> dict[tuple[str, int], float]:
    """(side, batch) -> images/s, the median of its renders."""
    return {key: statistics.median(values) for key, values in measured_rates(turns).items()}


def markdown(turns: list[Turn], scratch: Path, workload: str) -> str:
    """The table: images/s, ratios to diffusers f32 once per image and at its best batch, PSNR of the pictures to it."""
    found, each = rates(turns), measured_rates(turns)
    single = found.get((REFERENCE, 1), float("nan"))
    best = max((rate for (name, _), rate in found.items() if name == REFERENCE), default=float("nan"))
    memory = {(turn.side, turn.batch): turn.peak_memory for turn in turns}
    lines = [
        f"| {workload} | batch | images/s | range | to diffusers f32, one by one | to its best batch | PSNR dB | peak GB |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for (name, batch), rate in sorted(found.items(), key=lambda item: -item[1]):
        psnr = _psnr(scratch, workload, name, batch)
        renders = each[name, batch]
        spread = f"{min(renders):.3f} - {max(renders):.3f}" if len(renders) > 1 else "once"
        size = "its own" if name.startswith("latentpress") else batch
        lines.append(
            f"| {name} | {size} | {rate:.3f} | {spread} | {rate / single:.2f}x | {rate / best:.2f}x | {psnr} | "
            f"{memory[name, batch] / 1e9:.1f} |"
        )
    return "\n".join(lines) + "\n"


def plot(measured: dict[str, list[Turn]], path: Path) -> None:
    """Bars of each side's best batch, a panel for each workload."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    best: dict[str, dict[str, float]] = {}
    for workload, turns in measured.items():
        for (name, _), rate in rates(turns).items():
            found = best.setdefault(workload, {})
            found[name] = max(rate, found.get(name, 0.0))
    heights = [len(found) + 1.5 for found in best.values()]
    figure, panels = pyplot.subplots(
        len(best), figsize=(7, 0.3 * sum(heights)), height_ratios=heights, layout="constrained", squeeze=False
    )
    for axes, (workload, found) in zip(panels[:, 0], best.items(), strict=True):
        order = sorted(found, key=lambda name: found[name])
        colours = ["tab:orange" if name.startswith("latentpress") else "tab:gray" for name in order]
        axes.bar_label(axes.barh(order, [found[name] for name in order], color=colours), fmt="%.3g", padding=3)
        axes.set(title=workload)
        axes.margins(x=0.15)
    panels[-1, 0].set(xlabel="images/s, each side at its best batch")
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def _pictures(scratch: Path, workload: str, name: str, batch: int) -> Path:
    return scratch / f"{workload}-{name.replace(' ', '-')}-{batch}.npy"


def _psnr(scratch: Path, workload: str, name: str, batch: int) -> str:
    """The least PSNR of a side's pictures to the reference's, dB."""
    ours, theirs = (_pictures(scratch, workload, side, size) for side, size in ((name, batch), (REFERENCE, 1)))
    if not ours.exists() or not theirs.exists():
        return "-"
    found, expected = np.load(ours).astype(float), np.load(theirs)
    if found.shape != expected.shape:
        return "-"  # left by a run of fewer images
    error = (found - expected) / 255
    worst = float(np.square(error).mean((1, 2, 3)).max())
    return "same" if worst == 0 else f"{-10 * np.log10(worst):.1f}"


if __name__ == "__main__":
    app()
