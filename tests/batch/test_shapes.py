"""A plan reads what many jobs have in common once: it says of each job what it would say of it alone."""

import random
from collections import Counter
from dataclasses import replace
from itertools import product

import pytest

from latentpress.batch.plan.plan import build_plan
from latentpress.errors import ManifestError
from latentpress.manifest.manifest import read_manifest
from latentpress.models import facts_of, named_bundle
from latentpress.runtime.prompts.concepts import Names
from latentpress.runtime.prompts.marks import misread
from latentpress.runtime.prompts.parts import Reading
from latentpress.runtime.prompts.tokens import PromptTokenizer

TEXT = "a red kite old house over the sea by night in glass and 7 steel, blue-green it's ROBOTS! (photo) 50mm"
# What may mean more than its characters, alone and within other words.
ODD = [
    *(
        "<line-art>",
        "<Line-Art>",
        "line-art",
        "<line-art>,",
        "x<pop-art>y",
        "<pop-art><sepia>",
        "<nope>",
        "\\<OK\\>",
        "<",
    ),
    *(
        "(kite:1.3)",
        "((kite))",
        "[kite]",
        "[red:blue:0.5]",
        "[red|blue]",
        "kite++",
        "kite--",
        "__color__",
        "BREAK",
        "AND",
    ),
    *(
        "café",
        "ﬁre",
        "日本",
        "\u200bhidden",
        "e\u0301",
        "\U0001fae8",
        "naïve\u00ad",
        "é́",
        "İ",
        "&amp;",
        "&",
        "tab\there",
    ),
    *(
        "new\nline",
        "x\nSteps: 3",
        "x\nNegative prompt: y",
        "<lora:a b>",
        "<lora:ab:1>",
        "<hypernet:a>",
        "!",
        "!!",
        "kite!",
    ),
    *(
        "<|endoftext|>",
        "<|startoftext|>kite",
        "'s",
        "don't",
        "1234567890",
        "é" * 80,
        "word " * 80,
        "  two  blanks ",
        "",
    ),
    *("null", "~", "true", "{{braces}}", "supercalifragilisticexpialidocious", "a\\b", "C++", "16:9", "a_b", "\x7f"),
]
FIELDS = {
    "plain": "",
    "chunks": "long_prompts: chunks, ",
    "clip": "text_cleaning: clip, ",
    "compel": "prompt_weighting: compel, ",
    "a1111": "prompt_weighting: a1111, ",
    "negative": "negative_prompt: 'a <sepia> (blur) <line-art>', ",
    "unguided": "negative_prompt: '<sepia>', guidance_scale: 1, ",
}


def prompts(seed: int) -> list[str]:
    pick = random.Random(seed)
    made = [" ".join(pick.choices(TEXT.split(), k=12)) for _ in range(20)]
    within = [" ".join([*pick.choices(TEXT.split(), k=3), odd, *pick.choices(TEXT.split(), k=3)]) for odd in ODD]
    return [*made, *pick.sample(ODD, len(ODD) // 2), *within]


@pytest.fixture(scope="module")
def demo(demo_cache):
    bundle = named_bundle("demo", demo_cache, verify=False)
    return bundle, facts_of({"demo": bundle})["demo"]


def told(path, facts):
    """Everything that a plan says of a manifest."""
    try:
        plan = build_plan(read_manifest(path), {"demo": facts}, {}, lambda: 7)
    except ManifestError as error:
        return error.problems
    drafts = "id, bundle, width, height, chunks, rules, contents, unseeded, labels, request"
    jobs = "job, seed, seed_label, output, collision, job_hash, earlier"
    rows = plan.table.answers(f"SELECT {jobs}, {drafts} FROM jobs JOIN drafts USING (draft) ORDER BY job")
    return rows, plan.warnings, plan.plan_hash, dict(plan.chunks), list(plan.jobs)


def same(path, facts, monkeypatch):
    """What a plan says, which must be what it says where nothing is known to be alike."""
    shared = told(path, facts)
    each = replace(facts, plain=lambda prompt, reading: None, alike=lambda prompt, reading: None)
    with monkeypatch.context() as patch:
        patch.setattr("latentpress.manifest.draft.key_of", lambda job: None)
        assert told(path, each) == shared
    return shared


def job(number, prompt):
    """A job's line; every third says a field of its own, every fifth has the same one as another."""
    turn = number if isinstance(number, int) else 1
    more = {0: ", steps: 4", 1: "", 2: f", guidance_scale: {turn % 7}"}[turn % 3]
    seed = f", seed: {turn}" if turn % 5 else ""
    return f"  - {{id: j{number}{seed}, prompt: {json_text(prompt)}{more}}}\n"


def json_text(text):
    return (
        '"'
        + "".join(c if c.isascii() and c.isprintable() and c not in '"\\' else f"\\U{ord(c):08x}" for c in text)
        + '"'
    )


@pytest.mark.parametrize("name", FIELDS)
def test_jobs_that_share_a_shape_are_planned_as_each_alone(name, demo, tmp_path, monkeypatch):
    _, facts = demo
    path = tmp_path / "m.yaml"
    head = f"version: 1\nmodel: demo\ndefaults: {{{FIELDS[name]}steps: 3}}\noutput: '{{id}}-{{hash:.12}}.png'\njobs:\n"
    good = []
    for number, prompt in enumerate(prompts(len(name))):
        before, after = job("before", "a red kite"), job("after", f"{prompt} again")
        path.write_text(head + before + job(number, prompt) + after, encoding="utf-8")
        found = same(path, facts, monkeypatch)
        if not isinstance(found[0], str):
            good.append(job(number, prompt))
    assert len(good) > 60
    path.write_text(head + "".join(good), encoding="utf-8")
    together = same(path, facts, monkeypatch)
    assert len(together[0]) == len(good), "and all of them in one manifest"


def test_mistakes_are_told_at_the_place_of_each_job(demo, tmp_path, monkeypatch):
    path = tmp_path / "m.yaml"
    lines = "".join(f"  - {{prompt: kite number {number}, steps: 2, eta: 0.5}}\n" for number in range(2))
    path.write_text(f"version: 1\nmodel: demo\njobs:\n{lines}  - {{prompt: null, steps: 2, eta: 0}}\n")
    missing = same(path, demo[1], monkeypatch)
    assert [line.partition(": ")[0].rpartition("m.yaml")[2] for line in missing] == [":6:14"]
    path.write_text(f"version: 1\nmodel: demo\njobs:\n{lines}  - {{prompt: <no>, steps: 2}}\n")
    refused = same(path, demo[1], monkeypatch)
    assert [line.partition(": ")[0].rpartition("m.yaml")[2] for line in refused] == [":4:44", ":6:14"]
    assert refused[0].endswith(f" (and at {path}:5:44)")


@pytest.mark.parametrize(
    "body",
    {
        "seeds and styles": "matrix: {style: [<line-art>, toy], seed: 1..3}\ndefaults: {prompt: 'a {style}'}\n",
        "jobs": "matrix: {seed: 1..3, style: [toy, tin]}\njobs: [{prompt: 'a {style}'}, {prompt: b}, {prompt: '{style}'}]\n",
        "a named seed": "matrix: {seed: 1..3}\njobs: [{prompt: a}, {prompt: 'b {seed}'}, {prompt: c}]\n",
        "numbers": "defaults: {n: 2}\njobs: [{prompt: a}, {prompt: b, seed: 4}, {prompt: c, seed: 1..2, n: null}]\n",
        "draws": "jobs: [{prompt: a, seed: -1}, {prompt: b, seed: -1}, {prompt: c, seed: {draw: 2}}]\n",
        "maps": "jobs: [{prompt: a, loss: {name: canny, every: 2}}, {prompt: b, loss: {name: canny, every: 2}}, {prompt: c, "
        "loss: [{name: canny}, {name: channel}]}, {prompt: d, loss: [{name: canny}, {name: channel, scale: 3}]}]\n",
        "sizes": "jobs: [{prompt: a, size: [64, 72]}, {prompt: b, size: [64, 72]}, {prompt: c, size: 72}]\n",
        "prompts on an axis": "matrix: {prompt: [kite, {label: two, value: owl}, (hen)], steps: [1, 2]}\n",
        "names": "output: '{prompt}-{id}.png'\njobs: [{prompt: a kite}, {prompt: <line-art>}, {id: x, prompt: 'a:b'}]\n",
    }.items(),
    ids=lambda case: case[0],
)
def test_a_matrix_and_jobs_are_planned_as_each_alone(body, demo, tmp_path, monkeypatch):
    path = tmp_path / "m.yaml"
    path.write_text(f"version: 1\nmodel: demo\n{body[1]}")
    rows, *_ = same(path, demo[1], monkeypatch)
    assert len(rows) > 2


@pytest.mark.parametrize("concepts", [True, False])
def test_a_prompt_read_word_by_word_reads_as_a_whole(concepts, demo):
    tokenizer = PromptTokenizer(demo[0])
    if not concepts:  # as of a bundle that was taught none
        tokenizer._concepts, tokenizer._names = {}, Names((), {}, tokenizer._tokenizer.words)
    plain, found = tokenizer.plain, Counter()
    for prompt, weighting, cleaning in product(prompts(3), ("none", "a1111", "compel"), ("basic", "clip")):
        reading = Reading(weighting, "truncate", cleaning)
        if (used := plain(prompt, reading)) is None:
            continue
        said = tokenizer.check(prompt, reading)
        assert (said.unknown, said.near, said.cut, said.fault, said.chunks) == ((), (), "", None, 1), prompt
        assert set(used) == set(said.concepts), prompt
        assert misread(prompt, weighting) == []
        found[weighting] += 1
    assert found["none"] > 60
    assert bool(found["a1111"]) is not concepts
