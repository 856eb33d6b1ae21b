"""CPU time and memory of folders with many finished pictures: planned, looked at, listed and resumed.

    python benchmarks/resume.py [--jobs 100000 1000000] [--sources matrix jsonl csv] [--scratch DIR]

Each command is a process of its own; its CPU time is user and system time, its memory the most it held (VmHWM). The folder
is filled as a render leaves it, without the engine: each picture is a small file of its own, which the ledger records.
The last command renders ten pictures that were removed. A million pictures take some 5 GB of disk below DIR meanwhile.
"""

import argparse
import hashlib
import io
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from costs import HEAD, Cost, environment, measured
from PIL import Image

from latentpress.batch.folder import OutputFolder
from latentpress.batch.ledger.ledger import Ledger
from latentpress.batch.pictures.intact import stamp_of
from latentpress.batch.place import LEDGER, home_of
from latentpress.manifest.manifest import read_manifest
from latentpress.runtime.request import Origin

SOURCES = ("matrix", "jsonl", "csv")
COMMON = {"steps": 2, "size": "64x64"}
LEFT = 10
# Jobs whose pictures are recorded in one transaction.
BLOCK = 20_000
COMMAND = """
from latentpress.cli import main
main()
"""


def main() -> None:
    """Measure, then print a line for each command as it ends."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--sources", nargs="+", choices=SOURCES, default=SOURCES)
    parser.add_argument("--scratch", type=Path)
    options = parser.parse_args()
    print(HEAD, flush=True)
    for jobs in options.jobs:
        for source in options.sources:
            with tempfile.TemporaryDirectory(dir=options.scratch) as scratch:
                for one in figures(source, jobs, Path(scratch)):
                    print(one.row, flush=True)


def figures(source: str, jobs: int, scratch: Path) -> Iterator[Cost]:
    """Each command on so many jobs, or nearly so many, in an empty folder `scratch`."""
    manifest, count = written(source, jobs, scratch)
    out = scratch / "out"

    def took(what: str, *arguments: str) -> Cost:
        cpu, peak = measured(COMMAND, [*arguments, str(manifest), "-o", str(out)], scratch)
        return Cost(source, count, what, cpu, peak)

    yield took("plan, nothing done", "plan")
    command = [
        sys.executable,
        "-c",
        "import sys; from resume import fill; fill(*sys.argv[1:])",
        str(manifest),
        str(out),
    ]
    subprocess.run(command, cwd=scratch, env=environment(), check=True)
    yield took("plan, all done", "plan")
    yield took("status, all done", "status")
    yield took("render, all done", "render")
    yield took("plan --json, all done", "plan", "--json")
    remove(out)
    yield took(f"status, {LEFT} missing", "status")
    yield took(f"render, {LEFT} missing", "render", "--in-process")


def written(source: str, jobs: int, folder: Path) -> tuple[Path, int]:
    """A manifest of so many jobs, whose prompts have twelve words, each its own; how many they are: a matrix is a cube."""
    head: dict[str, object] = {"version": 1, "model": "demo"}
    if source == "matrix":
        values = round(jobs ** (1 / 3))
        axes = {axis: [f"{axis}{number}" for number in range(values)] for axis in ("colour", "animal", "place")}
        prompt = "a {colour} {animal} beside the {place} on a quiet morning in spring"
        head |= {"defaults": COMMON | {"prompt": prompt, "seed": 1}, "matrix": axes}
        jobs = values**3
    else:
        lines = folder / f"jobs.{source}"
        with lines.open("w") as stream:
            if source == "csv":
                stream.write("id,prompt,seed\n")
            for number in range(jobs):
                prompt = f"a red kite above the town number {number} on a windy morning"
                row = {"id": str(number), "prompt": prompt, "seed": number}
                stream.write(f"{number},{prompt},{number}\n" if source == "csv" else json.dumps(row) + "\n")
        head |= {"defaults": COMMON, "jobs": [{"from": lines.name}]}
    manifest = folder / f"{source}.yaml"
    manifest.write_text(json.dumps(head))
    return manifest, jobs


class Nobody:
    """An executor that is never asked for a picture."""

    def open(self, bundle: str, requests: object) -> str:
        """Nothing is made ready."""
        return "any"


def fill(manifest: str, out: str) -> None:
    """Record the plan, put a picture under each of its names, and have the ledger record each."""
    folder = OutputFolder(read_manifest(manifest), out)
    plan = folder.render(executor=Nobody(), only=(), any_space=True).plan  # pyright: ignore
    stream = io.BytesIO()
    Image.new("RGB", (64, 64)).save(stream, "PNG")
    content = stream.getvalue()
    sha256, origin = hashlib.sha256(content).hexdigest(), Origin("cpu", 8, "any")
    with Ledger(home_of(Path(out)) / LEDGER) as ledger:
        jobs = iter(plan.jobs)
        while block := list(islice(jobs, BLOCK)):
            with ledger.transaction():
                for job in block:
                    path = Path(out) / job.output
                    path.write_bytes(content)
                    known = {"pixel_sha256": sha256, "file_sha256": sha256, "file_size": len(content)}
                    stamp = stamp_of(path.lstat())
                    ledger.done(job, plan, seconds=0.5, origin=origin, stamp=stamp, **known)  # pyright: ignore


def remove(out: Path) -> None:
    """Remove a few of the pictures, as someone would who wants them anew."""
    pictures = (Path(entry.path) for entry in os.scandir(out) if entry.name.endswith(".png"))
    for path, _ in zip(pictures, range(LEFT), strict=False):
        path.unlink()


if __name__ == "__main__":
    main()
