"""The process whose start is measured (cold.py): it loads nothing before it has looked at the clock.

    python -P -m latentpress.bench.cold_process BUNDLE ENGINE THREADS WxH SAMPLER STEPS GUIDANCE STARTED

STARTED: when it was started, in seconds as time.time() has them. Prints the parts as JSON.
"""

import itertools
import json
import sys
import time
from pathlib import Path


def _main(arguments: list[str]) -> None:
    name, engine, threads, size, sampler, steps, guidance, started = arguments
    marks = [float(started), time.time()]
    from latentpress.bench.jobs import PLAIN, Work, bench_jobs
    from latentpress.bundle.info import open_bundle
    from latentpress.engines.choice import parse_engine
    from latentpress.engines.opening import open_session
    from latentpress.runtime.calibrate import calibrate
    from latentpress.runtime.render import Renderer

    marks.append(time.time())
    bundle = open_bundle(Path(name))
    marks.append(time.time())
    choice, count = parse_engine(engine), int(threads) or None
    parts = [component.name for component in bundle.info.components if component.role != "encoder"]
    sessions = {part: open_session(bundle, part, choice, count) for part in parts}
    renderer = Renderer(bundle, sessions=sessions, threads=count)
    marks.append(time.time())
    width, height = (int(side) for side in size.split("x"))
    calibrate(renderer.trial(height, width))
    marks.append(time.time())
    work = Work(height, width, sampler, int(steps), float(guidance))
    notes: list[str] = []
    with bench_jobs(bundle.info, work, [PLAIN], notes) as jobs:
        if not jobs:
            raise SystemExit(notes[0])
        for picture in renderer.render([(0, jobs[0].request(0))]):
            if picture.error:
                raise SystemExit(picture.error)
    marks.append(time.time())
    spans = [later - earlier for earlier, later in itertools.pairwise(marks)]
    names = ("process", "imports", "bundle", "engines", "calibration", "picture")
    print(json.dumps({**dict(zip(names, spans, strict=True)), "whole": marks[-1] - marks[0]}))


if __name__ == "__main__":
    _main(sys.argv[1:])
