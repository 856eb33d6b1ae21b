"""Drawn seeds outlive edits of their manifest: each is asked of a counter, so that a seed that is lost is one more asked."""

from itertools import count
from pathlib import Path
from types import SimpleNamespace

import pytest

from latentpress.batch.plan.identity import JobHash, hashed_data, identity_of
from latentpress.batch.plan.job import request_data
from latentpress.batch.plan.known_draws import read_known
from latentpress.batch.plan.plan import build_plan
from latentpress.manifest.manifest import read_manifest

BODY = """name: monday
defaults: {steps: 2, negative_prompt: "", seed: -1}
matrix: {style: [{label: plain, value: none}, {label: toy, value: as a toy}]}
jobs:
  - {prompt: "a kite, {style}"}
  - {prompt: "an owl, {style}", steps: 3, n: 2}
  - {prompt: "a fish, {style}"}
output: "{id}-{style}-{seed}.png"
"""
UNSHARED = BODY.replace("seed: -1", "seed: {draw: 1, along: none}")
NOUNS = ("kite", "owl", "fish")


@pytest.fixture
def render(facts, tmp_path, monkeypatch):
    """render(body) plans it with the seeds that earlier calls froze; what it gives tells each noun's seeds, and how many
    seeds were asked for."""
    monkeypatch.chdir(tmp_path)
    counter = count(1000)
    frozen = {}

    def plan(body, found=None):
        Path("m.yaml").write_text("version: 1\nmodel: demo\n" + body)
        asked = []

        def draw():
            asked.append(next(counter))
            return asked[-1]

        made = build_plan(read_manifest("m.yaml"), {"demo": facts}, dict(frozen), draw, found=found or {})
        frozen.clear()
        frozen.update(made.draws)
        assert read_known(frozen)[1].keys() <= FROZEN.keys()
        assert made.undrawn == len(asked)
        nouns = {noun: [job.request.seed for job in made.jobs if noun in job.request.prompt] for noun in NOUNS}
        return SimpleNamespace(plan=made, nouns=nouns, asked=asked, seeds=[job.request.seed for job in made.jobs])

    plan.frozen = frozen
    return plan


def insert(job):
    return lambda body: body.replace("jobs:\n", f"jobs:\n  - {job}\n")


def replaced(*pairs):
    def edit(body):
        for before, after in pairs:
            assert before in body
            body = body.replace(before, after)
        return body

    return edit


def swapped(body):
    first, second, third = (line for line in body.splitlines() if line.startswith("  - "))
    return body.replace(first, "@").replace(third, first).replace("@", third).replace(second, second)


def numbered(body):
    return "".join(
        line.replace("- {", f"- {{id: job-{at}, ") if line.startswith("  - ") else line
        for at, line in enumerate(body.splitlines(keepends=True))
    )


STEPS = replaced(("steps: 2", "steps: 9"), ("steps: 3", "steps: 8"))
EDITS = {
    "the manifest's name": replaced(("monday", "tuesday")),
    "the template": replaced(("{id}-{style}", "{index}-{style}")),
    "steps": STEPS,
    "a sampler in defaults": replaced(("{steps: 2", "{sampler: ddim, steps: 2")),
    "labels": replaced(("label: plain", "label: bare"), ("label: toy", "label: plain")),
    "jobs swapped": swapped,
    "jobs swapped and then steps": lambda body: STEPS(swapped(body)),
    "ids": numbered,
    "ids and then steps": lambda body: STEPS(numbered(body)),
    "a prompt": replaced(("an owl", "a snowy owl")),
    "every prompt": replaced(("a kite", "one kite"), ("an owl", "an old owl"), ("a fish", "some fish")),
    "a model for each job": replaced(('style}"', 'style}", model: demo')),
    "seeds of the jobs": replaced((", seed: -1}", "}"), ("- {prompt", "- {seed: -1, prompt")),
}


@pytest.mark.parametrize("edit", EDITS)
def test_edits_draw_nothing(edit, render):
    first = render(BODY)
    assert len(first.asked) == 4
    again = render(EDITS[edit](BODY))
    assert (again.asked, again.nouns) == ([], first.nouns)


@pytest.mark.parametrize("edit", [edit for edit in EDITS if edit != "seeds of the jobs"])
def test_edits_draw_nothing_where_each_picture_has_its_own(edit, render):
    first = render(UNSHARED)
    assert len(first.asked) == 8 == len(set(first.seeds))
    again = render(EDITS[edit](UNSHARED))
    assert (again.asked, again.nouns) == ([], first.nouns)


@pytest.mark.parametrize("steps", [False, True])
@pytest.mark.parametrize(
    "job", ['{prompt: "a cat, {style}"}', '{prompt: "a kite, {style}", sampler: ddim}', "{prompt: cat, id: x}"]
)
@pytest.mark.parametrize("body", [BODY, UNSHARED])
def test_a_job_put_in_front_draws_its_own_alone(body, job, steps, render):
    first = render(body)
    longer = insert(job)(body)
    second = render(longer)
    new = len(set(second.seeds) - set(first.seeds))
    assert len(second.asked) == new == (1 if body is BODY else 2)
    assert second.seeds[2:] == first.seeds
    third = render(STEPS(longer) if steps else replaced(("monday", "x"))(longer))
    assert (third.asked, third.seeds) == ([], second.seeds)
    # Taken out again, it leaves the others theirs, and has its own when it comes back.
    assert render(body).seeds == first.seeds
    assert render(longer).seeds == second.seeds
    assert render(longer).asked == []


def test_a_value_put_in_front_of_an_axis_draws_nothing_unless_asked_to(render):
    wider = replaced(("style: [", "style: [in ink, "))
    first = render(BODY)
    again = render(wider(BODY))
    assert again.asked == []
    assert {noun: set(seeds) for noun, seeds in again.nouns.items()} == {n: set(s) for n, s in first.nouns.items()}
    assert [len(set(seeds)) for seeds in first.nouns.values()] == [1, 2, 1]
    render.frozen.clear()
    own = render(UNSHARED)
    again = render(wider(UNSHARED))
    assert len(again.asked) == 4
    assert set(again.seeds) == set(own.seeds) | set(again.asked)
    assert again.nouns["kite"][1:] == own.nouns["kite"]
    assert render(UNSHARED).seeds == own.seeds  # a value taken out


def test_a_new_axis_and_another_order_of_axes_draw_nothing(render):
    shared = UNSHARED.replace("along: none", "along: sampler").replace("{id}-", "{id}-{sampler}-")
    first = render(shared.replace("matrix: {", "matrix: {sampler: [ddim], "))
    again = render(shared.replace("as a toy}]", "as a toy}], sampler: [lms, ddim]"))
    assert again.asked == []
    assert again.nouns["kite"] == [seed for seed in first.nouns["kite"] for _ in range(2)]


def test_axes_of_seeds_keep_theirs(render):
    body = BODY.replace(", seed: -1", "").replace(", n: 2", "").replace("as a toy}]", "as a toy}], seed: [SEEDS]")
    first = render(body.replace("SEEDS", "-1, -1"))
    assert len(first.asked) == 6
    assert first.nouns["kite"] == first.nouns["kite"][:2] * 2
    more = render(body.replace("SEEDS", "7, -1, -1, -1"))
    assert len(more.asked) == 3
    assert more.nouns["kite"][:4] == [7, *first.nouns["kite"][:2], more.asked[0]]
    # Known by labels first, and in order where those are new.
    named = render(body.replace("SEEDS", "{label: x, value: -1}, {label: y, value: -1}"))
    assert (named.asked, named.nouns) == ([], first.nouns)
    front = render(body.replace("SEEDS", "{label: w, value: -1}, {label: x, value: -1}, {label: y, value: -1}"))
    assert front.nouns["kite"][1:3] == first.nouns["kite"][:2]
    two = render(body.replace("SEEDS", "{label: p, value: -1}, {label: q, value: -1}"))
    assert two.asked == []
    assert render(body.replace("[SEEDS]", "{draw: 2}")).nouns == two.nouns


def test_more_of_a_job_keep_the_first(render):
    first = render(BODY)
    more = render(BODY.replace("n: 2", "n: 4"))
    assert len(more.asked) == 2
    assert more.nouns["owl"][:2] == first.nouns["owl"][:2]
    render(BODY.replace(", n: 2", ""))
    assert render(BODY.replace("n: 2", "n: 4")).nouns == more.nouns


def test_equal_jobs_take_theirs_in_order(render):
    body = "defaults: {prompt: an owl, seed: -1}\njobs: [{}, {}, {steps: 4}]\n"
    first = render(body)
    assert len(set(first.seeds)) == 3
    assert render(body.replace("an owl", "a tree")).seeds == first.seeds
    assert render(body.replace("{}, {}", "{}, {}, {}")).seeds[:2] == first.seeds[:2]


# Drawn by the first format, one for each picture, for `OLD` and the counter 101, 102 ...
FROZEN = {
    "7d12db68355893a0d5a9bf5384b6eed442a1ea41f0ca6006cfd671d4e480a692": 101,
    "0f344b7632ef1aef642bbc783d776a218f2a46362c3b30ccd4f14da1d6366ce6": 102,
    "c7c1491664016b2de7987766a4141ce948a82190ecd8b06d41e51427f6493605": 103,
    "faaf1ed6929d1afc22ae535bacc96624ba81722165b412bc22077ae8b3779552": 104,
    "63305b2750014d56ae5854ff6d3a943c03bb4f805841f685515f706eaa05cba3": 105,
    "701a903efeacb92b6d329ea5414b39b1c748e98eeffe554ce159b3bcdcb18649": 106,
}
OLD = 'name: m\ndefaults: {prompt: "a {x}", steps: 2, seed: -1}\nmatrix: {x: [kite, owl]}\njobs: [{n: 2}, {id: b}]\n'


def test_pictures_of_an_older_ledger_keep_each_its_seed(render):
    render.frozen.update(FROZEN)
    for body in (OLD, OLD.replace("-1", "{draw: 1, along: none}"), OLD):
        again = render(body)
        assert (again.asked, again.seeds) == ([], [101, 102, 103, 104, 105, 106])
    # A value more has the seed of the others, or where it is to have its own a new one.
    wider = OLD.replace("[kite", "[fish, kite")
    assert render(wider).seeds == [101, 102, 101, 102, 103, 104, 105, 105, 106]
    own = render(wider.replace("-1", "{draw: 1, along: none}"))
    assert own.seeds == [*own.asked[:2], 101, 102, 103, 104, own.asked[2], 105, 106]
    # Edited, they are known as all draws are; and a draw that is asked to be shared is.
    assert render(OLD.replace("steps: 2", "steps: 3")).seeds == [101, 102, 101, 102, 105, 105]
    assert render(OLD.replace("-1", "{draw: 1}")).seeds == [101, 102, 101, 102, 105, 105]
    assert render(OLD).seeds == [101, 102, 103, 104, 105, 106]


@pytest.mark.parametrize("body", [BODY, UNSHARED])
def test_seeds_of_pictures_that_lie_there_are_taken_before_new_ones(body, render, facts):
    first = render(body)
    found = {}
    for job in first.plan.jobs:
        data, identity = hashed_data(request_data(job.request)), identity_of(job.request, facts, {"demo": facts})
        found.setdefault(JobHash(data, identity, {}).unseeded, []).append(job.request.seed)
    assert len(found) == 6
    render.frozen.clear()
    longer = insert('{prompt: "a cat, {style}"}')(body).replace("n: 2", "n: 3").replace("style: [", "style: [in ink, ")
    again = render(longer, found)
    assert set(again.seeds) == set(first.seeds) | set(again.asked)
    assert len(again.asked) == (2 if body is BODY else 3 + 1 + 3 + 2 + 1)
    wanted = {noun: set(seeds) for noun, seeds in first.nouns.items()}
    assert all(wanted[noun] <= set(again.nouns[noun]) for noun in NOUNS)
    # What the table knows is asked first, and no picture's seed is two draws.
    more = render(longer.replace("n: 3", "n: 4"), found)
    assert len(more.asked) == (1 if body is BODY else 3)


def test_the_ledger_keeps_them(go, new_executor):
    seeds = count(100)
    body = BODY.replace("name: monday\n", "")

    def rendered(text):
        executor = new_executor()
        go(text, executor, draw=lambda: next(seeds))
        return sorted(executor.rendered)

    assert rendered(body) == [100, 100, 101, 101, 102, 102, 103, 103]
    without = "".join(line for line in body.splitlines(keepends=True) if "owl" not in line)
    assert rendered(without.replace("steps: 2", "steps: 4")) == [100, 100, 103, 103]
    # No job has a draw; and then the one that was taken out is there again.
    assert rendered(without.replace("-1", "5")) == [5, 5, 5, 5]
    assert rendered(STEPS(body)) == [100, 100, 101, 101, 102, 102, 103, 103]
    assert next(seeds) == 104
