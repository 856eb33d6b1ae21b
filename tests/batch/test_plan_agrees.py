"""What `plan` and `render --dry-run` let pass, `render` begins; what it refuses, they refuse in its words, with its code."""

import fcntl
import json
import os
import shutil
import sqlite3
import sys
from collections import namedtuple
from contextlib import closing

import pytest

from fakes import FakeExecutor
from latentpress.cli import run_cli

NOBODY = 65534
# Four pictures, of which the folder has two; one of the others has a loss.
MANIFEST = """\
version: 1
name: four
model: {bundle}
defaults: {{prompt: a mouse, steps: 1, size: 64x64, sampler: ddim}}
jobs:
  - {{seed: 1..3}}
  - {{seed: 4, loss: {{name: canny, scale: 100}}}}
output: "{{seed}}.png"
"""
SHEET = "sheet: {rows: seed, formats: [png, pdf]}\n"
Usage = namedtuple("Usage", "total used free")


class Executor(FakeExecutor):
    def __init__(self, *_):
        super().__init__()

    def close(self):
        pass


@pytest.fixture
def begun(tmp_path, assets, monkeypatch):
    """The folder `out`, with two of four pictures, as if they had been made on the bundle's engine."""
    monkeypatch.setenv("LATENTPRESS_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    for name in ("LocalExecutor", "SupervisedExecutor"):
        monkeypatch.setattr(f"latentpress.batch.executors.choice.{name}", Executor)
    (tmp_path / "m.yaml").write_text(MANIFEST.format(bundle=assets / "bundle"))
    assert run_cli(["render", "m.yaml", "-o", "out", "--only", "[12].png"]) == 0
    change("provider='onnxruntime-cpu'")
    return tmp_path / "out"


def change(columns):
    with closing(sqlite3.connect("out/.latentpress/ledger.sqlite")) as ledger, ledger:
        ledger.execute(f"UPDATE images SET {columns}")


def made(columns):
    return lambda out, patch: change(columns)


def lacks(package):
    return lambda out, patch: patch.setitem(sys.modules, package, None)


def later_ledger(out, patch):
    with closing(sqlite3.connect("out/.latentpress/ledger.sqlite")) as ledger:
        ledger.execute("PRAGMA user_version=99")


def damaged(out, patch):
    (out / ".latentpress/ledger.sqlite").write_bytes(b"no database" * 100)


def full_disk(out, patch):
    patch.setattr("shutil.disk_usage", lambda path: Usage(1 << 30, 1 << 30, 1000))


def no_avif(out, patch):
    patch.setattr("latentpress.batch.pictures.encode.features.check", lambda name: name != "avif")
    (out.parent / "m.yaml").write_text((out.parent / "m.yaml").read_text().replace(".png", ".avif"))


def manifest(old, new):
    def change(out, patch):
        path = out.parent / "m.yaml"
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))

    return change


def with_sheet(further=lambda out, patch: None):
    def change(out, patch):
        (out.parent / "m.yaml").write_text((out.parent / "m.yaml").read_text() + SHEET)
        further(out, patch)

    return change


def inside(out, patch):
    shutil.copy(out / "1.png", out / "in.png")
    manifest("steps: 1,", f"steps: 2, init_image: {out}/in.png, strength: 0.5,")(out, patch)


def cut(path):
    path.write_bytes(path.read_bytes()[:-1000])


def flipped(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def exchanged(path):
    shutil.copy(path.with_name("vae_encoder.onnx"), path)


def bundle(name, damage):
    """A copy of the bundle, one of whose files is damaged."""

    def change(out, patch):
        text = (out.parent / "m.yaml").read_text()
        model = text.partition("model: ")[2].partition("\n")[0]
        shutil.copytree(model, out.parent / "copy")
        damage(out.parent / "copy" / name)
        (out.parent / "m.yaml").write_text(text.replace(model, "copy"))

    return change


def linked_folder(out, patch):
    (out.parent / "elsewhere").mkdir()
    (out / "sub").symlink_to(out.parent / "elsewhere")
    manifest('"{seed}.png"', '"sub/{seed}.png"')(out, patch)


# What befell the folder, the manifest or the machine -> arguments, exit code, words of the sentence.
CASES = {
    "another engine": (
        made("provider='openvino-f32'"),
        [],
        2,
        "rendered on engine openvino, and this run would use cpu",
    ),
    "an engine is named": (
        lambda *_: None,
        ["--engine", "openvino"],
        2,
        "rendered on engine cpu, and this run would use",
    ),
    "another precision of it": (
        made("provider='openvino-bf16'"),
        ["--engine", "openvino"],
        2,
        "on engine openvino:bf16",
    ),
    "another engine, --mixed": (made("provider='openvino-f32'"), ["--mixed"], 0, ""),
    "fixed rows": (made("row_rule='8'"), [], 2, "with 8 rows in every call"),
    "fixed rows, --strict": (made("row_rule='any'"), ["--strict"], 0, ""),
    "a name is taken": (lambda out, _: (out / "3.png").write_text("mine"), [], 2, "3.png is no picture of this folder"),
    "a name is taken, --replace": (lambda out, _: (out / "3.png").write_text("mine"), ["--replace"], 0, ""),
    "the sheet's name is taken": (
        with_sheet(lambda out, _: (out / "sheet.png").write_text("mine")),
        [],
        2,
        "sheet.png was",
    ),
    "an input lies in the folder": (inside, [], 2, "is an input, and lies in the output folder"),
    "no package for the sheet": (with_sheet(lacks("typst")), [], 3, "package typst is missing"),
    "no package for the format": (no_avif, [], 3, "avif"),
    "no package for the engine": (lacks("onnxruntime"), [], 3, "onnxruntime is not installed; `pip install"),
    "no package for that engine": (
        lacks("openvino"),
        ["--engine", "openvino", "--mixed"],
        3,
        "openvino is not installed",
    ),
    "no package for the loss": (lacks("torch"), [], 3, "package torch is missing"),
    "no package for the loss, not asked for": (lacks("torch"), ["--only", "seed=3"], 0, ""),
    "a later ledger": (later_ledger, [], 2, "ledger version 99, this latentpress reads"),
    "a damaged ledger": (damaged, [], 2, "the ledger is damaged"),
    "a ledger elsewhere": (lambda *_: None, ["--ledger", "rooms"], 2, "--ledger rooms"),
    "the disk is full": (full_disk, [], 3, "are free; free some space"),
    "the disk is full, --any-space": (full_disk, ["--any-space"], 0, ""),
    "no such bundle": (manifest("model: /", "model: /nowhere/"), [], 2, "m.yaml:3:8"),
    "a graph is cut": (bundle("unet.onnx", cut), [], 2, "m.yaml:3:8: copy/unet.onnx: has "),
    "a graph has another byte": (bundle("unet.onnx", flipped), [], 2, "m.yaml:3:8: copy/unet.onnx: sha256 is "),
    "a graph is another": (bundle("vae_decoder.onnx", exchanged), [], 2, "m.yaml:3:8: copy/vae_decoder.onnx: has "),
    "a tokenizer lacks a file": (
        bundle("tokenizer/merges.txt", os.remove),
        [],
        2,
        "copy/tokenizer/merges.txt: cannot be",
    ),
    "a tokenizer is cut": (bundle("tokenizer/vocab.json", cut), [], 2, "m.yaml:3:8: copy/tokenizer/vocab.json: has "),
    "bundle.json is cut": (bundle("bundle.json", cut), [], 2, "m.yaml:3:8: copy/bundle.json: not JSON"),
    "the folder is a file": (lambda *_: None, ["-o", "m.yaml"], 2, "is a file, and the output must be a folder"),
    "no such value": (lambda *_: None, ["--only", "seed=9"], 2, "seed"),
}


@pytest.mark.parametrize("case", CASES)
def test_plan_and_render_agree(case, begun, monkeypatch, capsys):
    befalls, arguments, code, words = CASES[case]
    befalls(begun, monkeypatch)
    said = {}
    for command in (["plan"], ["render", "--dry-run"], ["render"]):
        folder = [] if "-o" in arguments else ["-o", "out"]
        capsys.readouterr()
        found = run_cli([*command, "m.yaml", *folder, *arguments])
        told = [line for line in capsys.readouterr().err.splitlines() if "Traceback" in line or words in line]
        said[" ".join(command)] = found, told if code else []
    assert len(set(map(str, said.values()))) == 1, said
    assert said["plan"][0] == code
    assert code == 0 or len(said["plan"][1]) == 1, said


def test_status_goes_on_and_tells_of_a_damaged_bundle(begun, monkeypatch, capsys):
    bundle("unet.onnx", cut)(begun, monkeypatch)
    capsys.readouterr()
    assert run_cli(["status", "m.yaml", "-o", "out", "--json"]) == 0
    said = capsys.readouterr()
    [warning] = json.loads(said.out)["warnings"]
    assert warning in said.err
    assert "copy/unet.onnx: has " in warning
    assert run_cli(["render", "m.yaml", "-o", "out"]) == 2
    assert capsys.readouterr().err.strip() in warning


# Options -> done, missing, failed, quarantined, and how many the render then makes.
SHARES = {
    (): (3, 2, 3, ["7.png"], 4),
    ("--only", "[678].png"): (0, 1, 2, ["7.png"], 2),
    ("--limit", "5"): (2, 1, 2, [], 3),
}


@pytest.mark.parametrize("options", SHARES)
def test_plan_status_and_dry_run_count_alike_what_failed_is_quarantined_or_waits(options, begun, capsys):
    """As the table says, and as the render then does."""
    manifest("{seed: 1..3}", "{seed: 1..3}\n  - {seed: 5..8}")(begun, None)
    assert run_cli(["render", "m.yaml", "-o", "out", "--mixed"]) == 0
    change("provider='onnxruntime-cpu'")
    for name, failed in ((2, None), (8, None), (5, ("exception", 5)), (6, ("memory", 2)), (7, ("memory", 3))):
        (begun / f"{name}.png").unlink()
        if failed:
            change(f"status='failed', cause='{failed[0]}', attempts={failed[1]} WHERE output='{name}.png'")
    done, missing, failed, kept_out, made = SHARES[options]
    told, documents = [], []
    for command in (["plan"], ["status"], ["render", "--dry-run"]):
        capsys.readouterr()
        assert run_cli([*command, "m.yaml", "-o", "out", *options]) == 0
        told.append([line for line in capsys.readouterr().out.splitlines() if line.startswith("out: ")])
        assert run_cli([*command, "m.yaml", "-o", "out", *options, "--json"]) == 0
        documents.append(json.loads(capsys.readouterr().out))
    assert told == [told[0]] * 3
    of = f"{done} of {done + missing + failed} images done, {missing} missing, {failed} failed"
    assert told[0][0].startswith(f"out: {of}{', 1 of them quarantined' * len(kept_out)}, at most ")
    for one in documents:
        assert one["total"] == done + missing + failed
        assert [one["counts"][name] for name in ("done", "missing", "failed")] == [done, missing, failed]
        assert one["quarantined"] == kept_out
    assert (
        documents[0]["estimate"]["pictures"] == documents[2]["estimate"]["pictures"] == documents[2]["to_write"] == made
    )
    run_cli(["render", "m.yaml", "-o", "out", *options, "--json"])
    summary = json.loads(capsys.readouterr().out)["summary"]
    assert (summary["done"], summary["quarantined"]) == (made, len(kept_out))


def test_plan_says_who_renders_now(begun, capsys):
    with (begun / ".latentpress/lock").open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        assert run_cli(["plan", "m.yaml", "-o", "out"]) == 0
        planned = capsys.readouterr().err
        assert run_cli(["render", "m.yaml", "-o", "out"]) == 75
    sentence = f"out: process {os.getpid()} renders into this folder; wait for it to end, or choose another with -o\n"
    assert planned == f"warning: {sentence}"
    assert capsys.readouterr().err == f"error: {sentence}"
    assert run_cli(["plan", "m.yaml", "-o", "out"]) == 0
    assert "renders into" not in capsys.readouterr().err


def test_others_of_several_are_not_rendered_where_one_was_begun_on_another_engine(begun, capsys):
    change("provider='openvino-f32'")
    text = (begun.parent / "m.yaml").read_text()
    (begun.parent / "a.yaml").write_text(text.replace("name: four", "name: a"))
    begun.rename("four")
    assert run_cli(["render", "a.yaml", "m.yaml", "-o", "{name}"]) == 2
    assert "rendered on engine openvino, and this run would use cpu" in capsys.readouterr().err
    assert not (begun.parent / "a").exists()


def test_what_may_not_be_written_to_is_planned_as_it_is_rendered(eight):
    user = NOBODY if os.geteuid() == 0 else None
    eight.scratch.chmod(0o755)
    new, bare, finished = eight.folder(), eight.scratch / "bare", eight.scratch / "finished"
    bare.mkdir()
    assert eight.render(finished).code == 0
    shutil.copytree(finished, eight.scratch / "half")
    half = eight.scratch / "half"
    (half / "owl/1.png").unlink()
    for folder in (bare, finished, half):
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        for folder, code in ((new, 3), (bare, 3), (half, 3), (finished, 0)):
            runs = [
                eight.runner.run(folder, *command, eight.manifest, "-o", folder, user=user)
                for command in (["plan"], ["render", "--dry-run"], ["render"])
            ]
            told = [[line for line in run.err.splitlines() if line.startswith("error")] for run in runs]
            assert [run.code for run in runs] == [code] * 3, told
            assert told == [told[0]] * 3
            assert len(told[0]) == (code > 0)
    finally:
        for folder in (bare, finished, half):
            for path in (folder, *folder.rglob("*")):
                path.chmod(0o755 if path.is_dir() else 0o644)
