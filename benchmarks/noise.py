"""How often `bench --compare` is right on this machine: runs of one thing, and runs that were made a tenth slower by hand.

    python benchmarks/noise.py --pairs 20 --scratch /tmp/noise

Each run is a process of its own, as two nights' would be. Prints, of the pairs of one thing, in how many every figure was
within noise; and of the pairs whose second run calls the UNet a tenth slower, in how many the UNet was found to be slower.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from latentpress.bench.compare import SAME, SLOWER, compared
from latentpress.bench.jobs import Work
from latentpress.bench.measure import Bench, Settings
from latentpress.bench.metered import Metered
from latentpress.bench.report import benchmark_data
from latentpress.bench.yardstick import yardstick
from latentpress.bundle.inputs import Array
from latentpress.cache.place import cache_dir
from latentpress.engines.choice import engine_of, parse_engine
from latentpress.engines.devices import device_name
from latentpress.engines.engine import Session
from latentpress.engines.opening import open_session
from latentpress.models import named_bundle


class Slower(Metered):
    """The session it is given, each call longer by a share of its time, in which it computes nothing of use."""

    def __init__(self, session: Session, share: float) -> None:
        super().__init__(session)
        self._share = share

    def run(self, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        """As `Session.run`."""
        before = self.seconds
        found = super().run(inputs)
        end = time.perf_counter() + self._share * (self.seconds - before)
        while time.perf_counter() < end:
            pass
        return found


def measured(engine: str, share: float, buckets: list[int], seconds: float) -> dict[str, object]:
    """One run of the built-in model, its UNet slower by `share`."""
    bundle = named_bundle("demo", cache_dir())
    choice = engine_of(bundle.info, parse_engine(engine))
    names = [component.name for component in bundle.info.components if component.role != "encoder"]
    sessions = {name: open_session(bundle, name, choice) for name in names}
    if share:
        unet = bundle.info.denoiser.name
        sessions[unet] = Slower(sessions[unet], share)
    bench = Bench(bundle, sessions, choice=choice, device=device_name(), yardstick=yardstick(None))
    height, width = bundle.info.default_size
    return benchmark_data(bench.run(Settings(Work(height, width, "euler", 20, 7.5), buckets, 30, seconds)))


def main() -> None:
    """Parse the arguments, make the runs, and print how often the comparison was right."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--engine", default="cpu")
    parser.add_argument("--buckets", type=int, nargs="+", default=[2, 8])
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--share", type=float, default=0.1)
    parser.add_argument("--scratch", type=Path, required=True)
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one is not None:
        given.one.write_text(json.dumps(measured(given.engine, given.share, given.buckets, given.seconds)))
        return
    given.scratch.mkdir(parents=True, exist_ok=True)
    same = slow = 0
    for number in range(given.pairs):
        runs = [_run(given, number, name, share) for name, share in (("a", 0.0), ("b", 0.0), ("slow", given.share))]
        alike = [f"{one.name} {one.ratio:.3f}" for one in compared(runs[0], runs[1]).differences if one.verdict != SAME]
        found = {one.name: one for one in compared(runs[1], runs[2]).differences}
        unet = [one for name, one in found.items() if name.startswith("unet")]
        same += not alike
        slow += all(one.verdict == SLOWER for one in unet)
        busy = sorted({why for run in runs for why in run["machine"]["busy"]})
        ratios = ", ".join(f"{one.name} {one.ratio:.3f} {one.verdict}" for one in unet)
        print(
            f"{number}: one thing: {', '.join(alike) or SAME}; slower: {ratios}; {'; '.join(busy) or 'quiet'}",
            flush=True,
        )
    print(f"within noise: {same} of {given.pairs}; a slow-down of {given.share:.0%} found: {slow} of {given.pairs}")


def _run(given: argparse.Namespace, number: int, name: str, share: float) -> dict[str, object]:
    file = given.scratch / f"{number}-{name}.json"
    arguments = ["--one", str(file), "--share", str(share), "--engine", given.engine, "--scratch", str(given.scratch)]
    more = ["--seconds", str(given.seconds), "--buckets", *map(str, given.buckets)]
    subprocess.run([sys.executable, __file__, *arguments, *more], check=True)
    return json.loads(file.read_text())


if __name__ == "__main__":
    main()
