"""Measure Stable Diffusion 1.5 and SDXL at full size on this machine's NVIDIA GPU, in stages that fit into ten minutes."""

import os
import shutil
from pathlib import Path
from typing import Annotated

import typer

from gpu.settings import CASES, case, place

app = typer.Typer(help=__doc__, no_args_is_help=True, pretty_exceptions_enable=False)
_Rehearse = Annotated[
    bool, typer.Option("--rehearse", help="Small models on the CPU: tries the script, measures nothing.")
]


@app.command()
def run(
    stage: Annotated[list[str], typer.Option(help="export, tests, sd15, sdxl or tensorrt; may be repeated.")],
    budget: Annotated[float, typer.Option(help="Seconds for all of it; what is not done by then is stopped.")] = 570,
    scratch: Annotated[Path, typer.Option(help="Models, bundles and rows are kept here between runs.")] = Path(
        "out/gpu"
    ),
    out: Annotated[
        Path | None, typer.Option(help="Where results.jsonl, table.md, plot.png go; default SCRATCH.")
    ] = None,
    rehearse: _Rehearse = False,
) -> None:
    """Run stages; each result is written as soon as it is there."""
    from gpu.jobs import STAGES, jobs_of, run_jobs
    from gpu.work import machine

    for name in stage:
        if name not in STAGES:
            raise typer.BadParameter(f"{name!r} is unknown; known are {', '.join(STAGES)}")
    where = place(rehearse)
    scratch = scratch.resolve()
    scratch.mkdir(parents=True, exist_ok=True)
    os.environ["GPU_SCRATCH"] = str(scratch)
    machine(where, scratch)
    jobs = [job for name in STAGES if name in stage for job in jobs_of(name, where)]
    names = {job.name for job in jobs if job.beside}
    # A case's own export is for a run without the stage that exports all.
    jobs = [job for job in jobs if job.beside or job.name not in names]
    failed = run_jobs(jobs, scratch, budget, lambda: _report(scratch, out or scratch))
    _report(scratch, out or scratch)
    typer.echo(((out or scratch) / "table.md").read_text())
    if failed:
        typer.echo(f"failed or left out: {', '.join(failed)}", err=True)
        raise typer.Exit(1)


@app.command()
def report(
    scratch: Annotated[Path, typer.Option(help="As `run` was given.")] = Path("out/gpu"),
    out: Annotated[Path | None, typer.Option(help="Default SCRATCH.")] = None,
) -> None:
    """Write the table and the plot again from what was measured."""
    _report(scratch.resolve(), out or scratch)


@app.command(hidden=True)
def work(what: str, name: str, argument: str, rehearse: _Rehearse = False) -> None:
    """One job, in this process."""
    from gpu import switches
    from gpu import work as doing

    if name not in CASES:
        raise typer.BadParameter(f"case {name!r} is unknown; known are {', '.join(CASES)}")
    scratch = Path(os.environ["GPU_SCRATCH"])
    given = case(name, rehearse), place(rehearse), scratch
    if what == "export":
        doing.export(*given, argument)
    elif what == "proof":
        doing.proof(*given, argument)
    elif what == "render":
        doing.render(*given, argument)
    elif what == "switches":
        switches.switches(*given)
    else:
        raise typer.BadParameter(f"{what!r} is unknown")


def _report(scratch: Path, out: Path) -> None:
    from gpu.report import write
    from gpu.results import FILE

    out.mkdir(parents=True, exist_ok=True)
    write(scratch, out)
    if out.resolve() != scratch.resolve():
        shutil.copyfile(scratch / FILE, out / FILE)


if __name__ == "__main__":
    app()
