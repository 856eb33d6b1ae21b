"""The GPU benchmark, rehearsed: its jobs on small models on the CPU, its budget, and what a killed run leaves."""

import math
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest

from latentpress.export import export_bundle
from traces import shared_traces

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))

from gpu.settings import CASES, GPU, REHEARSAL, SMALL  # noqa: E402

from gpu import jobs, report, results, sides, switches, work  # noqa: E402


def export_plain(checkpoint, folder, engine, **options):
    """Of the graphs that other tests have traced; test_flavours.py has those that an engine runs fastest."""
    return export_bundle(checkpoint, folder, **options)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    """Where every job of the small sd15 but the compiling ones has been done."""
    folder = tmp_path_factory.mktemp("gpu")
    small = SMALL["sd15"]
    work.machine(REHEARSAL, folder)
    with shared_traces(), pytest.MonkeyPatch.context() as patch:
        patch.setattr("latentpress.export.export_bundle", export_plain)
        work.export(small, REHEARSAL, folder, "cpu")
    work.proof(small, REHEARSAL, folder, "cpu")
    for side in (sides.REFERENCE, "latentpress", "diffusers half"):
        work.render(small, REHEARSAL, folder, side)
    switches.switches(small, REHEARSAL, folder)
    return folder


def decibels(text):
    """What the table says of two sets of pictures, which on some CPUs are equal to the last level."""
    return math.inf if text == "same" else float(text)


def test_a_rehearsal_measures_every_thing_once(scratch):
    rows = results.read(scratch)
    renders = {(row["side"], row["batch"]): row for row in results.of_kind(rows, "render", case="sd15")}
    assert renders.keys() == {
        ("diffusers fp32", 2),
        ("latentpress", 2),
        ("latentpress", 1),
        ("diffusers half", 2),
        ("diffusers half", 1),
    }
    assert all(row["seconds"] and min(row["seconds"]) > 0 for row in renders.values())
    # The same pictures, drawn by other arithmetic: float32 beside float32, bfloat16 beside float32.
    assert decibels(report.psnr(scratch, rows, renders["latentpress", 1])) > 45
    assert 10 < decibels(report.psnr(scratch, rows, renders["diffusers half", 1])) < 45
    assert {row["component"] for row in results.of_kind(rows, "parity")} >= {"unet", "vae_decoder", "text_encoder"}
    assert all(row["equal"] for row in results.of_kind(rows, "rows"))
    switched = results.of_kind(rows, "switch")
    assert {row["switch"] for row in switched} == set(switches.SWITCHES)
    assert all(row["relative_to_first"] == 0 for row in switched), "on a CPU the switches change nothing"


def test_the_table_and_the_plot_hold_what_was_measured(scratch, tmp_path):
    report.write(scratch, tmp_path)
    table = (tmp_path / "table.md").read_text()
    (row,) = results.of_kind(results.read(scratch), "render", side="latentpress", batch=1)
    measured = row["images"] / statistics.median(row["seconds"])
    assert f"| latentpress (onnxruntime-cpu) | 1 | {measured:.3f} |" in table
    assert "sd15: each component against torch" in table
    assert (tmp_path / "plot.png").read_bytes()[:4] == b"\x89PNG"


def test_the_operations_of_a_picture_are_those_of_the_full_models(tmp_path):
    """By another count, of exported graphs: 0.803 and 6.76 TFLOP a UNet row, 2.52 and 10.47 a decoding."""
    import json

    from gpu.flops import picture_flops

    from latentpress.export.families import family_config, family_named

    for name, row, decoding in (("sd15", 0.803e12, 2.52e12), ("sdxl", 6.76e12, 10.47e12)):
        for part in ("unet", "vae"):
            (tmp_path / name / part).mkdir(parents=True)
            config = family_config(family_named(CASES[name].family), part)
            (tmp_path / name / part / "config.json").write_text(json.dumps(config))
        found = picture_flops(CASES[name], tmp_path / name)
        assert found["unet_row"] == pytest.approx(row, rel=0.01)
        assert found["decoding"] == pytest.approx(decoding, rel=0.01)
        assert found["picture"] == 40 * found["unet_row"] + found["decoding"]


def test_a_job_is_stopped_at_its_limit_and_keeps_what_it_wrote(tmp_path):
    script = (
        "import os, pathlib, subprocess, sys, time; sys.path.insert(0, 'benchmarks')\n"
        "from gpu.results import append\n"
        "append(pathlib.Path(os.environ['GPU_SCRATCH']), {'kind': 'render', 'side': 'half done'})\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "(pathlib.Path(os.environ['GPU_SCRATCH']) / 'child').write_text(str(child.pid))\n"
        "time.sleep(60)\n"
    )
    slow = jobs.Job("slow", (sys.executable, "-c", script), 3, alone=False)
    wrong = jobs.Job("wrong", (sys.executable, "-c", "raise SystemExit('no such GPU')"), 20)
    fine = jobs.Job("fine", (sys.executable, "-c", "print('well')"), 20, beside=True)
    reports = []
    started = time.monotonic()
    failed = jobs.run_jobs([slow, wrong, fine], tmp_path, 60, lambda: reports.append(len(results.read(tmp_path))))
    assert time.monotonic() - started < 20
    assert failed == ["slow", "wrong"]
    assert len(reports) == 3
    rows = results.read(tmp_path)
    assert results.of_kind(rows, "render") == [results.of_kind(rows, "render", side="half done")[0]]
    why = {row["job"]: row["why"] for row in results.of_kind(rows, "failure")}
    assert why["slow"] == "stopped at its limit of 3 s"
    assert why["wrong"].endswith("no such GPU\n")
    child = Path(f"/proc/{(tmp_path / 'child').read_text()}/stat")
    assert not child.exists() or child.read_text().split()[2] == "Z", "its children are stopped too"
    assert jobs.run_jobs([wrong], tmp_path, 1, lambda: None) == ["wrong"]
    assert "the budget was spent" in results.of_kind(results.read(tmp_path), "failure", job="wrong")[0]["why"]


def test_what_is_measured_waits_for_what_is_made_beside(tmp_path):
    write = f"import pathlib, time; time.sleep(1); pathlib.Path({str(tmp_path / 'bundle')!r}).touch()"
    need = f"import pathlib; assert pathlib.Path({str(tmp_path / 'bundle')!r}).exists() is %s"
    made = [
        jobs.Job("measure", (sys.executable, "-c", need % True), 20),
        jobs.Job("tests", (sys.executable, "-c", need % False), 20, alone=False),
        jobs.Job("export", (sys.executable, "-c", write), 20, beside=True),
    ]
    assert jobs.run_jobs([made[1], made[0], made[2]], tmp_path, 60, lambda: None) == []


def test_a_line_cut_short_is_left_out_and_the_last_of_a_kind_counts(tmp_path):
    for seconds in ([1.0], [2.0]):
        results.append(tmp_path, {"kind": "render", "case": "sd15", "side": "a", "batch": 1, "seconds": seconds})
    results.append(tmp_path, {"kind": "failure", "job": "x", "why": "once"})
    results.append(tmp_path, {"kind": "done", "job": "x"})
    with (tmp_path / results.FILE).open("a") as stream:
        stream.write('{"kind": "rend')
    rows = results.read(tmp_path)
    assert [row["seconds"] for row in results.of_kind(rows, "render")] == [[2.0]]
    assert not results.of_kind(rows, "failure")


@pytest.mark.parametrize("stage", jobs.STAGES)
def test_the_jobs_of_a_stage_fit_their_time(stage):
    found = jobs.jobs_of(stage, GPU)
    assert len({job.name for job in found}) == len(found)
    assert all(job.limit <= 600 for job in found)
    for job in found:
        if "render" in job.command:
            assert job.command[job.command.index("render") + 2] in sides.SIDES


def test_the_command_line_refuses_what_it_does_not_know(tmp_path):
    command = [sys.executable, "-m", "gpu", "run", "--stage", "sd16", "--scratch", str(tmp_path / "none")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(command, cwd=ROOT / "benchmarks", env=environment, capture_output=True, text=True)
    assert done.returncode == 2
    assert "sd16" in done.stderr
    assert not (tmp_path / "none").exists()


def test_compiled_sides_are_compiled_for_few_shapes():
    for case in CASES.values():
        assert set(case.compiled) <= set(case.batches)
        assert [sides.batches(case, side) for side in sides.COMPILED] == [case.compiled] * 2
