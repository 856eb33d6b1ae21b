"""OpenVINO on the CPU, held to torch and to ONNX Runtime: in float32, and in bfloat16 where the CPU has it."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from compare import psnr
from latentpress.bundle.samples import read_samples
from latentpress.engines import openvino as sessions
from latentpress.engines.choice import parse_engine
from latentpress.engines.devices import cpu_has_bf16
from latentpress.engines.engine import provider_of
from latentpress.engines.opening import open_session
from latentpress.engines.proof import prove
from latentpress.errors import EnvironmentFailure
from latentpress.runtime.render import Renderer
from latentpress.runtime.request import RenderRequest

installed = pytest.mark.skipif(
    not __import__("importlib.util").util.find_spec("openvino"),
    reason="OpenVINO is not installed; pip install '.[openvino]'",
)
bf16 = pytest.mark.skipif(not cpu_has_bf16(), reason="this CPU has no bfloat16 units (avx512_bf16 or amx_bf16)")
REQUEST = RenderRequest(
    prompt="a mouse in the style of <moeb-style>",
    seed=7,
    height=128,
    width=96,
    sampler="ddim",
    steps=6,
    guidance_scale=5,
)


def picture(bundle, engine):
    renderer = Renderer(bundle, engine=parse_engine(engine), threads=1)
    (rendered,) = renderer.render([("one", REQUEST)])
    assert rendered.error is None
    return renderer.provider, rendered.image


@installed
def test_float32_is_torchs(bundle, reference_pipeline):
    generator = torch.Generator().manual_seed(5)
    inputs = {
        "sample": torch.randn(3, 4, 12, 9, generator=generator),
        "timestep": torch.tensor([3.0, 512.25, 999.0]),
        "encoder_hidden_states": torch.randn(3, 77, bundle.info.cross_attention_dim, generator=generator),
    }
    with torch.no_grad():
        expected = reference_pipeline.unet(*inputs.values()).sample.numpy()
    session = open_session(bundle, "unet", parse_engine("openvino"), threads=1)
    found = session.run({name: value.numpy() for name, value in inputs.items()})["noise_pred"]
    assert provider_of(session) == "openvino-f32"
    np.testing.assert_allclose(found, expected, atol=1e-4)


@installed
@pytest.mark.parametrize("engine", ["openvino", pytest.param("openvino:bf16", marks=bf16)])
def test_every_component_is_within_its_bound_and_keeps_its_rows(engine, bundle):
    choice = parse_engine(engine)
    for component in bundle.info.component_names:
        session = open_session(bundle, component, choice, threads=1)
        parity, rows = prove(session, bundle.info.component(component), read_samples(bundle, component), "fp32", choice)
        assert parity
        assert all(row.relative <= row.bound == (8e-2 if choice.precision else 1e-3) for row in parity)
        assert rows is not None
        assert rows.equal, "docs/engines.md says so; if another CPU differs, the record must say it, not the promise"


@installed
def test_a_calls_outputs_outlive_the_next_call(bundle):
    session = open_session(bundle, "vae_decoder", parse_engine("openvino"), threads=1)
    latents = np.random.default_rng(0).standard_normal((2, 1, 4, 8, 8)).astype(np.float32)
    first = session.run({"latents": latents[0]})["sample"]
    kept = first.copy()
    assert not np.array_equal(session.run({"latents": latents[1]})["sample"], kept)
    np.testing.assert_array_equal(first, kept)


@installed
@pytest.mark.parametrize(("engine", "least"), [("openvino", 60), pytest.param("openvino:bf16", 20, marks=bf16)])
def test_pictures_are_those_of_onnx_runtime(engine, least, bundle):
    provider, found = picture(bundle, engine)
    assert provider.startswith("openvino")
    _, expected = picture(bundle, "cpu")
    assert psnr(found, expected) >= least


def test_without_the_package_the_install_line_is_named(bundle, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(EnvironmentFailure, match=r"pip install 'latentpress\[openvino\]'"):
        open_session(bundle, "unet", parse_engine("openvino"))


def test_a_cpu_without_bfloat16_is_told_so(bundle, monkeypatch):
    class Core:
        def get_property(self, device, name):
            return ["FP32", "INT8"]

    monkeypatch.setattr(sessions, "openvino_core", Core)
    with pytest.raises(EnvironmentFailure, match="no bfloat16 units"):
        open_session(bundle, "unet", parse_engine("openvino:bf16"))


TWO = """
import faulthandler, signal, sys
from pathlib import Path
from latentpress.engines.openvino import OpenVinoSession

faulthandler.enable()
one, other = (OpenVinoSession(Path(sys.argv[1]), threads=1) for _ in range(2))
del one
del other
signal.signal(signal.SIGINT, lambda *_: print("handled"))
signal.raise_signal(signal.SIGINT)
"""


@installed
def test_a_signal_is_handled_after_two_sessions_have_ended_in_the_order_in_which_they_began(bundle):
    """Each Core of OpenVINO's puts back, as it ends, the stack for signals that it found, freed or not: SIGSEGV."""
    ran = subprocess.run([sys.executable, "-c", TWO, bundle.file("vae_decoder.onnx")], capture_output=True, text=True)
    assert (ran.returncode, ran.stdout) == (0, "handled\n"), ran.stderr
