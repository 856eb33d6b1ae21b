"""Every family at its true size: exported and called once, in a process of its own whose peak memory is the proof.

Gigabytes on disk and minutes each: `make test-full`. The checkpoints and bundles are removed again.
"""

import json
import shutil
import subprocess
import sys
from importlib.util import find_spec

import pytest
import torch

from latentpress.testing.full_size_checkpoint import build_full_size, build_full_size_lora

pytestmark = pytest.mark.full

# One export in a process of its own: prints the peak of resident memory, mapped files counted, in bytes.
EXPORT = """
import resource, sys
from pathlib import Path
from latentpress.export import export_bundle
loras = [(Path(file), 0.7) for file in sys.argv[4:]]
report = lambda line: print(line, flush=True)
export_bundle(Path(sys.argv[1]), Path(sys.argv[2]), [], precision=sys.argv[3], loras=loras, report=report)
print("peak", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""
# One call of the UNet as the runtime opens it.
CALL = """
import resource, sys
from pathlib import Path
import numpy as np
from latentpress.bundle.info import open_bundle
from latentpress.engines.choice import DEFAULT_ENGINE
from latentpress.engines.opening import open_session
from latentpress.bundle.inputs import example_inputs
bundle = open_bundle(Path(sys.argv[1]), verify=False)
found = open_session(bundle, "unet", DEFAULT_ENGINE).run(example_inputs(bundle.info, "unet", 1, (32, 32)))["noise_pred"]
assert found.shape == (1, 4, 32, 32) and np.isfinite(found).all()
print("peak", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


def run(code, *arguments):
    """The lines a process prints, and its peak memory in GB."""
    done = subprocess.run([sys.executable, "-c", code, *map(str, arguments)], stdout=subprocess.PIPE, text=True)
    assert done.returncode == 0
    *lines, peak = done.stdout.splitlines()
    return lines, int(peak.split()[1]) / 1e9


@pytest.mark.parametrize(
    ("family", "dtype", "precision", "gigabytes", "lora"),
    [
        ("sd1", torch.float32, "fp32", 5, False),
        ("sd2", torch.float32, "fp32", 5, False),
        ("sdxl", torch.float16, "fp16", 8, False),
        ("sdxl_refiner", torch.float16, "fp16", 8, False),
        # Every linear layer and convolution changed: made float32 beside the checkpoint they would be 13 GB more.
        ("sdxl", torch.float16, "fp16", 8, True),
    ],
)
def test_export_and_one_unet_call_fit_in_memory(family, dtype, precision, gigabytes, lora, tmp_path):
    try:
        checkpoint = build_full_size(tmp_path / "checkpoint", family, dtype=dtype)
        files = [build_full_size_lora(tmp_path / "lora.safetensors", family)] if lora else []
        lines, peak = run(EXPORT, checkpoint, tmp_path / "bundle", precision, *files)
        print(*lines, f"export of {family} in {precision}: peak {peak:.2f} GB", sep="\n")
        assert peak < gigabytes
        info = json.loads((tmp_path / "bundle" / "bundle.json").read_text())
        assert (info["loras"] != []) == lora
        assert {row["component"] for row in info["parity"]} >= {"unet", "vae_encoder", "vae_decoder"}
        assert all(row["relative"] <= row["bound"] for row in info["parity"])
        assert any("1x4x64x64" in row["shapes"] for row in info["parity"] if row["component"] == "unet")
        if precision == "fp32":
            _, peak = run(CALL, tmp_path / "bundle")
            print(f"one UNet call: peak {peak:.2f} GB")
            assert peak < gigabytes
    finally:
        shutil.rmtree(tmp_path)


# Exports for TensorRT-for-RTX and builds the engine of every component for RTX 40 cards, none of which is here.
BUILD = """
import resource, sys
from pathlib import Path
from latentpress.export import export_bundle
from latentpress.engines.build import EngineOrder, make_engines
from latentpress.bundle.info import open_bundle
from latentpress.engines.choice import parse_engine
from latentpress.engines.shapes import shape_profile
rtx, report = parse_engine("tensorrt-rtx"), lambda line: print(line, flush=True)
export_bundle(Path(sys.argv[1]), Path(sys.argv[2]), [], precision="fp16", engine=rtx, report=report)
bundle = open_bundle(Path(sys.argv[2]), verify=False)
make_engines(bundle, EngineOrder(rtx, shape_profile(bundle.info, 4), device="sm89"), report)
print("peak", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


@pytest.mark.skipif(
    not (find_spec("onnxruntime_ep_nv_tensorrt_rtx") and find_spec("tensorrt_rtx_bindings")),
    reason="the TensorRT-for-RTX builder is not installed; pip install '.[tensorrt-rtx]'; it needs no GPU",
)
def test_tensorrt_rtx_engines_are_built_without_a_gpu(tmp_path):
    try:
        checkpoint = build_full_size(tmp_path / "checkpoint", "sd1", dtype=torch.float16)
        lines, peak = run(BUILD, checkpoint, tmp_path / "bundle")
        print(*lines, f"export and engines: peak {peak:.2f} GB", sep="\n")
        engines = tmp_path / "bundle" / "engines" / "tensorrt-rtx-sm89"
        sizes = {file.stem: file.stat().st_size for file in engines.glob("*.engine")}
        assert sizes.keys() == {"text_encoder", "unet", "vae_encoder", "vae_decoder"}
        assert sizes["unet"] > 1.7e9, "860 million weights in float16"
    finally:
        shutil.rmtree(tmp_path)
