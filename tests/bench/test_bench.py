"""The operation count against torch's own counter, and a whole benchmark of the small bundle."""

import json

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from latentpress.bench.ceiling import cpu_ceiling, gpu_ceiling
from latentpress.bench.flops import graph_flops, spread
from latentpress.bench.measure import Workload, run_benchmark
from latentpress.bench.report import benchmark_data, benchmark_lines, save_plot
from latentpress.runtime.session import OnnxCpuSession


def torch_flops(module, *inputs, **named):
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        module(*inputs, **named)
    return counter.get_total_flops()


@pytest.mark.parametrize("size", [(8, 8), (8, 16)])
def test_the_unets_operations_are_torchs(bundle, reference_pipeline, size):
    shapes = {"sample": (2, 4, *size), "timestep": (2,), "encoder_hidden_states": (2, 77, 64)}
    expected = torch_flops(
        reference_pipeline.unet, torch.zeros(2, 4, *size), torch.zeros(2), encoder_hidden_states=torch.zeros(2, 77, 64)
    )
    # torch's counter leaves nothing out; the exporter may fold a product of constants.
    assert graph_flops(bundle.file("unet.onnx"), shapes) == pytest.approx(expected, rel=0.01)


def test_the_decoders_operations_are_torchs(bundle, reference_pipeline):
    expected = torch_flops(reference_pipeline.vae.decode, torch.zeros(1, 4, 8, 8))
    found = graph_flops(bundle.file("vae_decoder.onnx"), {"latents": (1, 4, 8, 8)})
    assert found == pytest.approx(expected, rel=0.01)


def test_percentiles():
    assert spread(np.arange(101) / 1000) == pytest.approx({"p50": 50, "p90": 90, "p99": 99})


def test_a_gpus_ceiling_is_found_by_its_drivers_name():
    found = gpu_ceiling("NVIDIA L40S")
    assert found is not None
    assert found.flops == 362e12
    assert gpu_ceiling("Some Other Card") is None


def test_a_bundle_is_measured_whole(bundle, tmp_path):
    names = [encoder.component for encoder in bundle.info.text_encoders] + ["unet", "vae_decoder"]
    sessions = {name: OnnxCpuSession(bundle.file(f"{name}.onnx")) for name in names}
    work = Workload(64, 64, "ddim", 3, 4.0, seconds=0.02)
    ceiling = cpu_ceiling("this CPU", size=256, seconds=0.05)
    said: list[str] = []
    found = run_benchmark(bundle, work, [2, 4], sessions=sessions, ceiling=ceiling, report=said.append)
    assert [(row.component, row.rows) for row in found.components] == [
        ("text_encoder", 1),
        ("unet", 2),
        ("unet", 4),
        ("vae_decoder", 1),
        ("vae_decoder", 4),
    ]
    unet = {row.rows: row for row in found.components if row.component == "unet"}
    assert unet[4].gflops == pytest.approx(2 * unet[2].gflops, rel=1e-3)
    for row in found.components:
        assert 0 < row.p50 <= row.p90 <= row.p99
        assert row.share == pytest.approx(row.gflops * 1e9 / (row.p50 / 1000) / ceiling.flops)
    assert [row.rows for row in found.throughput] == [2, 4]
    assert all(row.images_per_second > 0 and 0 < row.outside_unet < 1 for row in found.throughput)
    assert json.loads(json.dumps(benchmark_data(found)))["components"][1]["component"] == "unet"
    text = "\n".join(benchmark_lines(found))
    assert "64x64, ddim, 3 steps, guidance 4" in text
    assert "4 rows" in text
    save_plot(found, tmp_path / "bench.png")
    assert (tmp_path / "bench.png").read_bytes().startswith(b"\x89PNG")
