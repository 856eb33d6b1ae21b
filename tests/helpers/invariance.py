"""What the property test renders with, and the property: the pixels of any mix of jobs are those each job has alone."""

import itertools
import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from latentpress.batch.ledger import Ledger, ledger_path
from latentpress.batch.lock import locked
from latentpress.batch.plan import build_plan
from latentpress.batch.png import pixel_sha256
from latentpress.batch.progress import Silence
from latentpress.batch.render import render
from latentpress.engines.choice import parse_engine
from latentpress.errors import ManifestError
from latentpress.manifest.manifest import read_manifest
from latentpress.models import Models, facts_of
from latentpress.runtime.render import Renderer


@dataclass
class Lab:
    """The bundles of one kind on one engine, renderers that are opened once, and each job's pixels alone."""

    kind: str
    engine: str
    models: Models
    folder: Path
    sessions: object = None
    alone: dict[str, str] = field(default_factory=dict)
    renderers: dict[tuple[int, bool], Renderer] = field(default_factory=dict)
    numbers: itertools.count = field(default_factory=itertools.count)

    def __post_init__(self):
        self.facts = facts_of(self.models)

    def renderer(self, rows, threads=1, beside=False):
        key = threads, beside
        if key not in self.renderers:
            self.renderers[key] = Renderer(
                self.models.bundle,
                refiners=tuple(self.models.refiners.values()),
                engine=parse_engine(self.engine),
                sessions=self.sessions and self.sessions(self.models.bundle),
                threads=threads,
                decode_beside=beside,
            )
        self.renderers[key].batch_rows = rows
        return self.renderers[key]

    def plan(self, jobs):
        """The plan of a manifest of `jobs`, whose outputs are named by what is asked, not by their order."""
        path = self.folder / f"{next(self.numbers)}.yaml"
        model = str(self.models.bundle.path)
        # JSON is YAML too.
        path.write_text(
            json.dumps({"version": 1, "name": "mix", "model": model, "jobs": jobs, "output": "{hash:20}.png"})
        )
        return build_plan(read_manifest(path), self.facts, {}, lambda: 0)

    def possible(self, job):
        """`job`, without its refiner where that would be left no step, as it may with 2 steps."""
        try:
            self.plan([job])
        except ManifestError as error:
            if "leaves the" not in str(error):
                raise
            return {name: value for name, value in job.items() if name != "refiner"}
        return job

    def right(self, job):
        """The pixels of a planned job alone, in calls of its own rows."""
        if job.job_hash not in self.alone:
            self.alone |= digests(self.renderer(2), [job])
        return self.alone[job.job_hash]


def digests(renderer, jobs):
    found = {}
    for rendered in renderer.render([(job.job_hash, job.request) for job in jobs]):
        assert rendered.error is None, rendered.error
        found[rendered.key] = pixel_sha256(rendered.image)
    return found


class Stopping:
    """A renderer interrupted, as by Ctrl-C, after `pictures`."""

    def __init__(self, renderer, pictures):
        self.inner, self.pictures = renderer, pictures
        self.provider, self.batch_rows, self.row_rule = renderer.provider, renderer.batch_rows, renderer.row_rule

    def render(self, requests):
        yield from itertools.islice(self.inner.render(requests), self.pictures)
        raise KeyboardInterrupt


def kept(folder):
    """Job hash -> pixels: what the files hold, which the ledger's word must equal."""
    with Ledger(ledger_path(folder)) as ledger:
        rows = ledger.rows()
    found = {row.job_hash: pixel_sha256(np.asarray(Image.open(folder / name))) for name, row in rows.items()}
    assert {row.job_hash: row.pixel_sha256 for row in rows.values()} == found
    return found


@dataclass(frozen=True)
class Mix:
    """Jobs as a manifest has them, and three ways to render them: (rows, threads, decode beside) each."""

    jobs: list
    order: list
    stop: int
    ways: list


def check(lab, mix):
    """The property, of one mix."""
    first, second, third = mix.ways
    plan = lab.plan(mix.jobs)
    right = {job.job_hash: lab.right(job) for job in plan.jobs}
    folder = lab.folder / f"out-{next(lab.numbers)}"
    with locked(folder), Ledger(ledger_path(folder)) as ledger:
        if mix.stop < len(plan.groups):
            with pytest.raises(KeyboardInterrupt):
                render(plan, Stopping(lab.renderer(*first), mix.stop), folder, ledger, Silence())
        again = lab.plan([mix.jobs[index] for index in mix.order])
        render(again, lab.renderer(*second), folder, ledger, Silence())
    assert kept(folder) == right, "in company, interrupted and resumed"
    assert digests(lab.renderer(*third), reversed(plan.jobs)) == right, "in company, in one go"
