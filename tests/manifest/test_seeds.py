"""Seeds to be drawn, as manifests ask for them: how many, and which pictures share one."""

import pytest

from latentpress.errors import ManifestError
from latentpress.manifest.draws import Draw

P = "defaults: {prompt: a mouse"


def groups(manifest, body):
    """Of each picture, in order, the number of its draw, from 0 in order of appearance; a given seed as it is."""
    seen = {}
    return [
        seen.setdefault(seed, len(seen)) if isinstance(seed, Draw) else str(seed)
        for _, seed, _ in manifest(body).drafts()
    ]


GRID = "matrix: {style: [red, blue], size: [64, 128]}\n"


@pytest.mark.parametrize(
    ("seed", "expected"),
    [
        ("-1", [0, 0, 0, 0]),
        ("{draw: 1}", [0, 0, 0, 0]),
        ("{draw: 1, along: all}", [0, 0, 0, 0]),
        ("{draw: 1, along: ~}", [0, 0, 0, 0]),
        ("{draw: 1, along: [style, size]}", [0, 0, 0, 0]),
        ("{draw: 1, along: style}", [0, 1, 0, 1]),
        ("{draw: 1, along: [size]}", [0, 0, 1, 1]),
        ("{draw: 1, along: none}", [0, 1, 2, 3]),
        ("{draw: 1, along: []}", [0, 1, 2, 3]),
        ("{draw: 2}", [0, 1, 0, 1, 0, 1, 0, 1]),
        ("-1, n: 2", [0, 1, 0, 1, 0, 1, 0, 1]),
        ("{draw: 1, along: size}, n: 2", [0, 1, 0, 1, 2, 3, 2, 3]),
    ],
)
def test_a_draw_is_shared_along_the_axes_asked_for(seed, expected, manifest):
    assert groups(manifest, f"{P}, seed: {seed}}}\n{GRID}") == expected
    # Each job has draws of its own.
    twice = groups(manifest, f"{P}}}\n{GRID}jobs: [{{seed: {seed}}}, {{steps: 3, seed: {seed}}}]\n")
    assert twice == expected + [one + max(expected) + 1 for one in expected]


@pytest.mark.parametrize(
    ("axes", "expected"),
    [
        ("seed: [-1, -1], style: [red, blue]", [0, 0, 1, 1]),
        ("style: [red, blue], seed: [-1, 5, -1]", [0, "5", 1, 0, "5", 1]),
        ("style: [red, blue], seed: {draw: 2}", [0, 1, 0, 1]),
        ("style: [red, blue], seed: [{draw: 1, along: none}, -1]", [0, 1, 2, 1]),
        ("style: [red, blue], seed: [{label: x, value: -1}, {label: y, value: {draw: 1}}]", [0, 1, 0, 1]),
        # In a zip it belongs to the value that it stands in.
        (
            "style: [{style: red, seed: -1}, {style: blue, seed: -1}, {style: grey}], steps: [2, 3]",
            [0, 0, 1, 1, "0", "0"],
        ),
        ("style: [{style: red, seed: {draw: 2}}, {style: blue, seed: 4}]", [0, 1, "4"]),
        # Equal values are two values all the same.
        ("style: [{label: a, value: red}, {label: b, value: red}], seed: [{draw: 1, along: none}]", [0, 1]),
        ("style: [red, blue], seed: [-1, -1], exclude: [{style: red, seed: -1}]", [0, 1]),
        ("negative_prompt: [null, red], seed: [-1]", [0, 0]),
    ],
)
def test_every_value_of_an_axis_of_seeds_is_a_draw(axes, expected, manifest):
    assert groups(manifest, f"{P}}}\nmatrix: {{{axes}}}\n") == expected


@pytest.mark.parametrize(
    ("seed", "problem"),
    [
        ("{draw: 1, along: stlye}", "4:52: along names 'stlye', which is no axis of the matrix; did you mean 'style'?"),
        ("{draw: 1, along: [x]}", "4:53: along names 'x', which is no axis of the matrix; the axes are style, size"),
        ("{draw: 1, along: seed}", "4:52: along names seed, and a seed cannot be shared along seeds"),
        ("{draw: 1, along: {a: b}}", "4:52: along is a map; write the name of an axis, a list of names, all or none"),
        ("{draw: 0}", "4:42: draw is '0'; it must be how many seeds to draw, a whole number from 1 to 1,000,000"),
        ("{along: style}", "4:35: seed is a map without draw, how many seeds to draw; write {draw: 1}"),
        ("{draw: 1, alogn: style}", "4:45: unknown key 'alogn' in seed; did you mean 'along'?"),
        ("{draw: 2}, n: 3", "4:49: n and draw: 2 are both given; leave it to one of them"),
        (
            "-2",
            "4:35: seed is '-2'; it must be a whole number from 0 to 2^64-1, a range such as 1000..1007, a list",
        ),
        ("[-1]", "4:36: a list of seeds holds '-1'; write numbers and ranges"),
    ],
)
def test_what_cannot_be_drawn_is_told_at_its_place(seed, problem, manifest):
    with pytest.raises(ManifestError) as caught:
        manifest(f"{P}, seed: {seed}}}\n{GRID}")
    (found,) = caught.value.problems
    assert problem in found


def test_without_a_matrix_there_is_nothing_to_share_along(manifest):
    with pytest.raises(ManifestError, match="leave it out, for the matrix has no axis to share along"):
        manifest(P + ", seed: {draw: 1, along: style}}\n")


def test_a_seed_of_python_is_given():
    import latentpress
    from latentpress.pictures import _draft

    for seed, shown in ((-1, "'-1'"), ({"draw": 1}, "a map"), ("1..2", "'1..2'")):
        with pytest.raises(latentpress.UsageError, match=f"seed is {shown}; a picture has one seed, from 0 to 2"):
            _draft({"prompt": "a mouse", "seed": seed}, "demo", "", {})
