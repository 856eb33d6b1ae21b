"""`latentpress bench`: what it prints, writes and draws, and what it says of wrong arguments."""

import hashlib
import json
import sys
from importlib.util import find_spec

import pytest
import torch

from latentpress.bench.cold import cold_start
from latentpress.bench.jobs import Work
from latentpress.cli import run_cli
from latentpress.engines.devices import cpu_has_bf16
from latentpress.errors import EnvironmentFailure
from published import read


def test_the_command_prints_writes_draws_and_compares(bundle, tmp_path, capsys):
    file, plot = tmp_path / "b.json", tmp_path / "b.png"
    base = ["bench", str(bundle.path), "--buckets", "2", "--repeats", "3", "--steps", "2", "--size", "64x72"]
    base += ["--seconds", "0.01"]
    assert run_cli([*base, "--json", str(file), "--plot", str(plot)]) == 0
    said = capsys.readouterr()
    assert "64x72, euler, 2 steps" in said.out
    assert "warming up unet, 2 rows" in said.err
    written = read("bench", file.read_text())
    assert (written["settings"]["work"]["height"], written["bundle_hash"]) == (72, bundle.hash)
    assert written["conditions"]["packages"]["torch"] == torch.__version__
    assert written["graphs"]["unet"] == hashlib.sha256(bundle.file("unet.onnx").read_bytes()).hexdigest()
    assert plot.stat().st_size > 1000
    with_history = ["--history", str(tmp_path / "nightly"), "--seconds", "0"]
    assert run_cli([*base, "--json", "-", "--threads", "1", *with_history]) == 0
    printed = read("bench", capsys.readouterr().out)
    assert printed["threads"] == 1
    (kept,) = (tmp_path / "nightly").glob("*.json")
    assert json.loads(kept.read_text()) == printed
    assert "float32" in written["ceiling"]["how"]
    assert run_cli(["bench", "--compare", str(file), str(file), "--fail-slower", "5%"]) == 0
    assert capsys.readouterr().out.count("within noise") == 5  # three components, two scenarios
    for name, slower in (("before", 1), ("after", 3)):
        for one in written["components"]:
            one |= {"values": [slower * 10.0] * 3, "yardstick": [0.01] * 3}
        (tmp_path / f"{name}.json").write_text(json.dumps(written))
    compared = [
        "bench",
        "--compare",
        str(tmp_path / "before.json"),
        str(tmp_path / "after.json"),
        "--fail-slower",
        "5%",
    ]
    assert run_cli(compared) == 1
    said = capsys.readouterr()
    assert said.out.count("slower") == 3
    assert said.err.startswith("slower by more than 5%: text_encoder, 2 rows (+200.0%), unet, 2 rows (+200.0%)")


@pytest.mark.skipif(not find_spec("openvino") or not cpu_has_bf16(), reason="no OpenVINO, or no bfloat16 units, here")
def test_an_engine_in_bfloat16_is_held_to_a_ceiling_in_bfloat16(bundle, capsys):
    arguments = ["--buckets", "2", "--repeats", "2", "--seconds", "0", "--size", "64x64", "--json", "-"]
    assert run_cli(["bench", str(bundle.path), *arguments, "--engine", "openvino:bf16"]) == 0
    assert "bfloat16" in json.loads(capsys.readouterr().out)["ceiling"]["how"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--buckets", "2,x"], "--buckets '2,x': must be numbers of rows from 1 to 1024"),
        (["--buckets", "0"], "--buckets '0': must be numbers"),
        (["--size", "500x500"], "--size '500x500': must be WIDTHxHEIGHT in pixels, both multiples of 8"),
        (["--plot", "x.doc"], "--plot x.doc: the suffix must say a picture's format, e.g. x.png"),
        (["--plot", "nowhere/x.png"], "nowhere/x.png: the folder nowhere does not exist"),
        (["--json", "nowhere/x.json"], "nowhere/x.json: the folder nowhere does not exist"),
        (["--job", "video"], "--job 'video': must be one of plain, guided, img2img"),
        (["--fail-slower", "5%"], "--fail-slower goes with --compare BEFORE AFTER"),
        (["--compare", "a.json", "b.json"], "--compare takes two files that bench --json wrote, and no BUNDLE"),
        ([], "missing: not a bundle"),
    ],
)
def test_bad_arguments_get_a_sentence(arguments, said, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert run_cli(["bench", "missing", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {said}")
    assert len(error.splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "b.json does not exist; name a file that `latentpress bench --json FILE` wrote"),
        ("{}", "b.json: is no run of `latentpress bench`"),
        ('{"version": 1, "components": [], "bundle_hash": ""}', "b.json: is of version 1, and this program compares"),
    ],
)
def test_what_is_no_run_cannot_be_compared(text, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    if text is not None:
        (tmp_path / "b.json").write_text(text)
    assert run_cli(["bench", "--compare", "b.json", "b.json"]) == 2
    assert said in capsys.readouterr().err
    assert run_cli(["bench"]) == 2
    assert "no BUNDLE: name the one to measure" in capsys.readouterr().err
    assert run_cli(["bench", "--compare", "b.json", "b.json", "--fail-slower", "5"]) == 2
    assert "--fail-slower '5': must be a percentage, e.g. 5%" in capsys.readouterr().err


def test_a_missing_plotting_package_is_said_before_anything_is_measured(bundle, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.backend_bases", None)
    assert run_cli(["bench", str(bundle.path), "--plot", "x.png"]) == 3
    assert "pip install 'latentpress[bench]'" in capsys.readouterr().err


def test_a_start_is_taken_apart_in_a_process_of_its_own(bundle):
    found = cold_start(str(bundle.path), "cpu", 1, Work(64, 64, "euler", 2, 4.0))
    parts = [found.process, found.imports, found.bundle, found.engines, found.calibration, found.picture]
    assert all(part > 0 for part in parts)
    assert sum(parts) == pytest.approx(found.whole)
    assert found.imports > found.process, "torch alone takes longer than Python's own start"
    with pytest.raises(EnvironmentFailure, match="the process whose start was measured failed: "):
        cold_start("nowhere", "cpu", 1, Work(64, 64, "euler", 2, 4.0))
