"""Renders without a loss in a process that has no PyTorch, diffusers, transformers or OpenCV to import."""

import importlib.util
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from families import mask_file, picture_file
from latentpress.cli import run_cli

BLOCKED = ("torch", "torchvision", "torchsde", "cv2", "diffusers", "transformers", "accelerate")
# Every mode of a bundle without a refiner; draws afresh, and along a Brownian path; weighted and long prompts.
MANIFEST = """\
version: 1
name: without
model: {bundle}
defaults: {{prompt: a mouse in the style of <moeb-style>, size: 72x80, steps: 2, sampler: euler_a}}
jobs:
  - {{id: text, seed: 1}}
  - {{id: path, seed: 2, sampler: dpmpp_sde_karras}}
  - {{id: weighted, seed: 3, prompt: "a (mouse:1.3), BREAK, cheese", prompt_weighting: a1111, long_prompts: chunks}}
  - {{id: image, seed: 4, init_image: picture.png}}
  - {{id: mask, seed: 5, init_image: picture.png, mask_image: mask.png}}
{more}output: "{{id}}.png"
"""
GUIDED = "  - {id: guided, seed: 6, loss: canny}\n"
IDS = ("text", "path", "weighted", "image", "mask")

CHILD = f"""\
import sys
sys.modules |= dict.fromkeys({BLOCKED!r})
from latentpress.cli import run_cli
sys.exit(run_cli(sys.argv[1:]))
"""


def without_torch(*arguments):
    return subprocess.run([sys.executable, "-c", CHILD, *map(str, arguments)], capture_output=True, text=True)


@pytest.fixture
def manifest(tmp_path, monkeypatch, assets):
    """manifest(more) is the file, with `more` jobs."""
    monkeypatch.setenv("LATENTPRESS_CACHE", str(tmp_path / "cache"))
    picture_file(tmp_path)
    mask_file(tmp_path)
    bundle = shutil.copytree(assets / "bundle", tmp_path / "bundle")  # a strict render records what it tested

    def write(more=""):
        path = tmp_path / "without.yaml"
        path.write_text(MANIFEST.format(bundle=bundle, more=more))
        return path

    return write


def pixels(path):
    with Image.open(path) as picture:
        return np.asarray(picture)


@pytest.mark.parametrize(
    "engine",
    [
        "cpu",
        pytest.param(
            "openvino",
            marks=pytest.mark.skipif(
                not importlib.util.find_spec("openvino"),
                reason="OpenVINO is not installed; pip install '.[openvino]'",
            ),
        ),
    ],
)
def test_a_render_without_a_loss_needs_no_torch(manifest, tmp_path, engine):
    file = manifest()
    planned = without_torch("plan", file)
    assert planned.returncode == 0, planned.stderr
    rendered = without_torch("render", file, "-o", tmp_path / "without", "--engine", engine)
    assert rendered.returncode == 0, rendered.stderr
    assert run_cli(["render", str(file), "-o", str(tmp_path / "with"), "--engine", engine]) == 0
    for name in IDS:
        ours = pixels(tmp_path / "without" / f"{name}.png")
        assert ours.std() > 5, "a picture, not a blank"
        np.testing.assert_array_equal(ours, pixels(tmp_path / "with" / f"{name}.png"))


def test_a_strict_render_needs_none_either(manifest, tmp_path):
    rendered = without_torch("render", manifest(), "-o", tmp_path / "strict", "--strict")
    assert rendered.returncode == 0, rendered.stderr


def test_a_loss_needs_torch_and_says_so(manifest, tmp_path):
    rendered = without_torch("render", manifest(GUIDED), "-o", tmp_path / "guided")
    assert rendered.returncode == 3
    assert "package torch is missing; pip install latentpress adds it" in rendered.stderr
    assert "Traceback" not in rendered.stderr
