"""Example inputs: those of the exported graphs, in the ranges of real ones, for every family's widths."""

from types import SimpleNamespace

import numpy as np
import onnxruntime
import pytest

from latentpress.bundle.components import AddedConditioning, stable_diffusion_components
from latentpress.bundle.inputs import example_inputs, input_shapes, output_shapes

TEXT = SimpleNamespace(component="text_encoder", hidden_size=8, layers=2, pooled_size=20)
XL = SimpleNamespace(
    max_tokens=77,
    cross_attention_dim=48,
    unet_in_channels=9,
    added_conditioning=AddedConditioning(pooled_size=20, time_ids=5),
    guidance_embedding=10,
    latent_channels=4,
    vae_scale_factor=8,
    scaling_factor=0.5,
)
XL.components = stable_diffusion_components(XL, [TEXT], "fp16")


def test_the_exported_graphs_take_them(bundle):
    for component in bundle.info.component_names:
        session = onnxruntime.InferenceSession(str(bundle.file(f"{component}.onnx")))
        given = example_inputs(bundle.info, component, 2, (5, 9))
        shapes = input_shapes(bundle.info, component, 2, (5, 9))
        assert {name: array.shape for name, array in given.items()} == shapes
        assert list(given) == [value.name for value in session.get_inputs()], "in the graph's order"
        found = dict(zip([value.name for value in session.get_outputs()], session.run(None, given), strict=True))
        assert all(np.isfinite(output).all() for output in found.values())
        assert {name: output.shape for name, output in found.items()} == output_shapes(
            bundle.info, component, 2, (5, 9)
        )


def test_they_are_as_large_as_real_ones():
    unet = example_inputs(XL, "unet", 4, (6, 10))
    assert unet["sample"].shape == (4, 9, 6, 10)
    assert unet["timestep"].tolist() == [999, 1, 401, 999]
    assert unet["encoder_hidden_states"].shape == (4, 77, 48)
    assert unet["text_embeds"].shape == (4, 20)
    assert unet["time_ids"].tolist() == [[48, 80, 0, 0, 48]] * 4
    assert unet["timestep_cond"].shape == (4, 10)
    np.testing.assert_allclose(unet["timestep_cond"][1], [0] * 5 + [1] * 5)  # of scale 1: sines and cosines of 0
    pixels = example_inputs(XL, "vae_encoder", 4, (6, 10))["sample"]
    assert pixels.shape == (4, 3, 48, 80)
    assert -1 <= pixels.min() < -0.99 < 0.99 < pixels.max() <= 1
    assert example_inputs(XL, "vae_decoder", 4, (6, 10))["latents"].std() == pytest.approx(1 / 0.5, rel=0.1)


def test_prompts_end_once_each_somewhere_else():
    ids = example_inputs(XL, "text_encoder", 3, (6, 10), 100, 99)["input_ids"]
    assert ids.dtype == np.int64
    assert (ids == 99).sum(1).tolist() == [1, 1, 1]
    ends = (ids == 99).argmax(1)
    assert len(set(ends)) == 3
    assert ends.min() >= 1
    assert len(np.unique(ids)) > 50, "drawn from the whole vocabulary"
    assert not example_inputs(XL, "text_encoder", 3, (6, 10))["input_ids"].any()


def test_the_same_call_gives_the_same_arrays():
    first, second = (example_inputs(XL, "unet", 2, (6, 10)) for _ in range(2))
    assert all(np.array_equal(first[name], second[name]) for name in first)
    assert not np.array_equal(first["text_embeds"], example_inputs(XL, "unet", 2, (6, 11))["text_embeds"])
