"""A manifest's `concepts`: a file, a folder, two files, each with its sha256."""

import os
import subprocess

import pytest

from latentpress.bundle.info import file_sha256
from latentpress.errors import ManifestError
from latentpress.manifest.manifest import read_manifest

HEAD = "version: 1\nmodel: demo\ndefaults: {prompt: a mouse}\n"


@pytest.fixture
def read(tmp_path, monkeypatch):
    """read(text): the manifest with these `concepts`, among the files that a folder of diffusers' SDXL script has."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "xl").mkdir()
    for name in ("learned_embeds.safetensors", "learned_embeds_2.safetensors", "learned_embeds-steps-500.safetensors"):
        (tmp_path / "xl" / name).write_text(name)
    (tmp_path / "library").mkdir()
    (tmp_path / "library/learned_embeds.bin").write_text("vectors")
    os.mkfifo(tmp_path / "pipe")

    def run(text):
        (tmp_path / "m.yaml").write_text(f"{HEAD}concepts: {text}\n")
        return read_manifest("m.yaml").concepts

    return run


def test_a_folder_is_its_file_or_its_two(read, tmp_path):
    (library,) = read("{<x>: library}")
    assert [file.name for file in library.files] == ["learned_embeds.bin"]
    assert library.sha256 == file_sha256(tmp_path / "library/learned_embeds.bin")
    names = ["learned_embeds.safetensors", "learned_embeds_2.safetensors"]
    for text in ("{<x>: xl}", "{<x>: [xl/%s, xl/%s]}" % (*names,), "{<x>: {file: [xl/%s, xl/%s]}}" % (*names[::-1],)):  # noqa: UP031
        (pair,) = read(text)
        assert sorted(file.name for file in pair.files) == names
        shell = "sha256sum xl/learned_embeds.safetensors xl/learned_embeds_2.safetensors | cut -c-64 | sort | sha256sum"
        assert pair.sha256 == subprocess.run(shell, shell=True, capture_output=True, text=True, check=True).stdout[:64]
    (same,) = read("{<x>: {file: xl, sha256: %s}}" % pair.sha256)  # noqa: UP031
    assert same.sha256 == pair.sha256
    (spaced,) = read("{<Some Artist>: library}")
    assert spaced.token == "<Some Artist>"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{<x>: [a, b, c]}", "m.yaml:4:17: concept <x> has 3 files; write one, or two for SDXL's two text encoders"),
        ("{<x>: [xl/gone, library]}", "m.yaml:4:17: concept file xl/gone of <x> does not exist"),
        ("{<x>: .}", "m.yaml:4:17: .: no learned_embeds.safetensors or .bin in this folder"),
        ("{<x>: pipe}", "m.yaml:4:17: pipe: it is a named pipe, not a regular file"),
        ("{<x>: /dev/zero}", "m.yaml:4:17: /dev/zero: it is a device, not a regular file"),
        ("{<x>: {file: xl, sha256: %s}}" % ("0" * 64), "concept file xl has sha256"),
        ("{' <x>': library}", "m.yaml:4:12: concept token ' <x>' must be text as prompts hold it"),
    ],
)
def test_what_is_no_concept_is_refused_at_its_place(read, text, says):
    with pytest.raises(ManifestError) as caught:
        read(text)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
