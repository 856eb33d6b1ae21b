"""A picture without a manifest, and one of a manifest by its name: the same bytes as a whole render writes."""

import json

import pytest
import torch

from latentpress.cli import run_cli
from latentpress.cli.draw import manifest_of, manifest_text
from latentpress.manifest.field_help import FIELD_HELP
from latentpress.manifest.fields import FIELDS
from published import read

PROMPT = 'a [mouse]: "kite" # \\ 凧 in the style of <line-art>'
QUICK = ("--steps", "2", "--size", "64x64", "--guidance-scale", "3", "--sampler", "DPM++ 2M Karras")
JOB = {"prompt": PROMPT, "steps": 2, "size": "64x64", "guidance_scale": 3, "sampler": "DPM++ 2M Karras"}


@pytest.fixture
def bundle(tmp_path, assets, monkeypatch):
    monkeypatch.setenv("LATENTPRESS_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return str(assets / "bundle")


def rendered(tmp_path, bundle, **job):
    """The bytes of the job's pictures in a manifest, by seed."""
    manifest = {"version": 1, "model": bundle, "output": "{seed}.png", "jobs": [JOB | job]}
    (tmp_path / "m.yaml").write_text(json.dumps(manifest))
    assert run_cli(["render", "m.yaml"]) == 0
    return {int(path.stem): path.read_bytes() for path in (tmp_path / "out" / "m").glob("*.png")}


def test_a_picture_is_the_one_of_the_same_job_in_a_manifest(bundle, tmp_path, capsys):
    assert run_cli(["draw", PROMPT, "--model", bundle, "--seed", "3", "-o", "new/kite.png", *QUICK]) == 0
    assert capsys.readouterr().out == "new/kite.png\n"
    assert (tmp_path / "new/kite.png").read_bytes() == rendered(tmp_path, bundle, seed=3)[3]
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["kite.png"], "a picture, and no ledger"


def test_every_kind_of_option_means_what_it_means_in_a_manifest(bundle, tmp_path, capsys):
    losses = ("--loss", "{name: channel, channel: red, scale: 20, every: 1}", "--loss", "saturation")
    base = ["draw", PROMPT, "--model", bundle, *QUICK, *losses, "--negative-prompt", "null", "--seed", "4..5"]
    assert run_cli([*base, "-o", "k{seed}.png", "--json"]) == 0
    found = read("draw", capsys.readouterr().out)
    assert [one["picture"] for one in found["pictures"]] == ["k4.png", "k5.png"]
    loss = [{"name": "channel", "channel": "red", "scale": 20, "every": 1}, "saturation"]
    made = rendered(tmp_path, bundle, seed=4, n=2, negative_prompt="null", loss=loss)
    assert {seed: (tmp_path / f"k{seed}.png").read_bytes() for seed in (4, 5)} == made
    assert b"\nNegative prompt: null\n" in made[4]


def test_a_concept_is_given_beside_the_bundle(bundle, tmp_path, capsys):
    torch.save({"<new>": torch.ones(64)}, tmp_path / "new.bin")
    base = ["draw", "a <new> kite", "--model", bundle, "--steps", "1", "--size", "64x64"]
    assert run_cli([*base, "--concept", "<new>=new.bin"]) == 0
    [path] = capsys.readouterr().out.splitlines()
    assert path.startswith("0-")
    assert b'"concepts":{"<new>":' in (tmp_path / path).read_bytes()
    assert run_cli([*base, "--concept", "<new>"]) == 2
    assert "--concept '<new>': write TOKEN=FILE" in capsys.readouterr().err


def test_no_file_is_replaced_unless_that_is_asked_for(bundle, tmp_path, capsys):
    (tmp_path / "mine.png").write_bytes(b"a photograph")
    base = ["draw", "a kite", "--model", bundle, "--steps", "1", "--size", "64x64", "-o", "mine.png"]
    assert run_cli(base) == 2
    assert "mine.png: is there already; choose another name with -o" in capsys.readouterr().err
    assert (tmp_path / "mine.png").read_bytes() == b"a photograph"
    assert run_cli([*base, "--replace"]) == 0
    assert (tmp_path / "mine.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--steps", "0"), "error: steps is '0'; it must be a whole number from 1 to 1000\n"),
        (("--loss", "cany"), "error: unknown loss 'cany'; did you mean 'canny'?\n"),
        (("--timesteps", "[1,"), "error: --timesteps '[1,': begins as a list or a map of YAML and is none\n"),
        (("--stepz", "1"), "latentpress draw: no such option: --stepz; did you mean --"),
        (("--init-image", "gone.png"), "init_image gone.png does not exist; paths start at the current directory\n"),
        (("-n", "2", "-o", "x.png"), "both have the output name 'x.png'; add a placeholder such as {seed}"),
        (("-o", "x.gif"), "'x.gif' does not end with .png"),
    ],
)
def test_mistakes_are_told_of_the_arguments(options, sentence, bundle, capsys):
    assert run_cli(["draw", "a kite", "--model", bundle, *options]) == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert "<arguments>" not in said


def test_the_options_are_the_fields_and_each_has_its_help(bundle, capsys):
    assert FIELD_HELP.keys() == FIELDS.keys()
    assert run_cli(["draw", "--help"]) == 0
    said = capsys.readouterr().out
    assert not [name for name in FIELDS if f"--{name.replace('_', '-')} " not in said and name != "prompt"]


@pytest.mark.parametrize(
    "text",
    [
        *("12", "null", "~", "1..4", "#fff", "a: b", "- x", "&x", "*x", "!x", "@", "'", '"', "\x7f\u2028\n"),
        *("a {red|blue} {{kite}}", "{~凧|owl}", "{seed} of {nothing", "a __color__ kite", "{file: x.txt}"),
    ],
)
def test_any_text_stays_what_it_is(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "wildcards").mkdir()
    (tmp_path / "wildcards/color.txt").write_text("red\nblue\n")
    manifest = manifest_of(manifest_text(text, "demo", 1, [], None, {"negative_prompt": [text]}))
    [(draft, _, _)] = manifest.drafts()
    assert (draft.values["prompt"], draft.values["negative_prompt"]) == (text, text)


def test_one_picture_of_a_manifest_is_rendered_by_its_name(bundle, tmp_path, capsys):
    jobs = [JOB | {"id": name, "seed": seed} for seed, name in enumerate(("kite", "owl", "owls"))]
    manifest = {"version": 1, "model": bundle, "output": "{id}.png", "jobs": jobs}
    (tmp_path / "m.yaml").write_text(json.dumps(manifest))
    for name in ("id=owl", "owls.png"):  # an id, an output
        assert run_cli(["render", "m.yaml", "--only", name]) == 0
    assert sorted(path.name for path in (tmp_path / "out/m").glob("*.png")) == ["owl.png", "owls.png"]
    assert run_cli(["render", "m.yaml", "--only", "kit.png"]) == 2
