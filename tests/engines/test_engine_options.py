"""What the GPU engines are asked for, which GPUs and processors are found, and the machine's report."""

import json

import pytest

from latentpress.engines import cuda, devices, tensorrt
from latentpress.engines.choice import parse_engine
from latentpress.engines.devices import Machine
from latentpress.engines.doctor import findings
from latentpress.engines.engine import Place
from latentpress.engines.keys import engine_key
from latentpress.engines.shapes import ShapeProfile, Span, shape_profile
from latentpress.errors import EnvironmentFailure, UsageError

# The options that onnxruntime-gpu 1.31.1's libraries know, read from libonnxruntime_providers_{cuda,tensorrt}.so.
CUDA_KNOWS = """
device_id user_compute_stream arena_extend_strategy cudnn_conv_algo_search enable_cuda_graph gpu_mem_limit
cudnn_conv_use_max_workspace prefer_nhwc use_tf32 do_copy_in_default_stream
"""
TENSORRT_KNOWS = """
device_id user_compute_stream trt_fp16_enable trt_bf16_enable trt_layer_norm_fp32_fallback
trt_profile_min_shapes trt_profile_opt_shapes trt_profile_max_shapes
trt_engine_cache_enable trt_engine_cache_path trt_engine_cache_prefix trt_max_workspace_size
trt_timing_cache_enable trt_timing_cache_path trt_builder_optimization_level
"""


def test_options_of_the_cuda_provider():
    options = cuda.cuda_options(4711, "fp16", graphs=True)
    assert options.keys() <= set(CUDA_KNOWS.split())
    assert (options["user_compute_stream"], options["enable_cuda_graph"], options["use_tf32"]) == ("4711", "1", "1")
    assert options["prefer_nhwc"] == "0", "it moves shapes to the GPU, which forbids capture"
    assert cuda.cuda_options(0, "fp32", graphs=False)["use_tf32"] == "0"
    assert cuda.shaping_options("fp16").keys() == {"cudnn_conv_algo_search", "prefer_nhwc", "use_tf32"}


def test_options_of_the_tensorrt_provider(bundle, tmp_path):
    half = [
        one if one.role == "decoder" else one.model_copy(update={"precision": "fp16"}) for one in bundle.info.components
    ]
    info = bundle.info.model_copy(update={"components": half})
    profile = ShapeProfile(info, Span(1, 8, 16), Span(16, 16, 16), Span(8, 16, 24))
    options = tensorrt.tensorrt_options("unet", profile, tmp_path, 4711)
    assert options.keys() <= set(TENSORRT_KNOWS.split())
    assert options["trt_profile_min_shapes"] == "sample:1x4x16x8,timestep:1,encoder_hidden_states:1x77x64"
    assert options["trt_profile_opt_shapes"] == "sample:8x4x16x16,timestep:8,encoder_hidden_states:8x77x64"
    assert options["trt_profile_max_shapes"] == "sample:16x4x16x24,timestep:16,encoder_hidden_states:16x77x64"
    assert options["trt_engine_cache_path"] == str(tmp_path / "unet.engine")
    assert (options["trt_fp16_enable"], options["trt_bf16_enable"]) == ("1", "0")
    assert all(isinstance(value, str) for value in options.values())
    plain = tensorrt.build_options(info.decoder)
    assert (plain["trt_fp16_enable"], plain["trt_bf16_enable"]) == ("0", "0")
    assert not {"trt_engine_cache_path", "user_compute_stream"} & plain.keys(), (
        "paths and pointers make no engine stale"
    )


def test_tensorrt_keys_follow_gpu_driver_precision_and_shapes(bundle):
    def key(name="NVIDIA H200", driver="580.1", component="unet", rows=16):
        gpu = devices.Gpu(name, (9, 0), driver)
        place, profile = Place(gpu.target, gpu), shape_profile(bundle.info, rows)
        return engine_key(bundle, component, parse_engine("tensorrt"), place, profile)

    others = [
        key(name="NVIDIA H100"),
        key(driver="581.0"),
        key(rows=8),
        key(component="vae_decoder"),
    ]
    assert all(other != key() for other in others)
    rtx = engine_key(bundle, "unet", parse_engine("tensorrt-rtx"), Place("sm89"), shape_profile(bundle.info))
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
