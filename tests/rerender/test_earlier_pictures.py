"""Pictures of earlier releases are proved too; what a rule draws otherwise today is named.

data/ledgers-version-3.tar.xz is described in tests/batch/test_earlier_ledgers.py; the ledgers name no bundle.
"""

import tarfile
from pathlib import Path

import pytest
import torch

from latentpress.cli import run_cli

DATA = Path(__file__).parent.parent / "data"


@pytest.fixture
def unpacked(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LATENTPRESS_CACHE", str(tmp_path / "cache"))
    for name in ("ledgers-version-3", "bundle-format-2"):
        with tarfile.open(DATA / f"{name}.tar.xz") as archive:
            archive.extractall(tmp_path, filter="data")
    return tmp_path


def test_pictures_that_name_no_content_are_proved(unpacked, capsys):
    # Not the one that a loss guides: torch's gradients differ in their last bits with its threads and the CPU.
    pictures = sorted(str(path) for path in Path("5bef550/out/kept").glob("*-*.png") if path.name != "pushed-6.png")
    assert len(pictures) == 8
    assert run_cli(["rerender", *pictures, "--manifest", "kept.yaml"]) == 0
    assert sorted(capsys.readouterr().out.splitlines()) == [f"{path}: equal to the pixel" for path in pictures]


def test_what_an_earlier_rule_drew_is_named(unpacked, capsys):
    """One prompt has a character that 05dd2c3 dropped."""
    pictures = [str(path) for path in Path("05dd2c3/out/names").glob("*.png")]
    assert run_cli(["rerender", *pictures, "--model", "bundle"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.endswith(": equal to the pixel") for line in lines) == 3
    [said] = [line for line in lines if ": differs: " in line]
    assert said.endswith("; it was drawn by an earlier rule: unassigned-characters (docs/rules.md)")


def test_a_concept_from_another_file_is_named(unpacked, capsys):
    torch.save({"<new>": torch.ones(16)}, "new.bin")
    picture = "5bef550/out/kept/new-4.png"
    assert run_cli(["rerender", picture, "--model", "bundle", "--concept", "<new>=new.bin"]) == 1
    said = capsys.readouterr().out
    assert said.startswith(f"{picture}: differs: ")
    assert "; concept <new> differs: the sha256 of its file was " in said
    assert said.count(";") == 1
    assert run_cli(["rerender", picture, "--model", "bundle"]) == 2
    assert "concept <new> (file" in capsys.readouterr().err
