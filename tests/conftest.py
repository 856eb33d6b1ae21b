"""What several stages test with: a small random checkpoint, five concepts, and the bundle exported from them."""

import os
from pathlib import Path

import pytest

# Two test processes share the cores; more threads than cores each would only make them wait for one another.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")


@pytest.fixture(scope="session")
def assets(tmp_path_factory) -> Path:
    """A folder with `checkpoint/`, `concepts/*.bin` and `bundle/`, made once per test process."""
    from latentpress.export import export_bundle
    from latentpress.export.demo import demo_checkpoint, demo_concepts

    folder = tmp_path_factory.mktemp("assets")
    demo_checkpoint(folder / "checkpoint")
    files = demo_concepts(folder / "concepts")
    export_bundle(folder / "checkpoint", folder / "bundle", files, report=lambda line: None)
    return folder


@pytest.fixture(scope="session")
def bundle(assets):
    from latentpress.runtime.bundle import open_bundle

    return open_bundle(assets / "bundle")


@pytest.fixture(scope="session")
def renderer(bundle):
    from latentpress.runtime.render import Renderer

    return Renderer(bundle, batch_rows=8)


@pytest.fixture(scope="session")
def reference_pipeline(assets):
    """StableDiffusionPipeline on the same checkpoint, the same concepts loaded by diffusers' own path."""
    from diffusers import StableDiffusionPipeline

    pipeline = StableDiffusionPipeline.from_pretrained(
        str(assets / "checkpoint"), safety_checker=None, requires_safety_checker=False
    )
    pipeline.set_progress_bar_config(disable=True)
    for file in sorted((assets / "concepts").glob("*.bin")):
        pipeline.load_textual_inversion(str(file))
    return pipeline


@pytest.fixture(scope="session")
def exported(tmp_path_factory):
    """exported(name): the checkpoint and bundle of a key of families.FAMILIES, made at the first call."""
    from families import FAMILIES, export

    made = {}

    def get(name):
        if name not in made:
            made[name] = export(tmp_path_factory.mktemp(name), **FAMILIES[name])
        return made[name]

    return get
