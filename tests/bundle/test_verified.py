"""What is hashed and when: nothing to show a bundle, each file once before it renders, and again once it changed."""

import json
import os
import shutil

import pytest

from latentpress.bundle import verified
from latentpress.bundle.verified import remember, stamp
from latentpress.cli import run_cli
from latentpress.export import demo

MANIFEST = "version: 1\nname: m\nmodel: bundle\ndefaults: {prompt: a mouse, steps: 1, size: 64x64, sampler: ddim}\n"


@pytest.fixture
def own(assets, tmp_path, monkeypatch):
    """A folder with a bundle of one's own, m.yaml on it, and an empty cache."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LATENTPRESS_CACHE", str(tmp_path / "cache"))
    shutil.copytree(assets / "bundle", tmp_path / "bundle")
    (tmp_path / "m.yaml").write_text(MANIFEST)
    return tmp_path


@pytest.fixture
def hashed(monkeypatch):
    """The names of the bundle's files that were hashed, in order; cleared by the reader."""
    names = []

    def counted(path, real=verified.file_sha256):
        names.append(path.name)
        return real(path)

    monkeypatch.setattr(verified, "file_sha256", counted)
    return names


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


@pytest.mark.parametrize(
    "command", [["plan", "m.yaml"], ["status", "m.yaml"], ["inspect", "bundle"], ["concepts", "list", "bundle"]]
)
def test_showing_seven_gigabytes_hashes_small_files_at_most(command, own, hashed, capsys):
    data = json.loads((own / "bundle/bundle.json").read_text())
    data["files"]["large.onnx.data"] = "0" * 64
    (own / "bundle/bundle.json").write_text(json.dumps(data))
    with (own / "bundle/large.onnx.data").open("wb") as stream:
        stream.truncate(7 << 30)
    assert run_cli(command) == 0
    assert "large.onnx.data" not in hashed
    assert bool(hashed) == (command[0] in ("plan", "status")), "what a render would refuse is told before"
    (own / "bundle/large.onnx.data").unlink()
    assert run_cli(command) == 2, "it must be there"
    assert "large.onnx.data: cannot be read (No such file or directory)" in capsys.readouterr().err


def test_a_render_hashes_each_file_once_and_a_changed_one_again(own, hashed, bundle):
    assert run_cli(["render", "m.yaml"]) == 0
    assert sorted(hashed) == sorted(name.rpartition("/")[2] for name in bundle.info.files)
    hashed.clear()
    assert run_cli(["render", "m.yaml"]) == 0
    assert hashed == []
    (own / "bundle/unet.onnx").touch()
    assert run_cli(["render", "m.yaml"]) == 0
    assert hashed == ["unet.onnx"]
    assert run_cli(["render", "m.yaml"]) == 0
    assert hashed == ["unet.onnx"]


@pytest.mark.parametrize("hides", [False, True])
def test_the_next_render_finds_a_flipped_byte(hides, own, capsys):
    """Also where whoever flipped it gave the file its old time."""
    assert run_cli(["render", "m.yaml"]) == 0
    before = (own / "bundle/unet.onnx").stat()
    flip(own / "bundle/unet.onnx")
    if hides:
        os.utime(own / "bundle/unet.onnx", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert run_cli(["status", "m.yaml"]) == 0
    capsys.readouterr()
    assert run_cli(["render", "m.yaml"]) == 2
    assert "m.yaml:3:8: bundle/unet.onnx: sha256 is" in capsys.readouterr().err
    assert run_cli(["render", "m.yaml"]) == 2, "what was wrong is not remembered"
    flip(own / "bundle/unet.onnx")
    assert run_cli(["render", "m.yaml"]) == 0


def test_a_plan_tells_by_its_size_that_a_large_graph_is_cut(own, hashed, monkeypatch, capsys):
    """By the size that bundle.json says, or of a bundle that says none, by the one that it had when it was hashed."""
    monkeypatch.setattr(verified, "GLANCED", 1 << 10)
    assert run_cli(["render", "m.yaml"]) == 0
    with (own / "bundle/unet.onnx").open("r+b") as stream:
        stream.truncate(2000)
    for sizes in (True, False):
        data = json.loads((own / "bundle/bundle.json").read_text())
        assert data.pop("sizes", None) if sizes else True
        hashed.clear()
        assert run_cli(["plan", "m.yaml", "-o", f"out{sizes}"]) == 2
        planned = capsys.readouterr().err
        assert "m.yaml:3:8: bundle/unet.onnx: has 2000 bytes, and was exported with " in planned
        assert hashed == []
        assert run_cli(["render", "m.yaml", "-o", f"out{sizes}"]) == 2
        assert capsys.readouterr().err.splitlines()[-1] == planned.splitlines()[-1]
        (own / "bundle/bundle.json").write_text(json.dumps(data))


def test_a_full_check_asks_no_memory(own, hashed, bundle, capsys):
    assert run_cli(["inspect", "bundle", "--verify"]) == 0
    count = len(bundle.info.files)
    assert f"verified: {count} files" in capsys.readouterr().out
    assert len(hashed) == count
    assert run_cli(["inspect", "bundle", "--verify", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["verified"] is True
    assert len(hashed) == 2 * count
    assert run_cli(["render", "m.yaml"]) == 0
    assert len(hashed) == 2 * count, "what it found right counts for a render"
    # As on a failing disk, where the file system knows of no change.
    flip(own / "bundle/unet.onnx")
    facts = {name: stamp(right, (own / "bundle" / name).stat()) for name, right in bundle.info.files.items()}
    remember(own / "cache", own / "bundle", facts)
    assert run_cli(["inspect", "bundle"]) == 0
    assert run_cli(["inspect", "bundle", "--verify"]) == 2
    assert "unet.onnx: sha256 is" in capsys.readouterr().err


@pytest.mark.parametrize("damage", ["unwritable", "torn"])
def test_a_cache_that_is_of_no_use_costs_only_time(damage, own, hashed, bundle):
    if damage == "unwritable":
        (own / "cache").write_text("a file where the folder should be")
    for _ in range(2):
        assert run_cli(["render", "m.yaml", "--batch-rows", "2"]) == 0
        for file in (own / "cache").glob("verified/*"):
            file.write_text('{"files": [')
    assert len(hashed) == 2 * len(bundle.info.files)


def test_demo_is_a_name_wherever_a_bundle_is_asked_for(own, assets, monkeypatch, capsys):
    monkeypatch.setattr(demo, "export_demo", lambda path: shutil.copytree(assets / "bundle", path))
    for command in (["inspect", "demo"], ["concepts", "list", "demo"], ["engines", "demo"]):
        assert run_cli(command) == 0
    said = capsys.readouterr().out
    assert all(words in said for words in ("checkpoint: sd1", "<moeb-style>  2 vectors", "no engines yet"))
    assert len(list((own / "cache").glob("demo-*"))) == 1
    assert run_cli(["concepts", "add", "demo", "new.bin"]) == 2
    assert "`latentpress export demo -o BUNDLE`" in capsys.readouterr().err
