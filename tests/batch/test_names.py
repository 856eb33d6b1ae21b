"""Output names: safe on every system, no two alike, and mistakes in them told with their cause."""

import shutil
import sys
import unicodedata

import pytest
from PIL import Image

from latentpress.batch.state.listing import plan_lines
from latentpress.errors import ManifestError
from latentpress.manifest.names import component_problem
from latentpress.safe_names import safe

P = "defaults: {prompt: a mouse}\n"


def outputs(plan):
    return [str(job.output) for job in plan.jobs]


def test_a_default_name_stays_whatever_is_put_before_it(planned):
    jobs = ["{prompt: an owl, seed: 2}", "{prompt: a kite, seed: 2}", "{prompt: a kite, seed: 3}"]
    before = planned(P + f"jobs: [{', '.join(jobs)}]\n")
    assert outputs(before) == [f"{job.request.seed}-{job.job_hash[:12]}.png" for job in before.jobs]
    after = planned(P + f"jobs: [{{prompt: a fish, seed: 9}}, {', '.join(reversed(jobs))}]\n")
    assert set(outputs(before)) < set(outputs(after))


def test_equal_jobs_are_numbered_in_default_names_alone(planned):
    body = P + "jobs: [{n: 3}, {n: 2}, {seed: 1}, {seed: 7}]\n"
    plan = planned(body)
    stems = [f"{job.request.seed}-{job.job_hash[:12]}" for job in plan.jobs]
    ends = ["", "", "", "-2", "-2", "-3", ""]
    assert outputs(plan) == [f"{stem}{end}.png" for stem, end in zip(stems, ends, strict=True)]
    assert plan.distinct == 4
    assert plan.plan_hash == planned(body).plan_hash != planned(body.replace("seed: 1}", "seed: 9}")).plan_hash
    with pytest.raises(
        ManifestError, match=r"both have the output name .*; they are equal jobs.* leave one out, or add {id} "
    ):
        planned(body + 'output: "{seed}-{hash:.13}.png"\n')
    with pytest.raises(
        ManifestError, match=r"both have .*; add a placeholder such as {index} or {hash:\.12}, or a label"
    ):
        planned(P + 'jobs: [{seed: 1, steps: 2}, {seed: 1, steps: 3}]\noutput: "{seed}.png"\n')


BAD_NAMES = {
    "value climbs": (
        'matrix: {style: [..]}\noutput: "{style}/x.png"\n',
        "has a part '..' that is '..', which climbs out",
    ),
    "control": ('output: "a\\tb.png"\n', "control character"),
    "reserved": ("output: con.png\n", "is reserved"),
    "our folder": ("output: .latentpress/x.png\n", "is reserved"),
    "long": (f"output: {'é' * 130}.png\n", "264 bytes long, the limit is 255"),
    "dot": ("output: a./x.png\n", "ends with a dot"),
    "empty part": ("output: a//x.png\n", "output name 'a//x.png' has an empty part"),
    "case": (
        'jobs: [{id: A}, {id: a}]\noutput: "{id}.png"\n',
        "job 1 (id A, seed 0) and job 2 (id a, seed 0) have the output names 'A.png' and 'a.png', which are one where a "
        "system ignores letter case; they are equal jobs",
    ),
    "form": (
        'jobs: [{id: "\\u00e9"}, {id: "e\\u0301"}]\noutput: "{id}.png"\n',
        r"have the output names '\xe9.png' and 'e\u0301.png', which are one where a system ignores the Unicode form; they",
    ),
    "case and form": (
        'jobs: [{id: "\\u00c9"}, {id: "e\\u0301"}]\noutput: "{id}.png"\n',
        "which are one where a system ignores letter case and the Unicode form; they are",
    ),
    "sheet": (
        "matrix: {style: [x]}\nsheet: {rows: style}\noutput: Sheet.png\n",
        "would be written over the contact sheet",
    ),
    "folder for the sheet": (
        'matrix: {style: [Sheet.PNG]}\nsheet: {rows: style}\noutput: "{style}/x.png"\n',
        "needs a folder named as the contact sheet",
    ),
    "nothing before the slash": (
        'matrix: {style: [""]}\noutput: "{style}/x.png"\n',
        "output name '/x.png' has an empty part: {style} is empty; put another such as {seed} beside it",
    ),
    "nothing between slashes": (
        'matrix: {style: [""]}\noutput: "a/{style}/x.png"\n',
        "output name 'a//x.png' has an empty part: {style} is empty; put",
    ),
    "nothing before .png": (
        'matrix: {style: [""], mood: [""]}\noutput: "{style:.9}{mood}.png"\n',
        "output name '.png' has nothing before .png: {mood} and {style} are empty; put another such as {seed} beside it",
    ),
    "nothing left before .png": (
        'matrix: {style: ["... a"]}\noutput: "{style:.3}.png"\n',
        ".png: {style} is empty; put",
    ),
    "nothing at all before .png": ("output: .png\n", "output name '.png' has nothing before .png"),
    "a long value": (
        f'matrix: {{style: [{"é" * 130}], mood: [{"x" * 200}]}}\noutput: "{{mood}}/{{style}}-{{seed}}.png"\n',
        "is 266 bytes long, the limit is 255; {style:.80} cuts it",
    ),
    "long values": (
        f'matrix: {{a: [{"x" * 250}], b: [{"y" * 251}]}}\noutput: "{{a}}/{{b}}/{{a}}/{{a}}/{{a}}.png"\n',
        "is 1,259 bytes long, the limit is 1,024; {b:.80} cuts it",
    ),
    "what is not seen": ('output: "a\\u202e{seed}.png"\n', "holds U+202E, a character that is not seen"),
}


@pytest.mark.parametrize("case", BAD_NAMES)
def test_a_bad_name_is_refused_at_the_output_key(case, planned):
    body, message = BAD_NAMES[case]
    with pytest.raises(ManifestError) as caught:
        planned(P + body)
    assert message in str(caught.value)
    line = 5 + body[: body.index("output:")].count("\n")
    assert str(caught.value).startswith(f"m.yaml:{line}:9: ")


def test_one_mistake_of_thousands_of_jobs_is_three_lines_and_a_count(planned):
    for body, first, count in (
        (
            'jobs: [{id: owl, n: 2000}]\noutput: "x.png"\n',
            "job 1 (id owl, seed 0) and job 2 (id owl, seed 1)",
            1996,
        ),
        ('matrix: {seed: 1..2000}\noutput: "{seed}./x.png"\n', "output name '1./x.png' has a part '1.' that ", 1997),
        ("jobs: [{steps: 1}]\nmatrix: {guidance_scale: 2001..2100}\n", "guidance_scale is '2001'; it must be", 97),
    ):
        with pytest.raises(ManifestError) as caught:
            planned(P + body)
        shown = caught.value.problems
        assert len(shown) == 3
        assert f": {first}" in shown[0]
        assert [f"(and {count:,} more like it)" in line for line in shown] == [False, False, True]
    # Other mistakes at that place are not lost, nor are equal ones at another place.
    with pytest.raises(ManifestError) as caught:
        planned(P + 'jobs: [{id: con}, {id: "a "}, {id: " b"}, {id: c., n: 9}]\noutput: "{id}/{seed}.png"\n')
    assert [line.partition("' that ")[2][:5] for line in caught.value.problems] == ["is re", "begin", "begin", "begin"]
    with pytest.raises(ManifestError) as caught:
        planned(P + f"jobs: [{', '.join(['{steps: 0}'] * 9)}]\n")
    (line,) = caught.value.problems
    assert line.startswith("m.yaml:5:16: steps is '0'; ")
    assert line.endswith(" (and at 8 more places, the last m.yaml:5:112)")


def test_one_warning_of_many_prompts_is_three_lines_and_a_count(planned):
    long = ["word " * 75 + f"tail {number}" for number in range(40)]
    body = "jobs:\n" + "".join(f"  - {{prompt: {prompt}}}\n" for prompt in long)
    warnings = planned(body + '  - {prompt: "a mouse\\nSteps: 3", seed: 5}\n').warnings
    assert [line.split(":")[1] for line in warnings] == ["5", "6", "7", "45"]
    assert warnings[2].endswith("this is cut off: 'tail 2' (and 37 more like it)")


def test_what_is_not_seen_reaches_neither_names_nor_the_terminal(folder):
    body = (
        'jobs: [{prompt: "red\\u202egpj.exe", id: "a\\u202eb"}]\nmatrix: {loss: [{label: "x\\u2066y", value: none}]}\n'
    )
    status = folder(body + 'output: "{prompt} {id} {loss}.png"\n').status()
    plan = status.plan
    assert outputs(plan) == ["red-gpj.exe a-b x-y.png"]
    assert plan.jobs[0].request.prompt == "red\u202egpj.exe"
    line, _ = plan_lines(status)
    assert line.isprintable()
    assert r"loss x\u2066y" in line
    assert plan.jobs[0].title == r"job 1 (id a\u202eb, seed 0)"


def test_what_is_not_seen_is_what_unicode_calls_format_and_separator():
    hidden = {char for char in map(chr, range(sys.maxunicode + 1)) if unicodedata.category(char) in ("Cf", "Zl", "Zp")}
    assert {char for char in hidden if safe(f"a{char}b") != "a-b"} == set()
    replaced = {char for char in map(chr, range(128, sys.maxunicode + 1)) if safe(f"a{char}b") == "a-b"}
    others = {char for char in replaced - hidden if unicodedata.category(char) not in ("Cc", "Cn")}
    assert others == set(), "Cn: of a newer Unicode than this Python's"
    # Joiners and the letters of flags may stand in names, where `safe` leaves them; all others are refused there.
    assert {char for char in hidden if not component_problem(f"a{char}b")} == {
        *"\u200c\u200d",
        *map(chr, range(0xE0020, 0xE0080)),
    }


@pytest.mark.parametrize(
    "text",
    [
        "\U0001f468\u200d\U0001f469\u200d\U0001f467",  # a family
        "\u2764\ufe0f\u200d\U0001f525",  # a heart on fire
        "\U0001f3f4\U000e0067\U000e0062\U000e0077\U000e006c\U000e0073\U000e007f",  # the flag of Wales
        "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",  # Persian, which is spelt with the non-joiner
        "\u0915\u094d\u200d\u0937",  # Devanagari, where a joiner chooses the form
    ],
)
def test_joiners_that_are_part_of_what_is_seen_stay(text):
    assert safe(text) == text
    assert component_problem(text) is None
    assert safe("\u200d".join("kite")) == "k-i-t-e"


def test_a_given_picture_is_called_by_its_stem_in_a_matrix_as_elsewhere(planned, tmp_path):
    Image.new("RGB", (64, 64), "red").save(tmp_path / "red.png")
    for folder in ("pics", "more"):
        (tmp_path / folder).mkdir()
        shutil.copy(tmp_path / "red.png", tmp_path / folder / "red.png")
    shutil.copy(tmp_path / "red.png", tmp_path / "pics/heart.v2.png")

    def names_of(body):
        return [(str(job.output), job.labels["init_image"], job.request.prompt) for job in planned(body).jobs]

    output = 'output: "{init_image}.png"\n'
    assert names_of("defaults: {prompt: a, init_image: pics/heart.v2.png}\n" + output) == [
        ("heart.v2.png", "heart.v2", "a")
    ]
    # What a prompt says of an axis is as it was, and so are the pixels.
    asked = 'defaults: {prompt: "a {init_image}"}\n' + output
    axis = asked + "matrix: {init_image: [pics/heart.v2.png, red.png, none, {label: mine, value: pics/red.png}]}\n"
    assert names_of(axis) == [
        ("heart.v2.png", "heart.v2", "a pics/heart.v2.png"),
        ("red.png", "red", "a red.png"),
        ("none.png", "none", "a none"),
        ("mine.png", "mine", "a pics/red.png"),
    ]
    for by in ("heart.v2", "pics/heart.v2.png"):
        assert len(names_of(axis[:-2] + f", exclude: [{{init_image: {by}}}]}}\n")) == 3
    zipped = asked + "matrix: {way: [{init_image: red.png, seed: 1}, {init_image: pics/heart.v2.png, seed: 2}]}\n"
    assert [name for name, _, _ in names_of(zipped)] == ["red.png", "heart.v2.png"]
    # Where two share a stem, their paths tell them apart.
    twice = asked + "matrix: {init_image: [pics/red.png, more/red.png, pics/heart.v2.png]}\n"
    assert [name for name, _, _ in names_of(twice)] == ["pics-red.png.png", "more-red.png.png", "heart.v2.png"]
