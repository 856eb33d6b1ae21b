"""`plan`, `status` and `render --dry-run` count alike, and `status` tells of what the others refuse."""

import json

import pytest

from four import bundle, change, cut, manifest
from latentpress.cli import run_cli


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
