"""Placeholders: their formats mean what Python's mean, and cuts take no character apart."""

import itertools
import random
import re

import pytest
import regex

from latentpress.errors import ManifestError
from latentpress.manifest.names import component_problem
from latentpress.manifest.templates import Template, TemplateError, cut, fill

P = "defaults: {prompt: a mouse}\n"
SPECS = ["", "04", "00", "010", "0999", ".3", ".0", ".12", ".999"]
NUMBERS = [0, 7, 12345, -5, 2**64 - 1, 7.5, 0.25, 1e-05, -3.25]
WORDS = ["", "x", "line-art", "1e", "0x1f", "12:30", "١٢", "inf", "a-1", "\u51e7\u3042\u304c\u308b"]


def named(template, **texts):
    return Template(template).filling(texts).fill(texts)


@pytest.mark.parametrize("spec", SPECS)
def test_formats_are_pythons(spec):
    template = f"<{{value:{spec}}}>" if spec else "<{value}>"
    for number in NUMBERS:
        # Python cuts no numbers, which here are the text that names show.
        own = str(number) if "." in spec else number
        expected = f"<{format(own, spec)}>"
        assert fill(template, {"value": f"{number}"}) == expected
        assert named(template, value=f"{number}") == re.sub(r"\.+>", ">", expected)
    for word in WORDS:
        # Python would pad text on the right, which says nothing of a number: text stays.
        expected = f"<{format(word, spec if '.' in spec else '')}>"
        assert fill(template, {"value": word}) == expected
        if word.isascii():
            assert named(template, value=word) == expected


def test_names_sort_and_prompts_pad_too(planned):
    body = 'defaults: {prompt: "number {seed:03}"}\nmatrix: {seed: [9, 10]}\noutput: "{seed:04}-{index:02}.png"\n'
    jobs = planned(body).jobs
    assert [str(job.output) for job in jobs] == ["0009-01.png", "0010-02.png"]
    assert [job.request.prompt for job in jobs] == ["number 009", "number 010"]


FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466"
ENGLAND = "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f"
PARTS = [
    "a",
    "Z",
    "7",
    " ",
    ".",
    "é",
    "e\u0301",
    "o\u0308\u0323",
    "ß",
    "凧",
    "か\u3099",
    "\u1112\u1161\u11ab",
    "한",
    "\U0001f31f",
]
PARTS += [
    FAMILY,
    ENGLAND,
    "\U0001f1e9\U0001f1ea",
    "\U0001f44d\U0001f3fd",
    "\u2764\ufe0f",
    "\u0e01\u0e33",
    "\u0915\u093f",
    "1\ufe0f\u20e3",
]


def test_a_cut_is_the_longest_start_of_whole_characters_that_fits():
    rng = random.Random(5)
    for _ in range(1500):
        text = "".join(rng.choices(PARTS, k=rng.randint(0, 9)))
        size = rng.randint(0, 60)
        got = cut(text, size)
        assert len(got.encode()) <= size
        if len(text.encode()) <= size:
            assert got == text
            continue
        # Unicode's grapheme clusters, as another program finds them.
        starts = ["".join(part) for part in itertools.accumulate(regex.findall(r"\X", text))]
        fitting = [start for start in starts if len(start.encode()) <= size]
        if fitting:
            assert got == fitting[-1].rstrip(" ."), (text, size)
        else:  # not even one: then of that one what fits
            assert text.startswith(got)
        assert not got.endswith((" ", ".", "\u200d"))


def test_cuts_make_valid_names_of_any_prompt(planned):
    body = f"matrix: {{prompt: ['{'凧' * 300}', 'a red kite. In the wind', '{FAMILY * 30}']}}\n"
    plan = planned(body + 'output: "{prompt:.6}/{prompt:.100}-{index}.png"\n')
    folders = [job.output.parts[0] for job in plan.jobs]
    assert folders == ["凧凧", "a red", "\U0001f468"]
    assert [job.output.name for job in plan.jobs] == [
        "凧" * 33 + "-1.png",
        "a red kite. In the wind-2.png",
        FAMILY * 4 + "-3.png",
    ]
    assert all(component_problem(part) is None for job in plan.jobs for part in job.output.parts)


def test_a_bare_width_keeps_its_meaning_and_is_warned_of_once(planned):
    plan = planned(
        'defaults: {prompt: "in {style:4}, {style:4} and {style:2}"}\nmatrix: {style: [line art, "凧凧凧"], seed: 10..13}\n'
        'output: "{style:6}/{seed:1}-{hash:12}-{index}.png"\n'
    )
    assert [job.request.prompt for job in plan.jobs][3:5] == ["in line, line and li", "in 凧凧凧, 凧凧凧 and 凧凧"]
    digests = [job.job_hash[:12] for job in plan.jobs]
    assert [str(job.output) for job in plan.jobs][3:5] == [
        f"line a/1-{digests[3]}-4.png",
        f"凧凧凧/1-{digests[4]}-5.png",
    ]
    asked = [("4:20", "prompt", "style", 4), ("4:20", "prompt", "style", 2)]
    asked += [("6:9", "output", "style", 6), ("6:9", "output", "seed", 1), ("6:9", "output", "hash", 12)]
    said = [
        re.sub(r"m\.yaml:([0-9:]+): warning: (\w+) has .*; write (.*) for that, or (.*) to.*", r"\1 \2 \3 \4", line)
        for line in plan.warnings
    ]
    asked = [f"{place} {key} {{{name}:.{n}}} {{{name}:0{n}}}" for place, key, name, n in asked]
    assert sorted(said) == sorted(asked)


def test_what_python_means_by_its_format_needs_no_warning(planned):
    assert planned(P + 'output: "{seed:04}-{hash:.12}.png"\n').warnings == ()


@pytest.mark.parametrize(
    "spec", ["x", "0", "04.8", ">4", "4d", ".", "-1", "4.", "1000", "01000", ".1000", "٣", "9" * 5000]
)
def test_other_formats_are_refused_with_both_that_there_are(spec, planned):
    with pytest.raises(TemplateError):
        fill(f"{{seed:{spec}}}", {"seed": "1"})
    for body in (f'defaults: {{prompt: "{{seed:{spec}}}"}}\n', P + f'output: "{{seed:{spec}}}.png"\n'):
        with pytest.raises(ManifestError) as caught:
            planned(body + ("matrix: {seed: [1]}\n" if "output" not in body else ""))
        (problem,) = caught.value.problems
        assert "; after the colon goes .12 to keep at most 12 characters, or 04 to pad a number" in problem
        assert len(problem) < 250
