"""What `plan` and `render --dry-run` let pass, `render` begins; what it refuses, they refuse in its words, with its code."""

import fcntl
import os
import shutil
import sqlite3
import sys
from collections import namedtuple
from contextlib import closing

import pytest

from four import bundle, change, cut, exchanged, flipped, manifest
from latentpress.cli import run_cli

NOBODY = 65534
SHEET = "sheet: {rows: seed, formats: [png, pdf]}\n"
Usage = namedtuple("Usage", "total used free")


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


def with_sheet(further=lambda out, patch: None):
    def change(out, patch):
        (out.parent / "m.yaml").write_text((out.parent / "m.yaml").read_text() + SHEET)
        further(out, patch)

    return change


def inside(out, patch):
    shutil.copy(out / "1.png", out / "in.png")
    manifest("steps: 1,", f"steps: 2, init_image: {out}/in.png, strength: 0.5,")(out, patch)


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
