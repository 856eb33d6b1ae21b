"""Two exports of one checkpoint on unlike machines: other files, the same content, the same pixels."""

import os
import subprocess
import sys

import numpy as np

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


def test_another_machine_exports_the_same_content(assets, bundle, tmp_path):
    command = [sys.executable, "-m", "latentpress", "export", str(assets / "checkpoint"), "-o", "other"]
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
