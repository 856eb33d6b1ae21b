"""A million jobs of a matrix, a JSONL and a CSV file are planned in a minute of one core and half a gigabyte."""

import importlib.util
import sys
from pathlib import Path

import pytest

PATH = Path(__file__).resolve().parents[2] / "benchmarks" / "million.py"
# Of the processor, and MiB.
SECONDS, MEMORY = 60, 500


@pytest.fixture
def million(monkeypatch, demo_cache):
    monkeypatch.setenv("LATENTPRESS_CACHE", str(demo_cache))
    monkeypatch.syspath_prepend(PATH.parent)
    spec = importlib.util.spec_from_file_location("million", PATH)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "million", module)
    spec.loader.exec_module(module)
    return module


def test_every_source_has_as_many_jobs_as_are_asked_for(million, tmp_path):
    from latentpress.manifest.manifest import read_manifest

    for source in million.SOURCES:
        manifest = read_manifest(million.written(source, 100, tmp_path))
        prompts = [draft.prompt for draft, _, _ in manifest.drafts()]
        assert len(prompts) == 100
        assert source == "matrix" or len(set(prompts)) == 100


@pytest.mark.full
@pytest.mark.parametrize("source", ["matrix", "jsonl", "csv"])
def test_a_million_jobs(source, million, tmp_path):
    took = million.took(source, 1_000_000, tmp_path)
    assert took.jobs == 1_000_000
    assert took.cpu <= SECONDS, took
    assert took.peak <= MEMORY << 20, took
