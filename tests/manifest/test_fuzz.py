"""Manifests gone wrong in every way: a plan, or sentences with file, line and column; nothing else, and soon."""

import json
import os
import re
import subprocess
import sys
import time
from itertools import islice
from pathlib import Path

import pytest

import mutations
from latentpress.batch.plan.plan import build_plan
from latentpress.cli import run_cli
from latentpress.errors import ManifestError
from latentpress.manifest.manifest import read_manifest
from latentpress.models import models_for
from peak import peak_bytes

SEED = 13
# Of these a plan is made; of a manifest that asks for more, the first ones are drafted.
MOST = 2000
# CPU seconds for one manifest, and bytes of memory for all of a process.
SECONDS, MEMORY = 10, 500 << 20


def said(path, facts):
    """What a manifest is answered: its number of jobs, or the sentences that refuse it."""
    try:
        manifest = read_manifest(path)
        jobs = sum(1 for _ in islice(manifest.drafts(), MOST))
        if jobs == MOST:
            return jobs
        return len(build_plan(manifest, dict.fromkeys(manifest.models, facts), {}, lambda: 7).jobs)
    except ManifestError as error:
        return error.problems


def check(number, text, path, facts):
    """Whether the manifest was planned; what else comes of it is a sentence for each mistake."""
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    began = time.process_time()
    try:
        answer = said(path, facts)
    except Exception as error:
        raise AssertionError(f"manifest {number} ended in {error!r}: {text[:2000]!r}") from error
    took = time.process_time() - began
    assert took < SECONDS, f"manifest {number} took {took:.1f} s: {text[:2000]!r}"
    if isinstance(answer, int):
        return True
    assert answer, number
    for problem in answer:
        assert re.match(rf"{re.escape(str(path))}:[1-9]\d*:[1-9]\d*: \S", problem), (number, problem)
        assert problem.isprintable(), (number, problem)
    return False


@pytest.fixture
def demo(demo_cache, tmp_path):
    """What planning knows of the built-in bundle, with its own tokenizer and limits."""
    path = tmp_path / "demo.yaml"
    path.write_text("version: 1\nmodel: demo\ndefaults: {prompt: a}\n")
    return models_for(read_manifest(path), demo_cache, verify=False).facts["demo"]


@pytest.mark.parametrize("number", [2000, pytest.param(100_000, marks=pytest.mark.full)])
def test_a_mutated_manifest_is_planned_or_refused_in_sentences(number, demo, tmp_path, monkeypatch):
    (tmp_path / "concepts").symlink_to(mutations.EXAMPLES / "concepts")
    monkeypatch.chdir(tmp_path)
    texts = enumerate(mutations.many(number, SEED))
    planned = sum(check(count, text, Path("m.yaml"), demo) for count, text in texts)
    assert number / 50 < planned < number / 2, "some are still manifests, and most are not"


def test_the_command_line_says_the_same_with_exit_code_2(demo_cache, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LATENTPRESS_CACHE", str(demo_cache))
    codes = []
    for text in mutations.many(30, SEED + 1):
        Path("m.yaml").write_bytes(text.encode("utf-8", "surrogatepass"))
        codes.append(run_cli(["plan", "m.yaml"]))
        err = capsys.readouterr().err
        if codes[-1]:
            assert all(re.match(r"m\.yaml:\d+:\d+: \S", line) for line in err.strip().split("\n")), err
    assert set(codes) <= {0, 2}
    assert 2 in codes


def test_what_grows_beyond_measure_is_refused_soon_and_takes_little_memory(demo_cache, tmp_path):
    command = [sys.executable, __file__, str(tmp_path), str(demo_cache)]
    paths = [str(Path(__file__).parents[1] / "helpers"), *sys.path]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=os.environ | {"PYTHONPATH": ":".join(paths)}
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    assert found["planned"] == [14], "20,000 pictures are a plan"
    assert found["memory"] < MEMORY


def grown(folder, cache):
    """Answer each of the long manifests in this process; the numbers of those planned, and the memory it took at most."""
    path = folder / "m.yaml"
    path.write_text("version: 1\nmodel: demo\ndefaults: {prompt: a}\n")
    facts = models_for(read_manifest(path), cache, verify=False).facts["demo"]
    planned = [number for number, make in enumerate(mutations.LONG) if check(number, make(), path, facts)]
    return {"planned": planned, "memory": peak_bytes()}


if __name__ == "__main__":
    print(json.dumps(grown(Path(sys.argv[1]), Path(sys.argv[2]))))
