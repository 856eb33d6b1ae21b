"""A first session, rehearsed on the CPU with an NVML that is played."""

import shutil
import sys

from latentpress.bundle.info import open_bundle
from latentpress.cli import run_cli
from played_nvml import played_nvml

SHORT = ["--buckets", "2", "--repeats", "2", "--steps", "2", "--size", "64x64", "--seconds", "0.01"]


def test_a_page_has_doctor_parity_row_test_and_figures(bundle, tmp_path, capsys, monkeypatch):
    shutil.copytree(bundle.path, tmp_path / "mine")  # it is given records of its engines
    page = tmp_path / "report.md"
    assert run_cli(["bench", str(tmp_path / "mine"), *SHORT, "--first-session", str(page)]) == 0
    assert "report.md has what was found" in capsys.readouterr().out
    text = page.read_text()
    for said in ("## Doctor", "cpu: ready", "unet", "torch", "SingleStream, plain, ms", "Offline, plain, images/s"):
        assert said in text, said
    assert text.count("```") == 8


def test_a_graph_that_is_wrong_is_told_on_the_page(bundle, tmp_path, capsys):
    shutil.copytree(bundle.path, tmp_path / "mine")
    opened = open_bundle(tmp_path / "mine")
    arguments = ["bench", str(opened.path), *SHORT, "--engine", "cuda", "--first-session", str(tmp_path / "report.md")]
    assert run_cli(arguments) == 3
    assert "report.md has what was found, and what failed" in capsys.readouterr().out
    text = (tmp_path / "report.md").read_text()
    assert "failed: engine cuda: " in text
    assert "cuda: not ready: no NVIDIA GPU" in text


def test_a_gpu_that_is_watched_is_on_the_page(bundle, monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", played_nvml())
    from latentpress.bench.first_session import _state
    from latentpress.bench.machine import watched

    with watched(gpu=True) as state:
        lines = _state(state())
    assert {"gpu name: GPU 0", "gpu clock: 1200", "gpu throttled: ['power limit']"} <= set(lines)
