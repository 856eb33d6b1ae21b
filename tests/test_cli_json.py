"""--json: a document with a version on stdout and nothing else there, whatever happens, as docs/schemas publish it."""

import io
import json
import sys

import pytest

from latentpress.cli import run_cli
from latentpress.cli.options import print_json
from published import read

MANIFEST = """\
version: 1
model: {bundle}
defaults: {{prompt: a mouse 凧, steps: 1, size: 64x64, sampler: ddim, guidance_scale: 1}}
matrix: {{seed: 1..2}}
output: "{{seed}}.png"
sheet: {{columns: seed}}
"""


@pytest.fixture
def said(tmp_path, assets, monkeypatch, capsys):
    """said(schema, *arguments) is the document that the command prints, and its exit code."""
    monkeypatch.setenv("LATENTPRESS_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.yaml").write_text(MANIFEST.format(bundle=assets / "bundle"))

    def run(schema, *arguments):
        code = run_cli([*arguments, "--json"])
        return read(schema, capsys.readouterr().out), code

    return run


def test_documents_are_what_the_schemas_say(said, assets, tmp_path):
    bundle = str(assets / "bundle")
    assert said("plan", "plan", "m.yaml")[0]["version"] == 1
    assert said("render-dry-run", "render", "m.yaml", "--dry-run")[0]["to_write"] == 2
    assert said("render", "render", "m.yaml")[1] == 0
    assert said("status", "status", "m.yaml")[0]["counts"]["done"] == 2
    assert said("sheet", "sheet", "m.yaml")[0]["files"] == [
        {"file": "out/m/sheet.png", "format": "png", "unchanged": True}
    ]
    found = said("sheet", "sheet", "out/m", "-o", "sheet.svg")[0]
    assert (found["counts"]["done"], [one["format"] for one in found["files"]]) == (2, ["svg"])
    assert said("gallery", "gallery", "out/m")[0]["counts"]["done"] == 2
    assert said("report", "report", "out/m")[0]["counts"]["done"] == 2
    assert said("verify", "verify", "out/m")[0]["right"]
    assert said("show", "show", "out/m/1.png")[0]["pictures"][0]["intact"]
    assert said("rerender", "rerender", "out/m/1.png", "--model", bundle)[1] == 0
    assert said("diff", "diff", "out/m/1.png", "out/m/2.png")[1] == 1
    (tmp_path / "out/m/2.png").write_bytes((tmp_path / "out/m/1.png").read_bytes())
    assert said("verify", "verify", "out/m")[0]["flaws"]
    assert said("verify", "verify", "out/m", "--repair")[0]["repaired"]["rendered"] == ["2.png"]
    assert said("rebuild", "rebuild", "out/m")[1] == 0
    assert said("concepts-list", "concepts", "list", bundle)[0]["concepts"]
    assert said("inspect", "inspect", bundle)[0]["row_tests"]
    assert said("engines", "engines", bundle) == ({"version": 1, "engines": []}, 0)
    assert said("samplers", "samplers")[0]["samplers"]
    assert said("losses", "losses")[0]["losses"]
    assert said("doctor", "doctor")[0]["engines"]
    assert said("cache-list", "cache", "list")[0]["entries"]
    assert said("cache-prune", "cache", "prune", "--days", "0")[1] == 0


def test_failures_are_documents_too(said, tmp_path, capsys):
    text = (tmp_path / "m.yaml").read_text().replace("steps: 1", "stepz: 1").replace("ddim", "dim")
    (tmp_path / "wrong.yaml").write_text(text)
    found, code = said("error", "plan", "wrong.yaml")
    assert code == found["error"]["exit_code"] == 2
    assert [(one["file"], one["line"], one["column"]) for one in found["error"]["problems"]] == [
        ("wrong.yaml", 3, 31),
        ("wrong.yaml", 3, 63),
    ]
    assert found["error"]["problems"][0]["message"] == "unknown key 'stepz' in defaults; did you mean 'steps'?"
    (tmp_path / "many.jsonl").write_text('{"model": "demo", "prompt": "p", "stepz": 1}\n' * 9)
    (one,) = said("error", "plan", "many.jsonl")[0]["error"]["problems"]
    assert one["message"].endswith("did you mean 'steps'? (and at 8 more places, the last many.jsonl:9:34)")
    assert (one["file"], one["line"], one["column"]) == ("many.jsonl", 1, 34)
    (tmp_path / "many.jsonl").write_text("".join(f'{{"prompt": "p", "steps": {-n}}}\n' for n in range(200)))
    last = said("error", "plan", "many.jsonl")[0]["error"]["problems"][100]
    assert (last["line"], last["message"]) == (100, "101 more mistakes from here on; mend those above first")
    found, code = said("error", "sheet", "m.yaml", "--no-such")  # read before the command line is known to be wrong
    assert (code, found["error"]["problems"]) == (2, [])
    assert "no such option" in found["error"]["message"]
    found, code = said("error", "verify")
    assert "missing argument 'OUT'; `latentpress verify -h` shows what it takes" in found["error"]["message"]
    (tmp_path / "out").mkdir()
    (tmp_path / "out/m").touch()
    assert "out/m: is a file" in said("error", "render", "m.yaml")[0]["error"]["message"]


def test_of_several_manifests_each_has_a_line(said, tmp_path, capsys):
    (tmp_path / "wrong.yaml").write_text("version: 2\n")
    (tmp_path / "n.yaml").write_text((tmp_path / "m.yaml").read_text())
    assert run_cli(["status", "m.yaml", "wrong.yaml", "n.yaml", "--json"]) == 2
    wrong, m, n = capsys.readouterr().out.splitlines()
    assert read("error", wrong)["manifest"] == "wrong.yaml"
    assert [read("status", line)["manifest"] for line in (m, n)] == ["m.yaml", "n.yaml"]


def test_interrupting_is_told_as_json(said, monkeypatch):
    def interrupted(path):
        raise KeyboardInterrupt

    monkeypatch.setattr("latentpress.manifest.manifest.read_manifest", interrupted)
    found, code = said("error", "plan", "m.yaml")
    assert code == found["error"]["exit_code"] == 130


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "ascii"])
def test_json_is_whole_in_every_encoding(encoding, monkeypatch):
    data = {"prompt": "a mouse 凧 é", "file": "\udcff.png", "jobs": [{"labels": {"x": "凧"}}, {}], "none": []}
    for one_line in (False, True):
        out = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
        monkeypatch.setattr(sys, "stdout", out)
        print_json(data | {"jobs": iter(data["jobs"]), "none": iter(())}, one_line=one_line)
        text = out.buffer.getvalue().decode(encoding)
        assert json.loads(text) == {"version": 1, **data}
        assert text.count("\n") == 1 or not one_line
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    print_json(data := {"version": 1, "a": [{"b": ["é"], "c": {}}, {}], "d": []})
    lists = {name: iter(value) for name, value in data.items() if isinstance(value, list)}
    told = sys.stdout.getvalue()
    assert told == json.dumps(data, indent=2, ensure_ascii=False) + "\n"
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    print_json({**data, **lists})
    streamed = sys.stdout.getvalue()
    assert json.loads(streamed) == data
    assert '\n    {"b": ["é"], "c": {}},\n    {}\n' in streamed, "a line for each item"


@pytest.mark.parametrize("command", ["", "plan", "render", "draw", "cache list"])
def test_the_short_option_is_help(command, capsys):
    from latentpress.cli import run_cli

    assert run_cli([*command.split(), "-h"]) == 0
    assert "Usage:" in capsys.readouterr().out
