"""Two exports of one checkpoint on unlike machines: other files, the same content, the same pixels."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import store
from latentpress.bundle.info import open_bundle
from latentpress.models import facts_of
from latentpress.runtime.render import Renderer
from latentpress.runtime.request import RenderRequest

# As on another computer: threads, the vector units that torch's own kernels, MKL, oneDNN and numpy use, the order of sets.
OTHERWISE = {
    "OMP_NUM_THREADS": "2",
    "ATEN_CPU_CAPABILITY": "default",
    "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
    "ONEDNN_MAX_CPU_ISA": "SSE41",
    "NPY_DISABLE_CPU_FEATURES": "X86_V4 X86_V3",
    "PYTHONHASHSEED": "7",
}

# The export with graphs that are not traced there: STORE HELPERS CHECKPOINT BUNDLE TRACED...
SCRIPT = """
import sys; from pathlib import Path; folder, helpers, checkpoint, bundle, *traced = sys.argv[1:]
sys.path.insert(0, helpers)
import store; from latentpress.cli import run_cli; from traces import shared_traces
store.FOLDER = Path(folder)
with shared_traces(but=traced):
    sys.exit(run_cli(["export", checkpoint, "-o", bundle]))
"""
GRAPHS = ("text_encoder", "unet", "vae_encoder", "vae_decoder")


@pytest.mark.parametrize("traced", [GRAPHS[:2], pytest.param(GRAPHS, marks=pytest.mark.full)], ids=len)
def test_another_machine_exports_the_same_content(traced, assets, bundle, tmp_path):
    """`traced` are those that the other machine traces; the autoencoder's graphs are among them in the full tier."""
    helpers = Path(store.__file__).parent
    command = [sys.executable, "-c", SCRIPT, str(store.FOLDER), str(helpers), str(assets / "checkpoint"), "other"]
    command += traced
    done = subprocess.run(command, cwd=tmp_path, env=os.environ | OTHERWISE, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    other = open_bundle(tmp_path / "other")
    assert not other.info.concepts, "those of the shared bundle are no part of its content"
    shared = other.info.files.keys() & bundle.info.files.keys()
    differing = {name for name in shared if other.info.files[name] != bundle.info.files[name]}
    assert "parity.safetensors" in differing, "torch's sums moved: the machines are unlike"
    facts = facts_of({"one": bundle, "other": other})
    assert facts["one"].hash != facts["other"].hash
    assert facts["one"].parts == facts["other"].parts
    assert facts["one"].content == facts["other"].content
    assert facts["one"].source == facts["other"].source
    request = RenderRequest("a mouse", 7, 64, 64, "euler", 2, 7.5)
    (one,), (two,) = (Renderer(each).render([(0, request)]) for each in (bundle, other))
    assert one.image is not None
    assert one.image.std() > 1, "a flat picture proves nothing"
    np.testing.assert_array_equal(one.image, two.image)
