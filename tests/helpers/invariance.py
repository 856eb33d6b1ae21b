"""What the property test renders with, and the property: the pixels of any mix of jobs are those each job has alone."""

import itertools
import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from latentpress.batch.folder import OutputFolder
from latentpress.batch.ledger.ledger import Ledger, ledger_path
from latentpress.batch.pictures.png import pixel_sha256
from latentpress.engines.choice import parse_engine
from latentpress.errors import ManifestError
from latentpress.manifest.manifest import read_manifest
from latentpress.models import Models
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

    @property
    def bundle(self):
        """What jobs are rendered on; the others are refiners."""
        return next(iter(self.models.bundles.values()))

    @property
    def refiners(self):
        """Path -> refiner."""
        return {name: bundle for name, bundle in self.models.bundles.items() if bundle is not self.bundle}

    def renderer(self, rows, threads=1, beside=False):
        key = threads, beside
        if key not in self.renderers:
            self.renderers[key] = Renderer(
                self.bundle,
                refiners=tuple(self.refiners.values()),
                engine=parse_engine(self.engine),
                sessions=self.sessions and self.sessions(self.bundle),
                threads=threads,
                decode_beside=beside,
            )
        self.renderers[key].batch_rows = rows
        return self.renderers[key]

    def output(self, jobs, folder=None):
        """The output folder of a manifest of `jobs`, whose outputs are named by what is asked, not by their order."""
        path = self.folder / f"{next(self.numbers)}.yaml"
        model = str(self.bundle.path)
        # JSON is YAML too.
        path.write_text(
            json.dumps({"version": 1, "name": "mix", "model": model, "jobs": jobs, "output": "{hash:.20}.png"})
        )
        return OutputFolder(read_manifest(path), folder or self.folder / "planned", models=self.models)

    def possible(self, job):
        """`job`, without its refiner where that would be left no step, as it may with 2 steps."""
        try:
            self.output([job]).plan()
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


class Opened:
    """An executor of one renderer that is open already; interrupted, as by Ctrl-C, after `pictures` if that is given."""

    def __init__(self, renderer, pictures=None):
        self.renderer, self.pictures = renderer, pictures

    def open(self, bundle, requests):
        return self.renderer.row_rule

    def render(self, requests):
        yield from itertools.islice(self.renderer.render(requests), self.pictures)
        if self.pictures is not None:
            raise KeyboardInterrupt


def kept(folder):
    """Job hash -> pixels: what the files hold, which the ledger's word must equal."""
    with Ledger(ledger_path(folder)) as ledger:
        rows = ledger.images()
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
    path = lab.folder / f"out-{next(lab.numbers)}"
    folder = lab.output(mix.jobs, path)
    plan = folder.plan()
    right = {job.job_hash: lab.right(job) for job in plan.jobs}
    if mix.stop < plan.distinct:
        with pytest.raises(KeyboardInterrupt):
            folder.render(executor=Opened(lab.renderer(*first), mix.stop))
    again = lab.output([mix.jobs[index] for index in mix.order], path)
    again.render(executor=Opened(lab.renderer(*second)), mixed=True)
    assert kept(path) == right, "in company, interrupted and resumed"
    assert digests(lab.renderer(*third), reversed(plan.jobs)) == right, "in company, in one go"
