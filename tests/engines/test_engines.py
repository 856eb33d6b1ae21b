"""Engines without a GPU: what is asked for, the shapes and batches they are built for, what a session's buffers give."""

import numpy as np
import onnxruntime
import pytest

from latentpress.engines.batching import BucketedSession, buckets_up_to
from latentpress.engines.choice import check_choice, engine_of, parse_engine, parse_precision
from latentpress.engines.engine import provider_of
from latentpress.engines.onnxruntime_gpu import BoundSession
from latentpress.engines.shapes import Span, parse_profile, shape_profile
from latentpress.errors import UsageError

CPU = parse_engine("cpu")


class Doubling:
    """y = 2x, and a note of the batches it was called with."""

    def __init__(self):
        self.batches = []

    def run(self, inputs):
        self.batches.append(len(inputs["x"]))
        return {"y": inputs["x"] * 2}


@pytest.mark.parametrize("text", ["cpu", "openvino", "openvino:bf16", "cuda", "tensorrt", "tensorrt-rtx"])
def test_an_engine_is_what_it_is_called(text):
    assert str(parse_engine(text)) == text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("tensort", "did you mean 'tensorrt'?"),
        ("gpu", "it must be one of cpu, openvino, cuda, tensorrt, tensorrt-rtx"),
        ("cuda:fp16", "cuda takes no precision 'fp16'"),
    ],
)
def test_an_unknown_engine_gets_a_sentence(text, said):
    with pytest.raises(UsageError, match="engine") as caught:
        parse_engine(text)
    assert said in str(caught.value)


def test_a_precision_an_engine_cannot_compute_in_is_refused():
    assert parse_precision("bf16", parse_engine("openvino")) == "bf16"
    with pytest.raises(UsageError, match="precision 'int8' is unknown"):
        parse_precision("int8")
    with pytest.raises(UsageError, match="use --engine openvino"):
        parse_precision("bf16", CPU)
    with pytest.raises(UsageError, match="no bfloat16 kernels for GroupNorm and Resize; use --precision fp16"):
        parse_precision("bf16", parse_engine("cuda"))
    assert parse_precision("bf16", parse_engine("tensorrt")) == "bf16"


def test_graphs_go_to_the_engines_they_are_made_for(bundle):
    info = bundle.info
    assert engine_of(info) == CPU
    fused = info.model_copy(update={"flavour": "cuda", "engine": "cuda"})
    assert engine_of(fused).name == "cuda"
    with pytest.raises(UsageError, match="export the checkpoint again with --engine cpu"):
        check_choice(fused, CPU)
    rounded = info.model_copy(update={"precision": "bf16"})
    for engine in ("cpu", "cuda"):
        with pytest.raises(UsageError, match=r"exported in bf16, and ONNX Runtime's .* provider has no bfloat16"):
            check_choice(rounded, parse_engine(engine))
    check_choice(rounded, parse_engine("tensorrt"))


def test_a_profile_says_the_smallest_best_and_largest_shape_of_every_input(bundle):
    profile = shape_profile(bundle.info, 16, [(128, 128), (192, 64)])
    assert profile.inputs("unet") == {
        "sample": ((1, 4, 16, 8), (8, 4, 16, 16), (16, 4, 24, 16)),
        "timestep": ((1,), (8,), (16,)),
        "encoder_hidden_states": ((1, 77, 64), (8, 77, 64), (16, 77, 64)),
    }
    assert profile.inputs("text_encoder") == {"input_ids": ((1, 77), (1, 77), (1, 77))}
    assert profile.inputs("vae_decoder")["latents"] == ((1, 4, 16, 8), (4, 4, 16, 16), (4, 4, 24, 16))
    assert profile.inputs("vae_encoder")["sample"] == ((1, 3, 128, 64), (1, 3, 128, 128), (1, 3, 192, 128))
    assert parse_profile(bundle.info, str(profile)) == profile
    assert parse_profile(bundle.info, "anything").rows == Span(1, 1, 1)


def test_the_graphs_inputs_are_those_of_the_profile(bundle):
    profile = shape_profile(bundle.info)
    for component in bundle.info.component_names:
        session = onnxruntime.InferenceSession(str(bundle.file(f"{component}.onnx")))
        wanted = profile.inputs(component)
        assert {value.name for value in session.get_inputs()} == wanted.keys()
        for value in session.get_inputs():
            fixed = [(size, axis) for axis, size in enumerate(value.shape) if isinstance(size, int)]
            assert all(wanted[value.name][1][axis] == size for size, axis in fixed)


def test_sdxl_profiles_reach_down_to_the_samples_and_hold_the_added_conditioning(bundle):
    from latentpress.bundle.components import AddedConditioning, TensorSpec, stable_diffusion_components

    wide = {"default_size": (1024, 1024), "added_conditioning": AddedConditioning(pooled_size=80, time_ids=6)}
    # Components that are listed keep the input of a distilled UNet when they are listed again.
    told = [TensorSpec(name="timestep_cond", shape=["batch", 256])]
    unet = bundle.info.denoiser.model_copy(update={"inputs": [*bundle.info.denoiser.inputs, *told]})
    info = bundle.info.model_copy(update={**wide, "components": [unet]})
    listed = stable_diffusion_components(info, info.text_encoders, "fp32")
    profile = shape_profile(info.model_copy(update={"components": listed}))
    assert profile.inputs("unet")["timestep_cond"] == ((1, 256), (8, 256), (16, 256))
    assert profile.height == Span(64, 128, 128)
    assert profile.inputs("unet")["time_ids"] == ((1, 6), (8, 6), (16, 6))


@pytest.mark.parametrize(
    ("rows", "sizes", "said"), [(16, [(500, 512)], "--size 512x500: both sides"), (1, [], "at least 2")]
)
def test_a_profile_that_cannot_be_gets_a_sentence(bundle, rows, sizes, said):
    with pytest.raises(UsageError, match=said):
        shape_profile(bundle.info, rows, sizes)


def test_batches_come_in_few_sizes_and_out_whole():
    assert buckets_up_to(16) == [1, 2, 3, 4, 6, 8, 12, 16]
    assert buckets_up_to(5) == [1, 2, 3, 4, 5]
    inner = Doubling()
    session = BucketedSession(inner, buckets_up_to(8))
    for rows in range(1, 21):
        x = np.arange(rows, dtype=np.float32)[:, None]
        np.testing.assert_array_equal(session.run({"x": x})["y"], 2 * x)
    assert set(inner.batches) <= {1, 2, 3, 4, 6, 8}


def test_bound_buffers_give_what_a_plain_run_gives(bundle):
    """IO binding on ordinary memory: the same code as on a GPU, where only the device's name differs."""
    session = onnxruntime.InferenceSession(str(bundle.file("unet.onnx")))
    bound = BoundSession(session, None, parse_engine("cuda"), graphs=True, device="cpu")
    generator = np.random.default_rng(0)
    for rows in (2, 1, 2, 2):
        inputs = {
            "sample": generator.standard_normal((rows, 4, 8, 8), dtype=np.float32),
            "timestep": generator.uniform(0, 999, rows).astype(np.float32),
            "encoder_hidden_states": generator.standard_normal((rows, 77, 64), dtype=np.float32),
        }
        found = bound.run(inputs)["noise_pred"]
        np.testing.assert_array_equal(found, session.run(None, inputs)[0])
    kept = list(bound._bound.values())
    assert [entry.graph_id for entry in kept] == ["1", "2"], "a graph for each shape"
    assert provider_of(bound) == "onnxruntime-cuda-graphs"
