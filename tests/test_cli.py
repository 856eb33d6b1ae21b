"""The command line itself: exit codes, JSON on stdout and nothing else, and no engine where none is needed."""

import errno
import json
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from latentpress import __version__
from latentpress.cli import app, run_cli
from latentpress.cli.missing import missing_message
from published import read

MANIFEST = """\
version: 1
name: two
model: {bundle}
defaults: {{prompt: "a mouse in the style of {{style}}", steps: 2, size: 64x64, sampler: ddim}}
matrix: {{style: [<line-art>, <moeb-style>]}}
output: "{{style}}.png"
sheet: {{columns: style}}
"""


@pytest.fixture
def two(tmp_path, assets, monkeypatch):
    monkeypatch.setenv("LATENTPRESS_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)  # where out/NAME comes to be
    path = tmp_path / "two.yaml"
    path.write_text(MANIFEST.format(bundle=assets / "bundle"))
    return path


def test_plan_render_status_sheet(two, capsys):
    out = two.parent / "out" / "two"
    assert run_cli(["plan", str(two), "--json"]) == 0
    planned = read("plan", capsys.readouterr().out)
    assert planned["counts"] == {"done": 0, "failed": 0, "missing": 2, "earlier": 0, "other": 0, "found": 0}
    assert [job["output"] for job in planned["jobs"]] == ["line-art.png", "moeb-style.png"]
    assert not out.exists(), "planning leaves nothing behind"
    assert run_cli(["sheet", str(two)]) == 2
    assert "no such folder; render a manifest into it first" in capsys.readouterr().err

    assert run_cli(["render", str(two), "--json"]) == 0
    rendered = read("render", capsys.readouterr().out)
    assert rendered["counts"] == {"done": 2, "skipped": 0, "failed": 0}
    assert sorted(path.name for path in out.glob("*.png")) == ["line-art.png", "moeb-style.png", "sheet.png"]

    assert run_cli(["status", str(two), "--json"]) == 0
    assert read("status", capsys.readouterr().out)["counts"] == {
        "done": 2,
        "failed": 0,
        "missing": 0,
        "earlier": 0,
        "other": 0,
        "found": 0,
    }
    (out / "sheet.png").unlink()
    assert run_cli(["sheet", str(two)]) == 0
    assert (out / "sheet.png").exists()
    assert run_cli(["status", str(two)]) == 0
    assert "2 of 2 images done" in capsys.readouterr().out


def test_plan_and_status_import_no_engine(two):
    code = (
        "import sys\nfrom latentpress.cli import run_cli\n"
        "codes = run_cli(['plan', sys.argv[1]]), run_cli(['status', sys.argv[1]])\n"
        "heavy = {'torch', 'transformers', 'diffusers', 'onnxruntime', 'cv2'}\n"
        "heavy = sorted({name.split('.')[0] for name in sys.modules} & heavy)\n"
        "print(codes, heavy, file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, two], capture_output=True, text=True, check=True)
    assert done.stderr.strip().endswith("(0, 0) []")


def test_help_version_and_usage(capsys):
    assert run_cli(["--help"]) == 0
    said = capsys.readouterr().out
    assert all(word in said for word in ("plan", "render", "status", "sheet", "export", "concepts"))
    assert run_cli(["--version"]) == 0
    assert capsys.readouterr().out.strip() == f"latentpress {__version__}"
    assert run_cli(["rendr"]) == 2
    assert run_cli(["render"]) == 2
    assert run_cli(["render", "x.yaml", "--batch-rows", "0"]) == 2


@pytest.mark.parametrize(
    ("raised", "code", "said"),
    [
        (KeyboardInterrupt(), 130, "interrupted; the same command resumes"),
        (OSError(errno.ENOSPC, "No space left on device", "a.png"), 3, "a.png: No space left on device; free some"),
        (PermissionError(errno.EACCES, "Permission denied", "out"), 3, "out: Permission denied"),
        (
            ModuleNotFoundError("no", name="onnxruntime.capi"),
            3,
            "onnxruntime is missing; pip install 'latentpress[cpu]'",
        ),
        (
            ModuleNotFoundError("no", name="openvino"),
            3,
            "package openvino is missing; pip install 'latentpress[openvino]'",
        ),
        (ModuleNotFoundError("no", name="matplotlib"), 3, "is missing; pip install 'latentpress[bench]' adds it"),
        (ModuleNotFoundError("no", name="torch._C"), 3, "package torch is missing; pip install latentpress adds it"),
        (ModuleNotFoundError("no", name="their_loss"), 3, "package their_loss is missing; install it\n"),
        (ModuleNotFoundError("no such module"), 3, "a package is missing (no such module); install it"),
    ],
)
def test_what_goes_wrong_around_us_gets_a_sentence_and_a_code(raised, code, said, monkeypatch, capsys):
    def fail(path):
        raise raised

    monkeypatch.setattr("latentpress.manifest.manifest.read_manifest", fail)
    assert run_cli(["plan", "m.yaml"]) == code
    error = capsys.readouterr().err
    assert said in error
    assert "Traceback" not in error


def test_every_plain_dependency_is_installed_by_latentpress_alone():
    root = Path(__file__).resolve().parent.parent
    plain = tomllib.loads((root / "pyproject.toml").read_text())["project"]["dependencies"]
    wanted = {re.match(r"[\w.-]+", requirement).group().lower() for requirement in plain}
    said = {
        dist.lower()
        for module, names in packages_distributions().items()
        for dist in names
        if "; pip install latentpress adds it" in missing_message(ModuleNotFoundError("no", name=module))
    }
    assert wanted <= said


def test_an_output_that_is_a_file_is_refused(two, capsys):
    (two.parent / "taken").touch()
    assert run_cli(["render", str(two), "-o", str(two.parent / "taken")]) == 2
    assert "taken: is a file" in capsys.readouterr().err


def test_a_bundle_that_is_not_there_is_named_at_the_model(two, capsys):
    two.write_text(two.read_text().replace("model: ", "model: nowhere/"))
    assert run_cli(["plan", str(two)]) == 2
    assert f"{two}:3:8: " in capsys.readouterr().err


def test_concepts_of_the_manifest_are_planned_with(two, assets, tmp_path, capsys):
    import torch

    torch.save({"<new>": torch.ones(64)}, tmp_path / "new.bin")
    text = two.read_text().replace("defaults:", "concepts: {<new>: new.bin}\ndefaults:").replace("<line-art>", "<new>")
    two.write_text(text)
    assert run_cli(["plan", str(two), "--json"]) == 0
    first = json.loads(capsys.readouterr().out)
    assert [job["output"] for job in first["jobs"]] == ["new.png", "moeb-style.png"]
    assert not (tmp_path / "cache" / "derived").exists()
    assert run_cli(["plan", str(two), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["plan_hash"] == first["plan_hash"]
    two.write_text(text.replace("{<new>: new.bin}", "{<wide>: new.bin}").replace("<new>", "<wide>"))
    assert run_cli(["plan", str(two)]) == 0, "the manifest's token wins"


def test_concepts_list(assets, capsys):
    assert run_cli(["concepts", "list", str(assets / "bundle"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["concepts"]
    assert {"<line-art>", "<moeb-style>"} <= {concept["token"] for concept in found}
    assert run_cli(["concepts", "list", str(assets / "bundle")]) == 0
    said = capsys.readouterr().out
    assert "<moeb-style>  2 vectors" in said
    assert "<line-art>  1 vector " in said


def test_every_command_has_help():
    names = {command.name for command in app.registered_commands}
    assert names >= {"plan", "status", "render", "sheet", "export", "bench", "inspect", "engines", "doctor"}
    assert all(run_cli([name, "--help"]) == 0 for name in names)


def test_samplers_are_listed(capsys):
    from latentpress.runtime.sampling.samplers import SAMPLERS, canonical_sampler

    assert run_cli(["samplers", "--json"]) == 0
    entries = json.loads(capsys.readouterr().out)["samplers"]
    assert {"euler_a", "dpmpp_2m", "unipc", "lcm"} <= {entry["name"] for entry in entries}
    assert {name for entry in entries for name in (entry["name"], *entry["sigmas"])} == set(SAMPLERS)
    assert run_cli(["samplers"]) == 0
    lines = capsys.readouterr().out.splitlines()
    listed = [line.split()[0] for line in lines[1 : lines.index("")]]
    assert listed == [entry["name"] for entry in entries]
    assert all(canonical_sampler(name) == name for name in listed)


def test_stdin_that_is_closed_is_an_empty_manifest(capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    assert run_cli(["plan", "-"]) == 2
    assert "<stdin>:1:1: the manifest is empty" in capsys.readouterr().err


def test_without_arguments_the_help_is_followed_by_one_sentence(capsys):
    assert run_cli([]) == 2
    assert capsys.readouterr().err == "error: latentpress: name a command; `latentpress -h` shows what it takes\n"
