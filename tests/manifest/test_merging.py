"""YAML's merge keys, keys of people's own, and lists of seeds."""

import pytest
import yaml

from latentpress.errors import ManifestError
from latentpress.manifest.readers import yaml_text

MERGED = """\
x-common: &common {steps: 3, sampler: ddim, prompt: a kite, x-why: "for nights"}
x-more: &more {steps: 9, guidance_scale: 2}
jobs:
  - {<<: *common, seed: 4}
  - {steps: 5, <<: *common}
  - {<<: [*more, *common]}
  - &fourth {<<: *common, seed: 7}
  - {<<: *fourth, steps: 8}
"""


def test_merge_keys_are_what_pyyaml_makes_of_them(manifest):
    expected = [{key: job[key] for key in ("steps", "sampler", "prompt")} for job in yaml.safe_load(MERGED)["jobs"]]
    read = manifest(MERGED)
    assert [{key: draft.values[key] for key in expected[0]} for draft, _, _ in read.drafts()] == expected
    assert [seed for _, seed, _ in read.drafts()] == [4, 0, 0, 7, 7]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("jobs: [{<<: 3, prompt: a}]\n", "m.yaml:4:9: << merges '3'; write the alias of a map, <<: *common"),
        ("x-a: &a {stpes: 3}\njobs: [{<<: *a, prompt: a}]\n", "m.yaml:4:10: unknown key 'stpes' in job 1; did you"),
        ("jobs: [{'<<': {steps: 3}, prompt: a}]\n", "m.yaml:4:9: unknown key '<<' in job 1"),
        ("X-a: 3\njobs: [{prompt: a}]\n", "m.yaml:4:1: unknown key 'X-a' in the manifest"),
    ],
)  # fmt: skip
def test_a_mistake_is_told(body, said, manifest):
    with pytest.raises(ManifestError) as caught:
        manifest(body)
    assert caught.value.problems[0].startswith(said)


def test_merging_is_bounded(manifest, monkeypatch):
    monkeypatch.setattr(yaml_text, "MAX_MERGED", 2000)
    keys = ", ".join(f"x-{number}: 1" for number in range(300))
    body = f"x-a: &a {{{keys}}}\njobs:\n" + "  - {<<: *a, prompt: a}\n" * 10
    with pytest.raises(ManifestError, match=r"m.yaml:12:6: merged entries are more than 2,000; use `defaults`"):
        manifest(body)


def test_keys_of_peoples_own_are_ignored_in_every_map(manifest):
    read = manifest(
        "x-note: {any: [thing]}\n"
        "defaults: {prompt: 'a {style}', loss: {name: canny, x-why: edges}, x-who: me}\n"
        "matrix: {x-todo: more styles, style: [{style: a, x-by: me}, {label: B, value: b, x-by: you}]}\n"
        "jobs: [{seed: {draw: 1, x-n: 2}, x-a: 1}]\nsheet: {rows: style, x-b: 1}\n"
    )
    assert [draft.values["prompt"] for draft, _, _ in read.drafts()] == ["a a", "a b"]


def test_seeds_are_listed(manifest):
    read = manifest("jobs: [{prompt: a, seed: [1, 5, 9..12]}]\n")
    assert [seed for _, seed, _ in read.drafts()] == [1, 5, 9, 10, 11, 12]


@pytest.mark.parametrize(
    ("seeds", "said"),
    [
        ("[1, 1..3]", "m.yaml:4:30: seed 1 is listed twice; write it once"),
        ("[1, -1]", "m.yaml:4:30: a list of seeds holds '-1'; write numbers and ranges, or {draw: 2} in place of the list"),
        ("[]", "m.yaml:4:26: seed is an empty list"),
        ("[a]", "m.yaml:4:27: seed is 'a'; it must be a whole number"),
        ("[1, 2], n: 2", "m.yaml:4:37: n and a range of seeds are both given"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_list_of_seeds_is_told(seeds, said, manifest):
    with pytest.raises(ManifestError) as caught:
        manifest(f"jobs: [{{prompt: a, seed: {seeds}}}]\n")
    assert caught.value.problems[0].startswith(said)
