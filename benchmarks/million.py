"""CPU time and memory of planning a million jobs, of a matrix, a JSONL and a CSV file.

    python benchmarks/million.py [--jobs 1000000] [--sources matrix jsonl csv words] [--scratch DIR]

Each manifest is read and planned in a process of its own, as every command does first; its CPU time is user and system time
with Python's start, its memory the most it held (VmHWM). What `latentpress plan` does besides, a line for each job and the
estimate, is in resume.py, as are folders with finished pictures. A million jobs take some 600 MB of disk meanwhile.
"""

import argparse
import json
import random
import re
import tempfile
from pathlib import Path

from costs import HEAD, Cost, measured

SOURCES = ("matrix", "jsonl", "csv", "words")
STYLES = 10
TEXT = "a red kite old house over the sea by night in glass and steel blue green robots photo of mountain river"
# Plans, and fails where there are not as many jobs as there should be.
PLAN = """
from latentpress.batch.folder import OutputFolder
assert len(OutputFolder(sys.argv[1], sys.argv[2]).plan().jobs) == int(sys.argv[3])
"""


def main() -> None:
    """Measure, and print a row of a table as each ends."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=1_000_000)
    parser.add_argument("--sources", nargs="+", choices=SOURCES, default=SOURCES[:3])
    parser.add_argument("--scratch", type=Path)
    options = parser.parse_args()
    print(HEAD, flush=True)
    for source in options.sources:
        with tempfile.TemporaryDirectory(dir=options.scratch) as scratch:
            print(took(source, options.jobs, Path(scratch)).row, flush=True)


def took(source: str, jobs: int, scratch: Path) -> Cost:
    """Write a manifest into `scratch` and plan it. Raises CalledProcessError where that fails."""
    manifest = written(source, jobs, scratch)
    # A matrix is whole.
    jobs = {"matrix": jobs // STYLES * STYLES, "words": round(jobs**0.5) ** 2}.get(source, jobs)
    cpu, peak = measured(PLAN, [str(manifest), str(scratch / "out"), str(jobs)], scratch)
    return Cost(source, jobs, "plan alone", cpu, peak)


def written(source: str, jobs: int, folder: Path) -> Path:
    """A manifest of so many jobs; the prompts of lines have twelve words, each its own.

    matrix: ten styles of each seed; words: two axes, as long as each other, that make up the prompt.
    """
    path = folder / f"jobs.{source if source in ('jsonl', 'csv') else 'yaml'}"
    pick, words = random.Random(jobs), TEXT.split()
    rows = ((f"j{number}", "demo", " ".join(pick.choices(words, k=12)), number) for number in range(jobs))
    with path.open("w") as stream:
        if source == "jsonl":
            for row in rows:
                stream.write(json.dumps(dict(zip(("id", "model", "prompt", "seed"), row, strict=True))) + "\n")
        elif source == "csv":
            stream.write("id,model,prompt,seed\n")
            stream.writelines(",".join(map(str, row)) + "\n" for row in rows)
        else:
            many = STYLES if source == "matrix" else round(jobs**0.5)
            axes: dict[str, object] = {"style": [f"style number {number}" for number in range(many)]}
            axes |= {"seed": f"1..{jobs // many}"} if source == "matrix" else {}
            axes |= {"thing": [f"thing number {number}" for number in range(many)]} if source == "words" else {}
            prompt = f"a kite over the sea, {'{thing}, ' if source == 'words' else ''}{{style}}"
            head = {"version": 1, "model": "demo", "defaults": {"prompt": prompt}, "matrix": axes}
            stream.write(re.sub(r'"([0-9]+\.\.[0-9]+)"', r"\1", json.dumps(head)))  # in quotes it would be no range
    return path


if __name__ == "__main__":
    main()
