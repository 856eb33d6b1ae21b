"""Engines without a GPU: what is asked for, shapes, buckets, keys that go stale, options, proofs, the machine's report."""

import json

import numpy as np
import onnxruntime
import pytest
import torch

from latentpress.errors import BundleError, EnvironmentFailure, ParityError, UsageError
from latentpress.runtime.engines import cuda, devices, proof, samples, tensorrt, tensorrt_rtx
from latentpress.runtime.engines.buckets import BucketedSession, buckets_up_to
from latentpress.runtime.engines.choice import EngineChoice, check_choice, engine_of, parse_engine, parse_precision
from latentpress.runtime.engines.doctor import Machine, findings
from latentpress.runtime.engines.gpu import BoundSession
from latentpress.runtime.engines.keys import engine_key
from latentpress.runtime.engines.records import EngineRecord, engine_folder, read_record, require_engine, write_record
from latentpress.runtime.engines.shapes import ShapeProfile, Span, components, parse_profile, shape_profile

CPU = EngineChoice("cpu")


class Doubling:
    """y = 2x, and a note of the batches it was called with; `leak` is what a row takes from its batch mates."""

    provider = "doubling"

    def __init__(self, leak=0.0):
        self.leak = leak
        self.batches = []

    def run(self, inputs):
        x = inputs["x"]
        self.batches.append(len(x))
        return {"y": (x * 2 + self.leak * x.sum(axis=0, keepdims=True)).astype(np.float32)}


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
    for component in components(bundle.info):
        session = onnxruntime.InferenceSession(str(bundle.file(f"{component}.onnx")))
        wanted = profile.inputs(component)
        assert {value.name for value in session.get_inputs()} == wanted.keys()
        for value in session.get_inputs():
            fixed = [(size, axis) for axis, size in enumerate(value.shape) if isinstance(size, int)]
            assert all(wanted[value.name][1][axis] == size for size, axis in fixed)


def test_sdxl_profiles_reach_down_to_the_samples_and_hold_the_added_conditioning(bundle):
    from latentpress.runtime.bundle import AddedConditioning

    wide = {"default_size": (1024, 1024), "added_conditioning": AddedConditioning(pooled_size=80, time_ids=6)}
    profile = shape_profile(bundle.info.model_copy(update=wide))
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


def small_key(bundle, **changes):
    profile = shape_profile(bundle.info)
    return engine_key(bundle, "unet", parse_engine("tensorrt"), device="NVIDIA H200 sm90", profile=profile) | changes


@pytest.mark.parametrize(
    "part", sorted(["graph", "engine", "provider", "device", "driver", "precision", "shapes", "options"])
)
def test_every_part_of_a_key_makes_an_engine_stale(part, bundle, tmp_path):
    key = small_key(bundle)
    assert part in key
    assert len(key) == 8
    folder = tmp_path / "b" / "engines" / "tensorrt-sm90"
    write_record(folder, EngineRecord(component="unet", key=key))
    assert require_engine(folder, "unet", key, built_for="here").key == key
    with pytest.raises(BundleError, match="the engine is stale") as caught:
        require_engine(folder, "unet", key | {part: "another"}, built_for="here")
    assert "is now another" in str(caught.value)
    assert f"latentpress engines {tmp_path / 'b'} --engine tensorrt --rebuild" in str(caught.value)


def test_an_engine_of_another_concept_set_or_device_is_stale(bundle):
    other = bundle.info.model_copy(update={"files": {**bundle.info.files, "unet.onnx": "0" * 64}})
    changed = type(bundle)(bundle.path, other, "")
    assert small_key(changed)["graph"] != small_key(bundle)["graph"]


def test_an_engine_that_is_missing_or_damaged_gets_its_sentence(bundle, tmp_path):
    folder = tmp_path / "b" / "engines" / "tensorrt-rtx-sm89"
    key = small_key(bundle)
    with pytest.raises(BundleError, match="holds no engine of unet for an RTX 4090") as caught:
        require_engine(folder, "unet", key, built_for="an RTX 4090")
    assert "--engine tensorrt-rtx --device sm89 --rebuild" in str(caught.value)
    folder.mkdir(parents=True)
    (folder / "unet.engine").write_bytes(b"engine")
    from latentpress.runtime.bundle import file_sha256

    files = {"unet.engine": file_sha256(folder / "unet.engine")}
    write_record(folder, EngineRecord(component="unet", key=key, files=files))
    require_engine(folder, "unet", key, built_for="here")
    (folder / "unet.engine").write_bytes(b"engina")
    with pytest.raises(BundleError, match="not the file that was built"):
        require_engine(folder, "unet", key, built_for="here")
    (folder / "unet.json").write_text("{")
    with pytest.raises(BundleError, match="cannot be read"):
        read_record(folder, "unet")
    outside = {"../../bundle.json": "0"}
    write_record(folder, EngineRecord(component="unet", key=key, files=outside))
    with pytest.raises(BundleError, match="not the file that was built"):
        require_engine(folder, "unet", key, built_for="here")


def test_folders_name_engine_and_device(bundle):
    assert engine_folder(bundle, "openvino:bf16", "cpu").name == "openvino-bf16"
    assert engine_folder(bundle, "tensorrt-rtx", "sm120").name == "tensorrt-rtx-sm120"


# The options that onnxruntime-gpu 1.31.1's libraries know, read from libonnxruntime_providers_{cuda,tensorrt}.so.
CUDA_KNOWS = {
    "device_id",
    "user_compute_stream",
    "arena_extend_strategy",
    "cudnn_conv_algo_search",
    "enable_cuda_graph",
}
CUDA_KNOWS |= {"cudnn_conv_use_max_workspace", "prefer_nhwc", "use_tf32", "do_copy_in_default_stream", "gpu_mem_limit"}
TENSORRT_KNOWS = {
    "device_id",
    "user_compute_stream",
    "trt_fp16_enable",
    "trt_bf16_enable",
    "trt_layer_norm_fp32_fallback",
}
TENSORRT_KNOWS |= {f"trt_profile_{corner}_shapes" for corner in ("min", "opt", "max")}
TENSORRT_KNOWS |= {
    "trt_engine_cache_enable",
    "trt_engine_cache_path",
    "trt_engine_cache_prefix",
    "trt_max_workspace_size",
}
TENSORRT_KNOWS |= {"trt_timing_cache_enable", "trt_timing_cache_path", "trt_builder_optimization_level"}


def test_options_of_the_cuda_provider():
    options = cuda.cuda_options(4711, "fp16", graphs=True)
    assert options.keys() <= CUDA_KNOWS
    assert (options["user_compute_stream"], options["enable_cuda_graph"], options["use_tf32"]) == ("4711", "1", "1")
    assert options["prefer_nhwc"] == "0", "it moves shapes to the GPU, which forbids capture"
    assert cuda.cuda_options(0, "fp32", graphs=False)["use_tf32"] == "0"
    assert cuda.shaping_options("fp16").keys() == {"cudnn_conv_algo_search", "prefer_nhwc", "use_tf32"}


def test_options_of_the_tensorrt_provider(bundle, tmp_path):
    profile = ShapeProfile(bundle.info, Span(1, 8, 16), Span(16, 16, 16), Span(8, 16, 24))
    options = tensorrt.tensorrt_options("unet", "fp16", profile, tmp_path, 4711)
    assert options.keys() <= TENSORRT_KNOWS
    assert options["trt_profile_min_shapes"] == "sample:1x4x16x8,timestep:1,encoder_hidden_states:1x77x64"
    assert options["trt_profile_opt_shapes"] == "sample:8x4x16x16,timestep:8,encoder_hidden_states:8x77x64"
    assert options["trt_profile_max_shapes"] == "sample:16x4x16x24,timestep:16,encoder_hidden_states:16x77x64"
    assert options["trt_engine_cache_path"] == str(tmp_path / "unet.engine")
    assert (options["trt_fp16_enable"], options["trt_bf16_enable"]) == ("1", "0")
    assert all(isinstance(value, str) for value in options.values())
    plain = tensorrt.build_options("vae_decoder", "fp32")
    assert (plain["trt_fp16_enable"], plain["trt_bf16_enable"]) == ("0", "0")
    assert not {"trt_engine_cache_path", "user_compute_stream"} & plain.keys(), (
        "paths and pointers make no engine stale"
    )


def test_tensorrt_keys_follow_gpu_driver_precision_and_shapes(bundle):
    gpu = devices.Gpu("NVIDIA H200", (9, 0), "580.1")
    profile = shape_profile(bundle.info)
    key = tensorrt.tensorrt_key(bundle, "unet", gpu, profile)
    others = [
        tensorrt.tensorrt_key(bundle, "unet", devices.Gpu("NVIDIA H100", (9, 0), "580.1"), profile),
        tensorrt.tensorrt_key(bundle, "unet", devices.Gpu("NVIDIA H200", (9, 0), "581.0"), profile),
        tensorrt.tensorrt_key(bundle, "unet", gpu, shape_profile(bundle.info, 8)),
        tensorrt.tensorrt_key(bundle, "vae_decoder", gpu, profile),
    ]
    assert all(other != key for other in others)
    rtx = tensorrt_rtx.tensorrt_rtx_key(bundle, "unet", "sm89", profile)
    assert (rtx["device"], rtx["driver"]) == ("sm89", "none"), "one engine serves every GPU of an architecture"
    assert json.loads(rtx["options"]) == {"strongly_typed": "1", "tf32": "0"}


def test_gpus_are_read_from_nvidia_smi(monkeypatch):
    text = "NVIDIA H200, 9.0, 580.65.06\nNVIDIA RTX A6000, Ada, 8.9, 570.1\n[Unknown Error], [N/A], [N/A]\n"
    found = devices.parse_gpus(text)
    assert [(gpu.target, gpu.driver) for gpu in found] == [("sm90", "580.65.06"), ("sm89", "570.1")]
    assert found[1].name == "NVIDIA RTX A6000, Ada"
    assert devices.parse_target("sm120") == (12, 0)
    with pytest.raises(UsageError, match="a GPU's architecture"):
        devices.parse_target("4090")
    monkeypatch.setattr(devices.shutil, "which", lambda program: None)
    with pytest.raises(EnvironmentFailure, match="lists no NVIDIA GPU"):
        devices.require_gpu("cuda")


def test_bfloat16_units_are_looked_up(tmp_path):
    (tmp_path / "cpuinfo").write_text("model name\t: A\nflags\t\t: avx512f avx512_bf16 sse\n")
    assert devices.cpu_has_bf16(tmp_path / "cpuinfo")
    (tmp_path / "cpuinfo").write_text("flags\t\t: avx512f avx512_bf16x\n")
    assert not devices.cpu_has_bf16(tmp_path / "cpuinfo")
    assert not devices.cpu_has_bf16(tmp_path / "none")


H200, RTX4090 = devices.Gpu("NVIDIA H200", (9, 0), "580"), devices.Gpu("NVIDIA GeForce RTX 4090", (8, 9), "580")
GPU_PROVIDERS = ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]
PLUGIN = {"onnxruntime-ep-nv-tensorrt-rtx-cu13": "0.5.0", "tensorrt-rtx-cu13-bindings": "1.7.1"}


@pytest.mark.parametrize(
    ("machine", "ready"),
    [
        (Machine({}, [], [], None, True), set()),
        (Machine({"openvino": "2026"}, ["CPUExecutionProvider"], [], None, False), {"cpu", "openvino"}),
        (Machine({"openvino": "2026"}, [], [], None, True), {"openvino", "openvino:bf16"}),
        (Machine({}, GPU_PROVIDERS, [H200], "13.0", False), {"cpu", "cuda"}),
        (Machine({}, GPU_PROVIDERS, [H200], None, False), {"cpu"}),
        (Machine({"tensorrt-cu13": "10"}, GPU_PROVIDERS, [H200], "13.0", False), {"cpu", "cuda", "tensorrt"}),
        (Machine(PLUGIN, ["CPUExecutionProvider"], [H200], None, False), {"cpu", "tensorrt-rtx (build only)"}),
        (
            Machine(PLUGIN, ["CPUExecutionProvider"], [RTX4090], None, False),
            {"cpu", "tensorrt-rtx", "tensorrt-rtx (build only)"},
        ),
    ],
)
def test_the_doctor_tells_what_runs(machine, ready):
    report = findings(machine)
    assert {finding.engine for finding in report if finding.ready} == ready
    assert all(finding.why for finding in report)
    assert not any(finding.install for finding in report if finding.ready)


def test_bound_buffers_give_what_a_plain_run_gives(bundle):
    """IO binding on ordinary memory: the same code as on a GPU, where only the device's name differs."""
    session = onnxruntime.InferenceSession(str(bundle.file("unet.onnx")))
    bound = BoundSession(session, None, "onnxruntime-cuda", graphs=True, device="cpu")
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
    assert bound.provider == "onnxruntime-cuda-graphs"


def test_rows_that_depend_on_their_mates_are_found():
    sample = samples.Sample("unet", {"x": np.arange(6, dtype=np.float32).reshape(3, 2) + 1}, {})
    clean = proof.row_test(Doubling(), sample, CPU, (1, 2, 3))
    assert (clean.equal, clean.max_abs, clean.batches) == (True, 0.0, [1, 2, 3])
    leaky = proof.row_test(Doubling(leak=1e-3), sample, CPU, (1, 2, 3))
    assert not leaky.equal
    assert 0 < leaky.max_abs < 1


def test_an_engine_is_proved_at_its_smallest_best_and_largest_batch(bundle):
    class Echo:
        provider = "echo"

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
    parity, test = proof.prove(echo, "vae_decoder", right, "fp16", EngineChoice("tensorrt"), profile)
    assert {row.shapes for row in parity} == {"latents 1x4x16x16", "latents 4x4x16x16"}, "the small one is out of range"
    assert all((row.relative, row.precision, row.bound) == (0, "fp32", 2e-2) for row in parity), "TF32 on a GPU"
    assert test is not None
    assert test.equal
    assert max(echo.batches) == 4
    wrong = [samples.Sample("vae_decoder", {"latents": latents}, {"sample": latents + 1})]
    with pytest.raises(ParityError, match="on cpu differs from torch"):
        proof.require_parity(proof.prove(Echo(), "vae_decoder", wrong, "fp32", CPU)[0])
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
    from latentpress.runtime.engines.opening import open_session

    assert {test.component for test in bundle.info.row_tests} == set(components(bundle.info))
    assert all(test.equal and test.engine == "cpu" for test in bundle.info.row_tests)
    for component in components(bundle.info):
        session = open_session(bundle, component, CPU)
        parity, _ = proof.prove(session, component, samples.read_samples(bundle, component), "fp32", CPU)
        stored = [row for row in bundle.info.parity if row.component == component]
        assert [(row.output, row.shapes) for row in parity] == [(row.output, row.shapes) for row in stored]
        assert all(row.relative <= 1e-3 for row in parity)
