"""What the cache holds is listed, and what it need not keep goes: nothing in use, nothing of others, nothing outside."""

import json
import os
import shutil
import time

import pytest

from latentpress.bundle.overlay import Overlay, write_overlay
from latentpress.cache.use import used
from latentpress.cli import run_cli

DAY = 86_400


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A cache with a bit of everything; `base` beside it is the bundle of its sets of concepts."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("LATENTPRESS_CACHE", str(folder))
    base = filled(tmp_path / "base")
    filled(folder / "demo-0123456789ab")
    for name, on in (("fresh", base), ("idle", base), ("orphan", tmp_path / "gone"), ("full", None)):
        path = filled(folder / "derived" / name)
        if on is not None:
            write_overlay(path, Overlay(base=str(on), own=["text_encoder.onnx"], manifest="/night/m.yaml"))
    filled(folder / "derived/.tmp-2484y2td")
    filled(folder / "derived/.K.0123456789abcdef.making")
    (folder / "derived/.latentpress-tmp-0123").write_text("half a note")
    filled(folder / "holiday photographs")
    (folder / "verified").mkdir()
    for name, bundle in (("a", base), ("b", tmp_path / "gone")):
        (folder / f"verified/{name}.json").write_text(json.dumps({"bundle": str(bundle), "files": {}}))
    (folder / "calibration.json").write_text("{}")
    for path in (*folder.rglob("*"), folder):
        os.utime(path, (time.time() - 2 * DAY,) * 2)
    os.utime(folder / "derived/idle", (time.time() - 40 * DAY,) * 2)
    return folder


def filled(path):
    path.mkdir(parents=True)
    (path / "unet.onnx").write_bytes(b"x" * (3 << 20))
    (path / "bundle.json").write_text(json.dumps({"name": "sd15", "concepts": [{"token": "<mine>"}]}))
    return path


def named(cache):
    return {path.relative_to(cache).as_posix() for path in cache.rglob("*") if path.parent.name in ("cache", "derived")}


def prune(capsys, *options):
    assert run_cli(["cache", "prune", "--json", *options]) == 0
    found = json.loads(capsys.readouterr().out)
    return {entry["name"]: entry["why"] for entry in found["entries"]}


def test_everything_is_listed_with_what_it_is_for(cache, capsys):
    assert run_cli(["cache", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1].startswith(f"{cache}: 24.0 MiB in ")
    (fresh,) = [line for line in lines if "derived/fresh" in line]
    assert fresh.split()[:3] == ["concepts", "3.0", "MiB"]
    assert fresh.endswith(f": <mine> on {cache.parent}/base, for /night/m.yaml")
    assert run_cli(["cache", "list", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    kinds = {entry["name"]: entry["kind"] for entry in data["entries"]}
    assert kinds == {
        "demo-0123456789ab": "model",
        **{f"derived/{name}": "concepts" for name in ("fresh", "idle", "orphan")},
        "derived/full": "copy",
        "derived/.tmp-2484y2td": "leftover",
        "derived/.K.0123456789abcdef.making": "leftover",
        "derived/.latentpress-tmp-0123": "leftover",
        "holiday photographs": "other",
        "verified": "notes",
        "calibration.json": "notes",
    }
    assert run_cli(["cache", "dir"]) == 0
    assert capsys.readouterr().out == f"{cache}\n"


def test_what_may_go_is_listed_and_goes_when_asked(cache, capsys):
    before = named(cache)
    reasons = prune(capsys)
    assert named(cache) == before, "only listed"
    assert reasons.keys() == {
        *("derived/idle", "derived/orphan", "derived/full", "derived/.tmp-2484y2td", "derived/.latentpress-tmp-0123"),
        "derived/.K.0123456789abcdef.making",
    }
    assert reasons["derived/idle"] == "not used for 40 days"
    assert reasons["derived/orphan"] == f"its bundle {cache.parent}/gone is gone"
    assert prune(capsys, "--yes") == reasons
    assert named(cache) == before - reasons.keys()
    assert [path.name for path in (cache / "verified").iterdir()] == ["a.json"]
    assert prune(capsys, "--yes", "--days", "1").keys() == {"derived/fresh", "demo-0123456789ab"}
    assert (cache / "holiday photographs/unet.onnx").exists()
    assert (cache.parent / "base/unet.onnx").exists()


def test_what_is_in_use_stays(cache, capsys):
    class User:
        pass

    user = User()
    used(cache / "derived/full", user)
    assert run_cli(["cache", "prune", "--yes"]) == 0
    assert (
        "of an earlier version; a small one takes its place when it is needed; in use, and kept"
        in capsys.readouterr().out
    )
    assert (cache / "derived/full").exists()
    del user
    assert "derived/full" in prune(capsys, "--yes")
    assert not (cache / "derived/full").exists()


def test_no_link_is_followed(cache, capsys):
    photographs = filled(cache.parent / "photographs")
    shutil.rmtree(cache / "derived")
    (cache / "derived").symlink_to(cache.parent)
    (cache / "demo-ffffffffffff").symlink_to(photographs)
    assert prune(capsys, "--yes", "--days", "0").keys() == {"demo-0123456789ab"}
    assert (photographs / "unet.onnx").exists()
    assert (cache.parent / "base/unet.onnx").exists()


def test_no_cache_is_an_empty_one(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("LATENTPRESS_CACHE", str(tmp_path / "none"))
    for command in (["list"], ["prune"], ["prune", "--yes"]):
        assert run_cli(["cache", *command]) == 0
        assert capsys.readouterr().out.startswith(f"{tmp_path}/none: 0.0 MiB")
    assert not (tmp_path / "none").exists()
