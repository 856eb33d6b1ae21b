"""Bundles of format 2 open as they are; what a bundle lists of its components is all that anything asks about them.

data/bundle-format-2.tar.xz holds a bundle that commit b970d4e exported, the last before format 3, and the picture that
commit made of MANIFEST: a random checkpoint of width 16, its weights rounded to three values so that they compress, a
concept <old> of two vectors, and of its parity samples the smallest of each component; the exporter's notes of source
lines were taken out of its graphs.
"""

import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from latentpress.bundle.info import file_sha256, open_bundle
from latentpress.cli import run_cli
from latentpress.errors import BundleError
from latentpress.export.concepts import add_concepts
from latentpress.runtime.render import Renderer
from latentpress.runtime.request import RenderRequest

ARCHIVE = Path(__file__).parent.parent / "data" / "bundle-format-2.tar.xz"
MANIFEST = """\
version: 1
name: m
model: bundle
defaults: {prompt: a mouse in the style of <old>, steps: 3, size: 64x64, sampler: euler, seed: 7}
output: "one.png"
"""
# As commit b970d4e has it of this bundle.
BUNDLE_HASH = "619655ec4b4a4616fd5da0f9fec11c29d2770492f21205d2898bc3a1fcf7501c"
# Of the job on its content, for ever: what is computed of a bundle that records none must not change.
JOB_HASH = "5418078027cc89fd3c4d214aafb58b06631b090a448a114a2bda25f69e0372a1"


@pytest.fixture
def old(tmp_path, monkeypatch):
    """A folder with the bundle of format 2, the picture made of it, and m.yaml."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LATENTPRESS_CACHE", str(tmp_path / "cache"))
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="data")
    (tmp_path / "m.yaml").write_text(MANIFEST)
    return tmp_path


def rewritten(path, change):
    """The bundle.json of the bundle at `path`, after `change`."""
    data = json.loads((path / "bundle.json").read_text())
    change(data)
    (path / "bundle.json").write_text(json.dumps(data))


def test_a_bundle_of_format_2_renders_the_picture_it_rendered(old, capsys):
    assert run_cli(["plan", "m.yaml", "--json"]) == 0
    planned = json.loads(capsys.readouterr().out)
    assert planned["bundle"]["sha256"] == BUNDLE_HASH
    assert [job["job_hash"] for job in planned["jobs"]] == [JOB_HASH], "pictures made then are still done"
    assert run_cli(["render", "m.yaml", "-o", "out"]) == 0
    before, now = (np.asarray(Image.open(path), np.int16) for path in ("one.png", "out/one.png"))
    assert before.std() > 20, "a flat picture proves nothing"
    assert np.abs(now - before).max() <= 2, "another CPU rounds otherwise"


def test_its_components_are_those_that_an_export_lists_now(bundle, tmp_path):
    (tmp_path / "bundle").mkdir()
    data = bundle.info.model_dump(mode="json")
    data.update(format_version=2, files={})
    del data["components"]
    (tmp_path / "bundle/bundle.json").write_text(json.dumps(data))
    assert open_bundle(tmp_path / "bundle").info.components == bundle.info.components


def test_older_graphs_take_one_length_of_prompts(old):
    rewritten(old / "bundle", lambda data: data.update(any_prompt_length=False))
    shapes = {spec.name: spec.shape for spec in open_bundle(old / "bundle").info.denoiser.inputs}
    assert shapes["encoder_hidden_states"] == ["batch", 77, 16]


def test_a_concept_added_leaves_it_of_its_format(old):
    """Else a manifest that names concepts would make other jobs of all that was rendered with a copy of an old bundle."""
    import torch

    before = json.loads((old / "bundle/bundle.json").read_text())
    torch.save({"<new>": torch.ones(16)}, old / "new.bin")
    add_concepts(old / "bundle", [old / "new.bin"])
    after = json.loads((old / "bundle/bundle.json").read_text())
    assert after.keys() == before.keys()
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"concepts", "files"}
    opened = open_bundle(old / "bundle").info
    assert [component.name for component in opened.components] == [
        *("text_encoder", "unet", "vae_encoder", "vae_decoder")
    ]
    assert [concept.token for concept in opened.concepts] == ["<old>", "<new>"]


@pytest.mark.parametrize("version", [1, 4, None, "3"])
def test_other_formats_are_refused(version, old):
    rewritten(old / "bundle", lambda data: data.update(format_version=version))
    with pytest.raises(BundleError, match=r"format_version is .*, this latentpress reads 3; export the bundle again"):
        open_bundle(old / "bundle")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data.pop("components"), "components: Field required"),
        (lambda data: data["components"][1]["inputs"][0]["shape"].append("depth"), "components.1.inputs.0.shape.4"),
        (lambda data: data["components"][1].update(role="painter"), r"components\.1\.role"),
    ],
)
def test_components_that_nothing_here_knows_are_refused(change, message, bundle, tmp_path):
    (tmp_path / "bundle.json").write_bytes(bundle.file("bundle.json").read_bytes())
    rewritten(tmp_path, lambda data: data.update(files={}))
    rewritten(tmp_path, change)
    with pytest.raises(BundleError, match=message):
        open_bundle(tmp_path)


def test_no_name_of_a_component_means_anything(old):
    """Under other names the same graphs render the same picture: what they are, the bundle says."""
    request = RenderRequest("a mouse in the style of <old>", 7, 64, 64, "euler", 3, 7.5)
    path = old / "bundle"
    (right,) = Renderer(open_bundle(path)).render([(0, request)])
    info = open_bundle(path).info
    names = {"text_encoder": "clip", "unet": "transformer", "vae_encoder": "shrink", "vae_decoder": "grow"}
    for before, now in names.items():
        (path / f"{before}.onnx").rename(path / f"{now}.onnx")
    data = info.model_dump(mode="json") | {"format_version": 3}
    for component in data["components"]:
        component["name"] = names[component["name"]]
    for encoder in data["text_encoders"]:
        encoder["component"] = names[encoder["component"]]
    data["files"] = {name: file_sha256(path / name) for name in data["files"] if (path / name).exists()}
    (path / "bundle.json").write_text(json.dumps(data))
    (ours,) = Renderer(open_bundle(path)).render([(0, request)])
    assert right.image is not None
    np.testing.assert_array_equal(ours.image, right.image)
