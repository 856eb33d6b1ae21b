"""What several stages test with: a small random checkpoint, five concepts, and the bundle exported from them."""

import os
from pathlib import Path

import pytest

import store

# Two test processes share the cores; more threads than cores each would only make them wait for one another.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
# Tests put things in the place of engines, and a process for them costs half a second each time; test_supervised.py and
# test_kill.py have one.
os.environ.setdefault("LATENTPRESS_IN_PROCESS", "1")
# Settings of whoever runs the tests.
for name in ("ENGINE", "THREADS", "OUTPUT", "LEDGER", "ON_COMPLETE"):
    os.environ.pop(f"LATENTPRESS_{name}", None)


HIDDEN = 64
SEED = 20240
# file stem -> vectors; the token is the stem in angle brackets.
CONCEPTS = {"line-art": 1, "gta5-artwork": 1, "moeb-style": 2, "dr-strange": 1, "hitokomoru-style-nao": 1}
# Initial CLIP embeddings have standard deviation 0.02; learned concepts are larger than words, and ours must show.
SCALE = 0.2


def write_concepts(folder: Path) -> list[Path]:
    """Five random concept files in the form of the sd-concepts-library: {token: tensor} in a .bin."""
    import torch

    folder.mkdir()
    for index, (stem, count) in enumerate(CONCEPTS.items()):
        vectors = torch.randn((count, HIDDEN), generator=torch.Generator().manual_seed(SEED + 1 + index)) * SCALE
        torch.save({f"<{stem}>": vectors if count > 1 else vectors[0]}, folder / f"{stem}.bin")
    return [folder / f"{stem}.bin" for stem in CONCEPTS]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Where LATENTPRESS_TEST_EVERYTHING is set, as by .ci/run, what is lacking for a test makes it fail."""
    report = yield
    lacking = any(where in str(report.longrepr) for where in ("Debian's", "npm's", "PyPI's"))
    if report.skipped and os.environ.get("LATENTPRESS_TEST_EVERYTHING") and lacking:
        report.outcome, report.longrepr = "failed", str(report.longrepr)
    return report


@pytest.fixture(scope="session", autouse=True)
def _store(tmp_path_factory):
    """Under the run's own temporary folder, where the processes' folders are, or where LATENTPRESS_TEST_STORE says."""
    own = tmp_path_factory.getbasetemp()
    run = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "store"
    lasting = os.environ.get("LATENTPRESS_TEST_STORE")
    store.FOLDER = Path(lasting) / store.code_digest() if lasting else run
    store.FOLDER.mkdir(parents=True, exist_ok=True)


@pytest.fixture(scope="session")
def assets() -> Path:
    """A folder with `checkpoint/`, `concepts/*.bin` and `bundle/`, made once in a test run; whoever writes copies it."""
    from latentpress.export import export_bundle
    from latentpress.testing.random_checkpoint import build_checkpoint
    from traces import shared_traces

    def make(folder: Path) -> None:
        build_checkpoint(folder / "checkpoint", size=128, hidden=HIDDEN, seed=SEED)
        files = write_concepts(folder / "concepts")
        with shared_traces():
            export_bundle(folder / "checkpoint", folder / "bundle", files, report=lambda line: None)

    return store.folder("assets", make)


@pytest.fixture(scope="session", autouse=True)
def _assets_are_only_read():
    yield
    assert store.FOLDER is not None
    engines = store.FOLDER / "assets/bundle/engines"
    assert not engines.exists(), "a test recorded engines in the bundle that all share"


@pytest.fixture(scope="session")
def bundle(assets):
    from latentpress.bundle.info import open_bundle

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
def exported():
    """exported(name): the checkpoint and bundle of a key of families.FAMILIES, made at the first call; only to be read."""
    from families import FAMILIES, Exported, export

    def get(name):
        folder = store.folder(name, lambda own: export(own, **FAMILIES[name]))
        return Exported(folder / "checkpoint", folder / "bundle")

    return get


@pytest.fixture(scope="session")
def demo_cache(tmp_path_factory):
    """A cache folder that holds the built-in bundle: the environment's, as under make, or one of this run."""
    from latentpress.export.demo import ensure_demo_bundle

    given = os.environ.get("LATENTPRESS_CACHE")
    folder = Path(given) if given else tmp_path_factory.mktemp("demo-cache")
    ensure_demo_bundle(folder)
    return folder
