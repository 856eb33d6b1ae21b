"""Engines held to torch by the samples a bundle carries, and their rows to themselves."""

import numpy as np
import pytest
import torch

from latentpress.bundle import samples
from latentpress.engines import proof
from latentpress.engines.choice import parse_engine
from latentpress.engines.shapes import shape_profile
from latentpress.errors import ParityError

CPU = parse_engine("cpu")


class Leaky:
    """y = 2x, and `leak` of what a row's batch mates hold."""

    def __init__(self, leak):
        self.leak = leak

    def run(self, inputs):
        x = inputs["x"]
        return {"y": (x * 2 + self.leak * x.sum(axis=0, keepdims=True)).astype(np.float32)}


def test_rows_that_depend_on_their_mates_are_found():
    sample = samples.Sample("unet", {"x": np.arange(6, dtype=np.float32).reshape(3, 2) + 1}, {})
    clean = proof.row_test(Leaky(0.0), sample, CPU, (1, 2, 3))
    assert (clean.equal, clean.max_abs, clean.batches) == (True, 0.0, [1, 2, 3])
    leaky = proof.row_test(Leaky(1e-3), sample, CPU, (1, 2, 3))
    assert not leaky.equal
    assert 0 < leaky.max_abs < 1


def test_an_engine_is_proved_at_its_smallest_best_and_largest_batch(bundle):
    class Echo:
        def __init__(self):
            self.batches = []

        def run(self, inputs):
            self.batches.append(len(inputs["latents"]))
            return {"sample": inputs["latents"]}

    latents = np.random.default_rng(0).standard_normal((2, 4, 16, 16)).astype(np.float32)
    small = latents[:, :, :5, :5]
    right = [samples.Sample("vae_decoder", {"latents": x}, {"sample": x}) for x in (latents, small)]
    profile = shape_profile(bundle.info, 16, [(128, 128)])
    echo = Echo()
    parity, test = proof.prove(echo, bundle.info.decoder, right, "fp16", parse_engine("tensorrt"), profile)
    assert {row.shapes for row in parity} == {"latents 1x4x16x16", "latents 4x4x16x16"}, "the small one is out of range"
    assert all((row.relative, row.precision, row.bound) == (0, "fp32", 2e-2) for row in parity), "TF32 on a GPU"
    assert test is not None
    assert test.equal
    assert max(echo.batches) == 4
    wrong = [samples.Sample("vae_decoder", {"latents": latents}, {"sample": latents + 1})]
    with pytest.raises(ParityError, match="on cpu differs from torch"):
        proof.require_parity(proof.prove(Echo(), bundle.info.decoder, wrong, "fp32", CPU)[0])
    with np.errstate(invalid="ignore"):
        nan = proof.compare("unet", "y", "x 1", latents, latents * np.float32("nan"), 1e-3)
    with pytest.raises(ParityError, match="gives NaN or infinite values in fp32"):
        proof.require_parity([nan])


def test_samples_come_back_as_they_were_whatever_their_memory_order(bundle, tmp_path):
    from safetensors.numpy import save_file

    picture = torch.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5).float().to(memory_format=torch.channels_last).numpy()
    kept = samples.Sample("vae_encoder", {"sample": picture}, {"moments": picture[:, ::2]})
    save_file(samples.flatten([kept]), tmp_path / samples.FILE)
    (found,) = samples.read_samples(type(bundle)(tmp_path, bundle.info, ""), "vae_encoder")
    np.testing.assert_array_equal(found.inputs["sample"], picture)
    np.testing.assert_array_equal(found.outputs["moments"], picture[:, ::2])


def test_a_bundle_carries_its_own_proof(bundle):
    """Parity of every component, and the row test, as the export measured them; the samples give them again."""
    from latentpress.engines.opening import open_session

    assert {test.component for test in bundle.info.row_tests} == set(bundle.info.component_names)
    assert all(test.equal and test.engine == "cpu" for test in bundle.info.row_tests)
    for component in bundle.info.components:
        session = open_session(bundle, component.name, CPU)
        parity, _ = proof.prove(session, component, samples.read_samples(bundle, component.name), "fp32", CPU)
        stored = [row for row in bundle.info.parity if row.component == component.name]
        assert [(row.output, row.shapes) for row in parity] == [(row.output, row.shapes) for row in stored]
        assert all(row.relative <= 1e-3 for row in parity)
