"""Reading manifests: every mistake at its exact position."""

import re
import time
from pathlib import Path

import pytest

from latentpress.errors import ManifestError
from latentpress.manifest.manifest import read_manifest
from latentpress.manifest.nodes import MAX_BYTES

P = "defaults: {prompt: a mouse}\n"

MISTAKES = {
    "unknown top key": (
        P + "outptu: x.png\n",
        "m.yaml:5:1: unknown key 'outptu' in the manifest; did you mean 'output'?",
    ),
    "unknown job key": (P + "jobs: [{sede: 1}]\n", "m.yaml:5:9: unknown key 'sede' in job 1; did you mean 'seed'?"),
    "duplicate key": (
        "defaults:\n  prompt: a\n  prompt: b\n",
        "m.yaml:6:3: key 'prompt' is given twice; the first is on line 5",
    ),
    "steps": (
        "defaults: {prompt: a, steps: 0}\n",
        "m.yaml:4:30: steps is '0'; it must be a whole number from 1 to 1000",
    ),
    "steps quoted": ('defaults: {prompt: a, steps: "9"}\n', "m.yaml:4:30: steps is '9' in quotes, which is text; it"),
    "steps bool": ("defaults: {prompt: a, steps: true}\n", "m.yaml:4:30: steps is 'true'; it must be"),
    "scale": ("defaults: {prompt: a, guidance_scale: 1e999}\n", "m.yaml:4:39: guidance_scale is '1e999'; it must be"),
    "seed": ("defaults: {prompt: a, seed: -2}\n", "m.yaml:4:29: seed is '-2'; it must be a whole number from 0"),
    "backwards": ("defaults: {prompt: a, seed: 9..1}\n", "m.yaml:4:29: range 9..1 runs backwards"),
    "past the largest seed": (
        "defaults: {prompt: a, seed: 18446744073709551610..18446744073709551616}\n",
        "m.yaml:4:29: range 18446744073709551610..18446744073709551616 passes 2^64-1, the largest seed",
    ),
    "an axis past the largest seed": (
        P + "matrix: {seed: 18446744073709551610..18446744073709551616}\n",
        "m.yaml:5:16: range 18446744073709551610..18446744073709551616 passes 2^64-1",
    ),
    "model empty": (P + 'jobs: [{model: ""}]\n', "m.yaml:5:16: model is empty"),
    "endless": (
        "defaults: {prompt: a, seed: 0..9999999999}\n",
        "m.yaml:4:29: range 0..9999999999 holds more than 1,000,000",
    ),
    "size": (
        "defaults: {prompt: a, size: [500, 512]}\n",
        "m.yaml:4:29: size is 500x512; both sides must be multiples of 8, e.g. 504x512",
    ),
    "size words": ("defaults: {prompt: a, size: big}\n", "m.yaml:4:29: size is 'big'; write it as 512x512"),
    "sampler": ("defaults: {prompt: a, sampler: eulr}\n", "m.yaml:4:32: sampler 'eulr' is unknown"),
    "loss": ("defaults: {prompt: a, loss: cany}\n", "m.yaml:4:29: unknown loss 'cany'; did you mean 'canny'?"),
    "loss key": (
        "defaults: {prompt: a, loss: {name: canny, hihg: 9}}\n",
        "m.yaml:4:43: unknown key 'hihg' in loss canny; did you mean 'high'?",
    ),
    "loss param": (
        "defaults: {prompt: a, loss: {name: channel, target: 2}}\n",
        "m.yaml:4:53: target of loss channel is '2'",
    ),
    "loss window": (
        "defaults: {prompt: a, loss: {name: canny, start: 0.9, stop: 0.1}}\n",
        "m.yaml:4:61: loss start 0.9 is not below stop 0.1",
    ),
    "no prompt": ("defaults: {steps: 3}\n", "m.yaml:1:1: prompt is missing"),
    "prompt list": ("defaults: {prompt: [a]}\n", "m.yaml:4:20: prompt is a list; it must be text"),
    "placeholder": (
        'defaults: {prompt: "a {stile}"}\nmatrix: {style: [x]}\n',
        "m.yaml:4:20: prompt names the placeholder {stile}, which nothing fills; did you mean {style}?",
    ),
    "conversion": (
        'defaults: {prompt: "{a!r}"}\nmatrix: {a: [x]}\n',
        "names the placeholder {a!r}, which nothing fills",
    ),
    "brace": ('defaults: {prompt: "a {"}\n', "m.yaml:4:20: prompt has an unmatched brace"),
    "output placeholder": (
        P + 'output: "{sed}.png"\n',
        "m.yaml:5:9: output names the placeholder {sed}, which nothing fills; did you mean {seed}?",
    ),
    "output width": (
        P + 'output: "{hash:x}.png"\n',
        "m.yaml:5:9: output has '{hash:x}'; after the colon goes .12 to keep at most 12",
    ),
    "output width in thousands of digits": (P + f'output: "{{hash:{"9" * 5000}}}.png"\n', "m.yaml:5:9: output has "),
    "output climbs": (P + 'output: "../{seed}.png"\n', "m.yaml:5:9: output '../{seed}.png' climbs out with '..'"),
    "output absolute": (P + "output: /x.png\n", "m.yaml:5:9: output '/x.png' is absolute"),
    "output jpg": (
        P + "output: x.gif\n",
        "m.yaml:5:9: output 'x.gif' does not end with .png, .webp, .jpg, .jpeg or .avif",
    ),
    "sheet": (
        P + "matrix: {style: [x]}\nsheet: {rows: stile}\n",
        "m.yaml:6:15: sheet rows is 'stile'; did you mean 'style'?",
    ),
    "missing concept": (P + "concepts: {<a>: c/a.bin}\n", "m.yaml:5:17: concept file c/a.bin of <a> does not exist"),
    "concept sum": (
        P + f"concepts: {{<a>: {{file: m.yaml, sha256: {'0' * 64}}}}}\n",
        "m.yaml:5:24: concept file m.yaml has sha256",
    ),
    "exclude key": (
        P + "matrix: {style: [x, y], exclude: [{stil: x}]}\n",
        "m.yaml:5:36: unknown key 'stil' in exclude",
    ),
    "exclude nothing": (
        P + "matrix: {style: [x, y], exclude: [{style: z}]}\n",
        "m.yaml:5:35: this exclude matches no combination",
    ),
    "exclude all": (P + "matrix: {style: [x], exclude: [{style: x}]}\n", "m.yaml:5:22: exclude leaves no combination"),
    "empty axis": (P + "matrix: {style: []}\n", "m.yaml:5:17: axis 'style' is empty"),
    "two axes": (
        P + "matrix: {a: [{seed: 1}], b: [{seed: 2}]}\n",
        "m.yaml:5:26: 'seed' is set by the axes 'a' and 'b'",
    ),
    "set twice": (
        P + "matrix: {seed: [1]}\njobs: [{seed: 2}]\n",
        "m.yaml:6:15: seed is set by this job and by the matrix",
    ),
    "too many": (
        P + "matrix: {seed: 1..2000, steps: 1..1000}\n",
        "m.yaml:5:9: the matrix has more than 1,000,000 combinations",
    ),
    "same id": (P + "jobs: [{id: a}, {id: a, seed: 2}]\n", "m.yaml:5:22: job id 'a' is given twice"),
    "no jobs": (P + "jobs: []\n", "m.yaml:5:7: the manifest is empty"),
    "jobs map": (P + "jobs: {id: a}\n", "m.yaml:5:7: jobs is a map; it must be a list"),
    "tag": ("defaults: {prompt: !!python/name:os.system x}\n", "m.yaml:4:20: tag "),
    "two documents": (P + "---\nversion: 1\n", "m.yaml:5:1: a second document begins"),
    "not yaml": ("defaults: {prompt: [\n", "not YAML"),
    "self alias": ("defaults: &a {prompt: *a}\n", "alias *a names no finished anchor"),
    "deep": ("x: " + "[" * 100 + "]" * 100 + "\n", "m.yaml:4:67: nested deeper than 64 levels"),
    "nothing": ("", "m.yaml:1:1: the manifest is empty"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_is_named_with_its_position(case, manifest):
    body, message = MISTAKES[case]
    with pytest.raises(ManifestError) as caught:
        manifest(body)
    assert message in str(caught.value)
    assert all(re.match(r"m\.yaml:\d+:\d+: ", problem) for problem in caught.value.problems)


LONG = "q" * 500
OVERLONG = (
    f"defaults: {{prompt: a, {LONG}: 3}}\n",
    f"defaults: {{prompt: a, steps: {LONG}}}\n",
    f"defaults: {{prompt: a, size: {LONG}}}\n",
    f"defaults: {{prompt: a, seed: {LONG}}}\n",
    f"defaults: {{prompt: a, loss: {LONG}}}\n",
    f"defaults: {{prompt: a, sampler: {LONG}}}\n",
    f'defaults: {{prompt: "a {{{LONG}}}"}}\n',
    f"{P}matrix: {{{LONG}: []}}\n",
    f"{P}matrix: {{{LONG}: [[1]]}}\n",
    f"{P}matrix: {{one: [{{label: a, value: b, {LONG}: 1}}]}}\n",
    f"{P}matrix: {{one: [a], exclude: [{{{LONG}: b}}]}}\n",
    f"{P}concepts: {{{LONG}: {{}}}}\n",
    f"{P}concepts: {{<x>: {{file: a, sha256: {LONG}}}}}\n",
    f"{P}jobs:\n  - {{id: {LONG}}}\n  - {{id: {LONG}}}\n",
    f"{P}output: {LONG}\n",
    f"{P}sheet: {{rows: {LONG}}}\n",
)


@pytest.mark.parametrize("body", OVERLONG)
def test_an_overlong_value_is_cut_in_its_message(body, manifest):
    with pytest.raises(ManifestError) as caught:
        manifest(body)
    assert any("q" * 30 in problem for problem in caught.value.problems)
    assert not any("q" * 61 in problem for problem in caught.value.problems)


def test_every_mistake_is_reported_at_once_in_the_order_of_the_file(manifest):
    with pytest.raises(ManifestError) as caught:
        manifest("defaults: {prompt: a, stps: 3}\njobs:\n  - {size: 9}\n  - {loss: x}\noutput: x.gif\n")
    lines = [int(problem.split(":")[1]) for problem in caught.value.problems]
    assert lines == [4, 6, 7, 8]


@pytest.mark.parametrize(
    ("head", "message"),
    [
        ("", "m.yaml:1:1: the manifest is empty"),
        ("# only a comment\n", "m.yaml:1:1: the manifest is empty"),
        ("- a\n", "m.yaml:1:1: the manifest is a list, and must be a map"),
        ("version: 2\nmodel: demo\n" + P, "m.yaml:1:10: version is '2'; it must be 1"),
        ("model: demo\n" + P, "m.yaml:1:1: version is missing"),
        ("version: 1\n" + P, "m.yaml:1:1: model is missing"),
        ("version: 1\nmodel: demo\nname: a/b\n" + P, "m.yaml:3:7: name 'a/b' holds a /"),
    ],
)
def test_the_head_of_a_manifest(head, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("m.yaml").write_text(head)
    with pytest.raises(ManifestError, match=re.escape(message)):
        read_manifest(Path("m.yaml"))


def test_unreadable_files_are_refused(tmp_path):
    path = tmp_path / "m.yaml"
    with pytest.raises(ManifestError, match=r"m\.yaml: no such file; give the path of a manifest"):
        read_manifest(path)
    path.write_bytes("\ufeffa: 1\nä: ".encode() + b"\xff")
    with pytest.raises(ManifestError, match=r"m\.yaml:2:4: byte 0xff is not UTF-8; save the file as UTF-8"):
        read_manifest(path)
    with path.open("wb") as stream:
        stream.truncate(MAX_BYTES + 1)
    with pytest.raises(ManifestError, match="larger than 16 MiB"):
        read_manifest(path)


def test_nested_aliases_do_not_multiply(manifest):
    levels = ["a0: &a0 [x, x, x, x, x, x, x, x, x]\n"]
    levels += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)]
    began = time.monotonic()
    with pytest.raises(ManifestError):
        manifest("".join(levels) + "defaults: {prompt: a}\nmatrix: {style: *a11}\n")
    assert time.monotonic() - began < 5


def test_a_mistake_is_one_line_whatever_a_value_holds(manifest):
    with pytest.raises(ManifestError) as caught:
        manifest('defaults: {prompt: a}\njobs: [{id: a, init_image: "a\\nb\\u2028.png"}]\noutput: "{id}.png"\n')
    (problem,) = caught.value.problems
    assert problem.splitlines() == [problem]
    assert r"a\nb\u2028.png does not exist" in problem
