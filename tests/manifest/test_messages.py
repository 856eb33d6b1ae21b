"""What messages about values hold: both ends of a range, and what was probably meant."""

from pathlib import Path

import pytest

from latentpress.errors import BundleError, ManifestError
from latentpress.manifest.fields import FIELDS
from latentpress.manifest.manifest import read_manifest
from latentpress.models import named_bundle

# A numeric value too small and one too large -> the bounds that its message must name.
RANGES = {
    "steps": ("0", "1001", "from 1 to 1000"),
    "guidance_scale": ("-1", "1e4", "from 0 to 1000"),
    "guidance_rescale": ("-0.1", "1.1", "from 0 to 1"),
    "guidance_stop": ("-0.1", "1.1", "from 0 to 1"),
    "clip_skip": ("-1", "101", "from 0 to 100"),
    "eta": ("-0.1", "1.1", "from 0 to 1"),
    "strength": ("1e-9", "1.5", "from 0.000001 to 1"),
    "priority": ("-1001", "1001", "from -1000 to 1000"),
    "seed": ("-2", "18446744073709551616", "from 0 to 2^64-1"),
    "size": ("0", "8200", "from 8 to 8192"),
    "n": ("0", "1000001", "from 1 to 1,000,000"),
}
NESTED = {
    "loss: {name: canny, scale: %s}": ("1e-13", "1e12", "from 1e-12 to 1e9"),
    "loss: {name: canny, every: %s}": ("0", "1001", "from 1 to 1000"),
    "loss: {name: canny, start: %s}": ("-1", "2", "from 0 to 1"),
    "loss: {name: canny, stop: %s}": ("-1", "2", "from 0 to 1"),
    "loss: {name: canny, cap: %s}": ("0", "1.5", "from 0.001 to 1"),
    "loss: {name: canny, step: rms, size: %s}": ("0", "11", "from 0.0001 to 10"),
    "loss: {name: canny, warm_up: %s}": ("-1", "2", "from 0 to 1"),
    "loss: {name: canny, low: %s}": ("-1", "256", "from 0 to 255"),
    "loss: {name: channel, target: %s}": ("-1", "2", "from 0 to 1"),
    "loss: {name: contrast, target: %s}": ("-1", "2", "from 0 to 0.5"),
    "loss: {name: exposure, patch: %s}": ("0", "1000", "a whole number from 1 to 512"),
    "loss: {name: frequency, cutoff: %s}": ("0", "1", "between 0 and 0.7"),
    "loss: {name: tv, scale: %s}": ("0", "-1e12", "or below 0 from -1e9 to -1e-12"),
    "refiner: {model: x, switch_at: %s}": ("0", "1", "from 0.000001 to 0.999999"),
    "micro_conditioning: {aesthetic_score: %s}": ("-1", "11", "from 0 to 10"),
    "micro_conditioning: {crop_top_left: [%s, 0]}": ("-1", "9000", "from 0 to 8192"),
    "micro_conditioning: {original_size: %s}": ("0", "9000", "from 1 to 8192"),
    "seed: {draw: %s}": ("0", "1000001", "from 1 to 1,000,000"),
}
WHOLE = {
    "quality: %s": ("0", "101", "from 1 to 100"),
    "policy: {retries: %s}": ("-1", "1001", "from 0 to 1,000"),
    "policy: {max_failures: %s}": ("-1", "1e10", "from 0 to 999,999,999"),
    "sheet: {rows: seed, dpi: %s}": ("1", "9999", "from 30 to 2400"),
    "sheet: {rows: seed, width: %smm}": ("1", "9999", "from 10 to 5080"),
    "sheet: {rows: seed, gutter: %s}": ("-1", "101", "from 0 to 100"),
}


def refused(manifest, body):
    with pytest.raises(ManifestError) as caught:
        manifest(body)
    return "\n".join(caught.value.problems)


def test_every_number_of_a_job_is_among_them():
    numbers = {name for name, field in FIELDS.items() if (field.schema or {}).get("type") in ("number", "integer")}
    assert numbers <= RANGES.keys()


@pytest.mark.parametrize("written", [*({f"{name}: %s": RANGES[name] for name in RANGES} | NESTED).items()])
def test_a_number_out_of_its_range_is_told_both_ends(written, manifest):
    field, (low, high, bounds) = written
    for value in (low, high):
        assert bounds in refused(manifest, f"defaults: {{prompt: a, {field % value}}}\n")


@pytest.mark.parametrize("written", WHOLE.items())
def test_a_number_of_the_manifest_itself_is_told_both_ends(written, manifest):
    field, (low, high, bounds) = written
    for value in (low, high):
        assert bounds in refused(manifest, f"defaults: {{prompt: a}}\noutput: '{{seed}}.webp'\n{field % value}\n")


AXIS = "defaults: {prompt: a}\nmatrix: {style: [anna, bert, {label: Toy, value: <toy>}]%s}\n"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (AXIS % ", exclude: [{style: ana}]", "this exclude matches no combination; did you mean style: 'anna'?"),
        (AXIS % ", exclude: [{style: Tov}]", "this exclude matches no combination; did you mean style: 'Toy'?"),
        (AXIS % ", exlude: [{style: toy}]", "unknown key 'exlude' in matrix; did you mean 'exclude'?"),
        (AXIS % ", exclude: [{style: zzzz}]", "matches no combination; use the labels or values of the axes"),
        (
            AXIS % ", exclude: [{stile: anna}]",
            "unknown key 'stile' in exclude, which names axes; did you mean 'style'?",
        ),
        (AXIS % "" + "sheet: {rows: stile}\n", "sheet rows is 'stile'; did you mean 'style'?"),
        (AXIS % "" + "jobs: [{seed: {draw: 1, along: stile}}]\n", "no axis of the matrix; did you mean 'style'?"),
        ("jobs: [{form: a.jsonl}]\n", "unknown key 'form' in job 1; did you mean 'from'?"),
        ("jobs: [{prompt: a, sampler: eulr}]\n", "sampler 'eulr' is unknown; did you mean 'euler'?"),
        ("jobs: [{prompt: a, loss: cany}]\n", "unknown loss 'cany'; did you mean 'canny'?"),
        (
            "jobs: [{prompt: a, loss: {name: channel, channel: blu}}]\n",
            "of loss channel is 'blu'; did you mean 'blue'?",
        ),
        (
            "jobs: [{prompt: a, loss: {name: palette, colours: navi}}]\n",
            "'navi' is not an opaque colour; write a CSS name",
        ),
        ("jobs: [{prompt: a, loss: {name: palette, colours: true}}]\n", "is 'true'; it must be text"),
        (
            "jobs: [{prompt: a, loss: {name: canny, low: true}}]\n",
            "low of loss canny is 'true'; it must be a number from 0 to 255",
        ),
        (
            "jobs: [{prompt: a, loss: {name: brightness, target: false}}]\n",
            "target of loss brightness is 'false'; it must be a number from 0 to 1",
        ),
        (
            "jobs: [{prompt: a, loss: {name: contrast, target: true}}]\n",
            "target of loss contrast is 'true'; it must be a number from 0 to 0.5",
        ),
        (
            "jobs: [{prompt: a, loss: {name: canny, low: '9'}}]\n",
            "low of loss canny is '9' in quotes, which is text; it must be a number from 0 to 255",
        ),
        ("jobs: [{prompt: a, loss: {name: colour_matrix, matrix: 1 0}}]\n", "a matrix is nine numbers"),
        ("jobs: [{prompt: a}]\noutput: '{sed}.png'\n", "which nothing fills; did you mean {seed}?"),
    ],
)
def test_what_was_probably_meant_is_asked(body, said, manifest):
    assert said in refused(manifest, body)


# A file's bytes -> what is said of it, and where.
FILES = {
    (
        "m.yaml",
        b"- {prompt: a}\n",
    ): "m.yaml:1:1: the manifest is a list, and must be a map; write `version: 1`, `model: demo` and `jobs:` above it",
    (
        "m.json",
        b'[{"prompt": "a"}]',
    ): 'm.json:1:1: the manifest is a list, and must be a map; write {"version": 1, "model": "demo", "jobs": [...]} around',
    (
        "m.yaml",
        b"a red kite\n",
    ): "m.yaml:1:1: the manifest is 'a red kite', and must be a map; begin with `version: 1`",
    (
        "m.yaml",
        b'version: 1\nmodel: demo\njobs: [{prompt: a, seed: "1..3"}]\n',
    ): "m.yaml:3:26: seed is '1..3' in quotes, which is text; it must be a whole number from 0 to 2^64-1, a range such as",
    (
        "m.yaml",
        b"version: 1\nname: \xc3\xa4\x07\n",
    ): "m.yaml:2:8: not YAML: U+0007 is a character that YAML does not allow;",
    (
        "m.yaml",
        b"defaults:\n\tprompt: a\n",
    ): "2:1: not YAML: found character that cannot start any token; this is a tab",
    (
        "m.yaml",
        b"defaults:\n  prompt: @x\n",
    ): "2:11: not YAML: found character that cannot start any token; a text",
    (
        "m.yaml",
        b"defaults:\n  prompt: a: b\n",
    ): "2:12: not YAML: mapping values are not allowed in this context; a",
    ("m.yaml", b"defaults: {prompt: 'a\n\n"): "quoted scalar, which begins on line 1",
    (
        "m.yaml",
        b"version: 1\nmodel: demo\njobs: [{prompt: a}]\nwildcards: " + b"x" * 300,
    ): "m.yaml:4:12: wildcards 'xxx",
    (
        "m.yaml",
        b"version: 1\nmodel: demo\njobs: [{from: http://x.org/a.jsonl}]\n",
    ): "m.yaml:3:15: from is 'http://x.org/a.jsonl', and",
    (
        "m.csv",
        b"prompt,model\na\rb,demo\n",
    ): "m.csv:2:2: not CSV: a carriage return alone stands here, where earlier lines end in a line feed; take it out",
    (
        "m.jsonl",
        b'{"prompt": "a", "model": "demo"}\n{"prompt": "a"}\r{"prompt": "b"}\n',
    ): "m.jsonl:3:1: not JSON: '{' stands behind the end of the value; the line holds a carriage return alone, where",
    (
        "m.csv",
        b"Nummer;Text;Saat\n1;a;3\n",
    ): "m.csv:1:1: the header names no field, but 'Nummer', 'Text', 'Saat'; begin with a line of names such as prompt,",
    (
        "m.csv",
        b"prompt;Steps;MODEL\n",
    ): "m.csv:1:8: unknown key 'Steps' in the header; did you mean 'steps'?",
    (
        "m.csv",
        b'prompt,model\n"a",demo\n b, "c ""d""\n x,demo\ne,demo\n',
    ): 'm.csv:3:5: not CSV: the quote that opens here is not closed; write a quote within a text as ""; the rest',
    (
        "m.csv",
        b'prompt,model\n"a,demo\nb,"c",demo\n',
    ): "m.csv:2:1: not CSV: the quote that opens here is closed before line 3, column 4, where more text follows; close",
    (
        "m.csv",
        b"prompt,model\nNULL,demo\n",
    ): "m.csv:2:1: prompt is null, which switches it off, and every picture needs one; write text, in quotes if it",
    (
        "m.csv",
        b"prompt,model\n" + b"x" * 200_000,
    ): "m.csv:2:1: not CSV: a cell has more than 131,072 characters; the rest",
    ("m.jsonl", b'{"prompt": "a\tb"}\n'): "m.jsonl:1:14: not JSON: invalid control character",
}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file[1][:30])
def test_a_file_that_cannot_be_read_is_told_where_and_why(file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path(file[0]).write_bytes(file[1])
    with pytest.raises(ManifestError) as caught:
        read_manifest(file[0])
    assert FILES[file] in caught.value.problems[0]


def test_a_concept_that_was_probably_meant_is_asked_for(planned):
    with pytest.raises(ManifestError, match="the bundle has none of that name; did you mean <line-art>\\? write"):
        planned("defaults: {prompt: a <lime-art> kite}\n")


def test_a_bundle_that_was_probably_meant_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sd15").mkdir()
    (tmp_path / "sd15/bundle.json").write_text("{}")
    for name, meant in {"dmeo": "demo", "Demo": "demo", "x/dmeo": "demo", "sd51": "sd15"}.items():
        with pytest.raises(BundleError, match=f"^{name}: not a bundle, .*; did you mean '{meant}'\\?$"):
            named_bundle(name, tmp_path / "cache")
    with pytest.raises(BundleError, match="make one with `latentpress export"):
        named_bundle("something-else", tmp_path / "cache")


# A file with one mistake on each of 2,000 lines -> what is told of it, once.
EVERYWHERE = {
    "m.jsonl": (
        '{"model": "demo", "prompt": "p", "stepz": 4}\n',
        "1:34: unknown key 'stepz' in a job; did you mean 'steps'?",
    ),
    "m.csv": ("demo,p,0\n", "2:8: steps is '0'; it must be a whole number from 1 to 1000"),
    "m.yaml": ("- {prompt: p, stepz: 4}\n", "4:15: unknown key 'stepz' in job 1; did you mean 'steps'?"),
}
HEADS = {"m.jsonl": "", "m.csv": "model,prompt,steps\n", "m.yaml": "version: 1\nmodel: demo\njobs:\n"}


@pytest.mark.parametrize("name", EVERYWHERE)
def test_a_mistake_on_every_line_is_told_once_with_its_first_and_last_place(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    line, said = EVERYWHERE[name]
    first, column, _ = said.split(":", 2)
    for lines, elsewhere in (
        (1, ""),
        (2, f" (and at {name}:{int(first) + 1}:{column})"),
        (2000, f" (and at 1,999 more places, the last {name}:{int(first) + 1999}:{column})"),
    ):
        Path(name).write_text(HEADS[name] + line * lines)
        with pytest.raises(ManifestError) as caught:
            read_manifest(name)
        assert caught.value.problems == (f"{name}:{said}{elsewhere}",)
        assert len(caught.value.found) == lines, "for who needs each"


def test_a_hundred_mistakes_are_told_and_how_many_more_there_are(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for mistakes, rest in (
        (100, []),
        (101, ["m.jsonl:101:43: 1 more mistake from here on; mend those above first"]),
        (2000, ["m.jsonl:101:43: 1,900 more mistakes from here on; mend those above first"]),
    ):
        lines = [f'{{"model": "demo", "prompt": "p", "steps": {-number}}}\n' for number in range(mistakes)]
        Path("m.jsonl").write_text("".join(lines))
        with pytest.raises(ManifestError) as caught:
            read_manifest("m.jsonl")
        told = caught.value.problems
        assert [one.partition(": ")[0] for one in told[:100]] == [f"m.jsonl:{number}:43" for number in range(1, 101)]
        assert list(told[100:]) == rest
