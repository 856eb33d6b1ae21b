"""A bundle and a renderer that cost nothing: the batch stage asks only for small protocols."""

import re
from pathlib import Path

import numpy as np
import pytest

from latentpress.batch.folder import OutputFolder
from latentpress.batch.plan.plan import build_plan
from latentpress.manifest.manifest import read_manifest
from latentpress.models import Models
from latentpress.runtime.facts import BundleFacts
from latentpress.runtime.prompts.parts import PromptCheck, Reading
from latentpress.runtime.request import Origin, Rendered

CONCEPTS = {"<line-art>": "a" * 64, "<moeb-style>": "b" * 64}
LIMIT = 75


def check(prompt: str, reading: Reading) -> PromptCheck:
    """One token a word; a prompt with `no good` in it is none."""
    words = prompt.split()
    unknown = tuple(word for word in re.findall(r"<[^<>\s]+>", prompt) if word not in CONCEPTS)
    cut = " ".join(words[LIMIT:]) if reading.long_prompts == "truncate" else ""
    chunks = 1 if reading.long_prompts == "truncate" else -(-len(words) // LIMIT)
    fault = f"the {reading.weighting} prompt is no good" if "no good" in prompt else None
    concepts = tuple(token for token in CONCEPTS if token in words)
    return PromptCheck(len(words), LIMIT, cut, unknown, chunks, fault, concepts)


class FakeExecutor:
    """Paints each request its seed's noise, last request first; prompts with `nan` fail, `crash_after` dies early."""

    origin = Origin("fake", 8, "any")

    def __init__(self, crash_after=None):
        self.crash_after = crash_after
        self.rendered = []

    def open(self, bundle, requests):
        return self.origin.row_rule

    def render(self, requests):
        for key, request in reversed(list(requests)):
            if len(self.rendered) == self.crash_after:
                raise KeyboardInterrupt
            self.rendered.append(request.seed)
            if "nan" in request.prompt:
                yield Rendered(key, None, "the latents became NaN", 0.5, self.origin)
            else:
                noise = np.random.default_rng(request.seed)
                image = noise.integers(0, 256, (request.height, request.width, 3), np.uint8)
                yield Rendered(key, image, None, 0.5, self.origin)


def fake_facts():
    return BundleFacts(
        hash="c" * 64,
        name="fake",
        source_sha256="0123456789abcdef" * 4,
        default_size=(64, 64),
        concepts=CONCEPTS,
        versions={"torch": "2"},
        check=check,
        content="d" * 64,
        vectors={token: digest[:32] * 2 for token, digest in CONCEPTS.items()},
        source="e" * 64,
    )


@pytest.fixture
def facts():
    return fake_facts()


@pytest.fixture
def new_executor():
    return FakeExecutor


@pytest.fixture
def manifest(tmp_path, monkeypatch):
    """manifest(body) reads a manifest whose first three lines are given: `body` starts on line 4."""
    monkeypatch.chdir(tmp_path)

    def read(body):
        Path("m.yaml").write_text("version: 1\nname: m\nmodel: demo\n" + body, encoding="utf-8")
        return read_manifest(Path("m.yaml"))

    return read


@pytest.fixture
def planned(manifest, facts):
    """planned(body, frozen, draw) is the plan of such a manifest on the fake bundle."""

    def plan(body, frozen=None, draw=lambda: 7):
        return build_plan(manifest(body), {"demo": facts}, frozen or {}, draw)

    return plan


@pytest.fixture
def folder(manifest, facts, tmp_path):
    """folder(body, name, draw) is the output folder tmp_path/NAME of such a manifest on the fake bundle."""

    def make(body, name="out", draw=lambda: 7):
        return OutputFolder(manifest(body), tmp_path / name, models=Models({}, {"demo": facts}), draw=draw)

    return make


@pytest.fixture
def made(request, folder):
    """The output folder of the test module's BODY, rendered by the fake."""
    rendered = folder(request.module.BODY)
    rendered.render(executor=FakeExecutor())
    return rendered.path


@pytest.fixture
def go(folder):
    """go(body, executor) renders into tmp_path/out and says what came of it."""

    def run(body, executor, progress=None, draw=lambda: 7):
        return folder(body, draw=draw).render(executor=executor, progress=progress).summary

    return run
