"""The jobs of each stage, one process each, and how they are run within a budget of seconds."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from gpu.results import append
from gpu.settings import CASES, Place
from gpu.sides import COMPILED, REFERENCE

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
STAGES = ("export", "tests", "sd15", "sdxl", "tensorrt")
# Seconds left below which no job is begun.
LEAST = 15.0


@dataclass(frozen=True)
class Job:
    """A process: its name, the command, the most seconds it gets.

    beside: runs beside the jobs after it, for it needs no GPU and is given none; alone: waits for those, because it needs
    what they make, or the machine to itself.
    """

    name: str
    command: tuple[str, ...]
    limit: float
    beside: bool = False
    alone: bool = True


def jobs_of(stage: str, where: Place) -> list[Job]:
    """The jobs of a stage, the most telling first: what the budget has no room for is left out at the end."""
    if stage == "export":
        return [Job(f"export {name}", _work("export", name, where.engine, where), 560, beside=True) for name in CASES]
    if stage == "tests":
        what = ["-rs", "tests/gpu"] if where.full_size else ["--collect-only", "tests/gpu"]
        # Other versions of packages warn of other things, and that is not a failure here.
        quiet = ["-q", "-o", "filterwarnings=default", "-p", "no:cacheprovider"]
        return [Job("tests", (sys.executable, "-m", "pytest", *quiet, *what), 400, alone=False)]
    if stage == "tensorrt":
        return [
            Job("export sd15 tensorrt", _work("export", "sd15", "tensorrt", where), 300),
            Job("proof sd15 tensorrt", _work("proof", "sd15", "tensorrt", where), 500),
            Job("sd15 latentpress tensorrt", _work("render", "sd15", "latentpress tensorrt", where), 120),
        ]
    sides = ((REFERENCE, 90), ("latentpress", 180), ("diffusers half", 120), (COMPILED[0], 200))
    renders = [Job(f"{stage} {side}", _work("render", stage, side, where), limit) for side, limit in sides]
    rest = (("latentpress, decoder between", 60), (COMPILED[1], 120))
    return [
        # Done already where the stage `export` was.
        Job(f"export {stage}", _work("export", stage, where.engine, where), 560),
        Job(f"proof {stage}", _work("proof", stage, where.engine, where), 120),
        *renders,
        Job(f"switches {stage}", _work("switches", stage, "-", where), 90),
        *(Job(f"{stage} {side}", _work("render", stage, side, where), limit) for side, limit in rest),
    ]


def run_jobs(jobs: Sequence[Job], scratch: Path, budget: float, done: Callable[[], None]) -> list[str]:
    """Run them in order, those `beside` the others first; `done` is called after each. Returns the names that failed.

    Nothing runs longer than `budget` seconds: a job is stopped with its children, and what it wrote stays.
    """
    end = time.monotonic() + budget
    failed: list[str] = []
    running = [(job, _start(job, scratch), time.monotonic()) for job in jobs if job.beside]
    for job in (job for job in jobs if not job.beside):
        while job.alone and running:
            _settle(*running.pop(0), end, scratch, failed)
            done()
        left = end - time.monotonic()
        if left < LEAST:
            _fail(scratch, job, "left out: the budget was spent", failed)
            continue
        print(f"{job.name}: up to {min(job.limit, left):.0f} s", file=sys.stderr, flush=True)
        _finish(job, _start(job, scratch), min(job.limit, left), scratch, failed)
        done()
    for started_job in running:
        _settle(*started_job, end, scratch, failed)
        done()
    return failed


def log_file(scratch: Path, job: str) -> Path:
    """Where a job's output goes."""
    return scratch / "logs" / f"{job.replace(' ', '-').replace(',', '')}.log"


def _work(what: str, case: str, argument: str, where: Place) -> tuple[str, ...]:
    rehearse = () if where.full_size else ("--rehearse",)
    return (sys.executable, "-m", "gpu", "work", what, case, argument, *rehearse)


def _start(job: Job, scratch: Path) -> subprocess.Popen[bytes]:
    paths = [str(ROOT / "src"), str(HERE.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    settings = {
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONUNBUFFERED": "1",
        "HF_HUB_OFFLINE": "1",
        "TORCHINDUCTOR_CACHE_DIR": str(scratch / "inductor"),
        "GPU_SCRATCH": str(scratch),
    }
    if job.beside:
        settings["CUDA_VISIBLE_DEVICES"] = ""
    log = log_file(scratch, job.name)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as stream:
        return subprocess.Popen(
            job.command,
            cwd=ROOT,
            env={**os.environ, **settings},
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _settle(
    job: Job, process: subprocess.Popen[bytes], started: float, end: float, scratch: Path, failed: list[str]
) -> None:
    """Wait for a job that was begun beside others."""
    left = min(end, started + job.limit) - time.monotonic()
    _finish(job, process, max(1.0, left), scratch, failed)


def _finish(job: Job, process: subprocess.Popen[bytes], limit: float, scratch: Path, failed: list[str]) -> None:
    started = time.monotonic()
    try:
        code = process.wait(timeout=limit)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)  # torch.compile has workers of its own
        process.wait()
        _fail(scratch, job, f"stopped at its limit of {limit:.0f} s", failed)
        return
    text = log_file(scratch, job.name).read_text(errors="replace")
    if code:
        _fail(scratch, job, f"exit code {code}: {text[-600:]}", failed)
        return
    print(f"{job.name}: {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    append(scratch, {"kind": "done", "job": job.name, "seconds": time.monotonic() - started, "end": text[-300:]})


def _fail(scratch: Path, job: Job, why: str, failed: list[str]) -> None:
    print(f"{job.name}: {why}", file=sys.stderr, flush=True)
    append(scratch, {"kind": "failure", "job": job.name, "why": why})
    failed.append(job.name)
