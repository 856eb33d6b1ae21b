"""Manifests to jobs: the arithmetic of ranges, zips and excludes."""

import tracemalloc

import pytest

P = "defaults: {prompt: a mouse}\n"


def asked(manifest, *fields):
    """Of each picture: these fields, `id`, or the label `{name}`."""
    found = []
    for draft, seed, label in manifest.drafts():
        labels = draft.all_labels() | {"seed": label or str(seed)}
        values = {
            **draft.values,
            "seed": seed,
            "id": draft.id,
            **{f"{{{name}}}": text for name, text in labels.items()},
        }
        found.append(tuple(values[field] for field in fields))
    return found


def test_defaults_alone_are_one_job(manifest):
    assert asked(manifest(P), "prompt", "seed", "size", "id") == [("a mouse", 0, None, "m")]


def test_ranges_include_both_ends(manifest):
    found = asked(manifest(P + "jobs: [{id: k, seed: 1000..1007}]\n"), "seed")
    assert found == [(seed,) for seed in range(1000, 1008)]


def test_n_counts_on_from_the_seed(manifest):
    found = asked(manifest(P + "jobs: [{seed: 5, n: 3}, {seed: -1, n: 2}]\n"), "seed")
    assert found[:3] == [(5,), (6,), (7,)]
    assert [(seed.job, seed.number) for (seed,) in found[3:]] == [(2, 1), (2, 2)]


def test_n_counts_on_from_each_seed_of_an_axis(manifest):
    assert asked(manifest(P + "matrix: {seed: [5, 50]}\njobs: [{n: 2}]\n"), "seed") == [(5,), (6,), (50,), (51,)]


@pytest.mark.parametrize("axis", ["1..3", "[1, 2, 3]", "[1..2, {label: last, value: 3}]"])
def test_an_axis_of_seeds_lies_wherever_it_is_written(axis, manifest):
    body = P + f"matrix: {{steps: [4, 5], seed: {axis}, sampler: [ddim, lms], exclude: [{{seed: 2, steps: 4}}]}}\n"
    found = asked(manifest(body), "steps", "seed", "sampler", "{seed}")
    name = {3: "last"} if "last" in axis else {}
    every = [(steps, seed, sampler) for steps in (4, 5) for seed in (1, 2, 3) for sampler in ("ddim", "lms")]
    expected = [(*one, name.get(one[1], str(one[1]))) for one in every if one[:2] != (4, 2)]
    assert found == expected


def test_a_prompt_may_name_its_seed(manifest):
    found = asked(
        manifest('defaults: {prompt: "number {seed}"}\nmatrix: {seed: 7..8, steps: [3, 4]}\n'), "prompt", "seed"
    )
    assert found == [("number 7", 7), ("number 7", 7), ("number 8", 8), ("number 8", 8)]


def test_a_million_seeds_are_not_held(manifest):
    tracemalloc.start()
    read = manifest(P + "matrix: {seed: 1..300000}\n")
    assert sum(seed for _, seed, _ in read.drafts()) == 300_000 * 300_001 // 2
    assert tracemalloc.get_traced_memory()[1] < 30e6
    tracemalloc.stop()


def test_maps_zip_and_axes_cross_with_the_last_fastest(manifest):
    body = (
        'defaults: {prompt: "in {style}"}\n'
        "matrix:\n  style: [{style: <line-art>, seed: 41}, {style: b, seed: 42}]\n  steps: [3, 4]\n"
    )
    assert asked(manifest(body), "prompt", "seed", "steps") == [
        ("in <line-art>", 41, 3),
        ("in <line-art>", 41, 4),
        ("in b", 42, 3),
        ("in b", 42, 4),
    ]


def test_jobs_cross_the_matrix(manifest):
    found = asked(manifest(P + "matrix: {seed: 1..2}\njobs: [{id: a}, {id: b, steps: 9}]\n"), "id", "seed", "steps")
    assert found == [("a", 1, 30), ("a", 2, 30), ("b", 1, 9), ("b", 2, 9)]


def test_exclude_goes_by_label_value_or_loss_name(manifest):
    body = P + (
        "matrix:\n  style: [{label: Birb, value: <birb>}, Other]\n  seed: 1..3\n  loss: [none, canny]\n"
        "  exclude: [{style: Birb, seed: 2..3}, {style: Other, loss: canny}, {style: <birb>, loss: none}]\n"
    )
    left = asked(manifest(body), "{style}", "seed", "{loss}")
    assert left == [("Birb", 1, "canny"), ("Other", 1, "none"), ("Other", 2, "none"), ("Other", 3, "none")]


@pytest.mark.parametrize("word", ["none", "no", "null", "~", "false", ""])
def test_no_loss_has_many_names(word, manifest):
    assert asked(manifest(f"defaults:\n  prompt: a\n  loss: {word}\n"), "loss", "{loss}") == [((), "none")]


def test_losses_of_one_name_are_told_apart_by_scale(manifest):
    read = manifest(P + "matrix: {loss: [none, {name: canny, scale: 200}, {name: canny, scale: 50}, contrast]}\n")
    assert asked(read, "{loss}") == [("none",), ("canny-200",), ("canny-50",), ("contrast",)]
    ((loss,),) = asked(read, "loss")[1]
    assert loss.params == {"low": 100, "high": 200}


def test_yaml_words_stay_words(manifest):
    read = manifest('defaults: {prompt: "{style}"}\nmatrix: {style: [no, on, 12:30, 1_000, 0x1f, 1.50]}\n')
    assert [prompt for (prompt,) in asked(read, "prompt")] == ["no", "on", "12:30", "1_000", "0x1f", "1.50"]


@pytest.mark.parametrize("size", ["64x72", "[64, 72]", '"64 x 72"'])
def test_size_is_width_by_height(size, manifest):
    assert asked(manifest(f"defaults: {{prompt: a, size: {size}}}\n"), "size") == [((72, 64),)]
