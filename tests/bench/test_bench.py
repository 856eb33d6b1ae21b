"""The operation count against torch's own counter, and a whole benchmark of the small bundle."""

import json
import sys
import time
from importlib.util import find_spec

import numpy as np
import onnx
import pytest
import torch
from PIL import Image
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from latentpress.bench.ceiling import Ceiling, cpu_ceiling, gpu_ceiling
from latentpress.bench.flops import graph_flops, spread
from latentpress.bench.measure import Workload, run_benchmark
from latentpress.bench.report import benchmark_data, benchmark_lines, save_plot
from latentpress.cli import run_cli
from latentpress.engines.cpu import OnnxCpuSession
from latentpress.engines.devices import cpu_has_bf16
from latentpress.errors import EnvironmentFailure
from published import read


def torch_flops(module, *inputs, **named):
    counter = FlopCounterMode(display=False)
    # torch counts the attention's matrix products, and not the fused attention that its CPU kernels do otherwise.
    with counter, torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
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


@pytest.mark.parametrize("operator", ["Attention", "MultiHeadAttention"])
def test_a_fused_attentions_operations_are_torchs(operator, tmp_path):
    """One node of each kind that flavours make: (batch, heads, tokens, size), or (batch, tokens, heads * size)."""
    query, key = torch.zeros(2, 4, 16, 8), torch.zeros(2, 4, 10, 8)
    expected = torch_flops(torch.nn.functional.scaled_dot_product_attention, query, key, key)
    fused = operator == "MultiHeadAttention"
    shapes = {"query": (2, 16, 32), "key": (2, 10, 32)} if fused else {"query": query.shape, "key": key.shape}
    shapes["value"] = shapes["key"]
    how = {"domain": "com.microsoft", "num_heads": 4} if fused else {}
    node = onnx.helper.make_node(operator, list(shapes), ["output"], **how)
    values = {**shapes, "output": shapes["query"]}
    infos = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape) for name, shape in values.items()]
    graph = onnx.helper.make_graph([node], "attention", infos[:3], infos[3:])
    opsets = [onnx.helper.make_opsetid("", 23), onnx.helper.make_opsetid("com.microsoft", 1)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opsets), tmp_path / "attention.onnx")
    assert graph_flops(tmp_path / "attention.onnx", shapes) == expected > 0


def test_percentiles():
    assert spread(np.arange(101) / 1000) == pytest.approx({"p50": 50, "p90": 90, "p99": 99})


def test_a_gpus_ceiling_is_found_by_its_drivers_name():
    found = gpu_ceiling("NVIDIA L40S")
    assert found is not None
    assert found.flops == 362e12
    assert gpu_ceiling("Some Other Card") is None


@pytest.mark.parametrize("bf16", [False, True])
def test_a_cpus_ceiling_is_within_what_cores_reach(bf16):
    torch_threads = torch.get_num_threads()
    found = cpu_ceiling("this CPU", threads=1, bf16=bf16, size=512, seconds=0.1)
    # One core: above what a scalar loop does, below what two AVX-512 units at 6 GHz could, or with tiles of bfloat16.
    assert 1e8 < found.flops < (7e12 if bf16 else 400e9)
    assert ("bfloat16" in found.how) == bf16
    assert torch.get_num_threads() == torch_threads


def sessions_of(bundle):
    names = [encoder.component for encoder in bundle.info.text_encoders] + ["unet", "vae_decoder"]
    return {name: OnnxCpuSession(bundle.file(f"{name}.onnx")) for name in names}


def measure(bundle, buckets=(1, 2, 4), **changed):
    work = Workload(64, 64, "euler", 3, 4.0, repeats=4)
    arguments = {"sessions": sessions_of(bundle), "device": "this CPU"} | changed
    return run_benchmark(bundle, work, list(buckets), **arguments)


@pytest.fixture(scope="module")
def ceiling():
    return Ceiling("this CPU", 5e12, "invented")  # above any CPU: the highest one given is the one that counts


@pytest.fixture(scope="module")
def found(bundle, ceiling):
    ceilings = iter([cpu_ceiling("this CPU", size=64, seconds=0), ceiling, *[None] * 2])
    return measure(bundle, ceiling=lambda: next(ceilings))


def test_every_component_is_timed_at_every_bucket(found, ceiling):
    assert [(row.component, row.rows) for row in found.components] == [
        (component, rows) for rows in (1, 2, 4) for component in ("text_encoder", "unet", "vae_decoder")
    ]
    assert found.ceiling == ceiling
    unet = {row.rows: row for row in found.components if row.component == "unet"}
    assert unet[4].gflops == pytest.approx(4 * unet[1].gflops, rel=1e-3)
    for row in found.components:
        assert row.calls == 4
        assert 0 < row.p50 <= row.p90 <= row.p99
        assert row.share == pytest.approx(row.gflops * 1e9 / (row.p50 / 1000) / ceiling.flops)


def test_whole_renders_are_timed_at_every_bucket(found):
    assert [row.rows for row in found.throughput] == [1, 2, 4]
    assert [row.images for row in found.throughput] == [2, 2, 4]
    assert all(row.images_per_second > 0 and 0 < row.outside_unet < 1 for row in found.throughput)
    assert found.peak_memory == max(row.peak_memory for row in found.throughput)
    assert 50e6 < found.peak_memory < 50e9


class Slow:
    """The session it is given, each call 30 ms longer."""

    def __init__(self, session):
        self.session, self.engine, self.note = session, session.engine, session.note

    def run(self, inputs):
        time.sleep(0.03)
        return self.session.run(inputs)


def test_images_per_second_are_bounded_by_the_unets_calls(bundle):
    sessions = sessions_of(bundle)
    found = measure(bundle, (2, 4), sessions={**sessions, "unet": Slow(sessions["unet"])})
    for row in found.throughput:
        calls = 3 * row.images * 2 / row.rows  # three steps, two rows a picture
        assert row.images_per_second < row.images / (0.03 * calls)
    assert all(timing.p50 >= 30 for timing in found.components if timing.component == "unet")


def test_a_bucket_of_one_row_calls_the_unet_with_one(bundle):
    rows = []

    class Watched:
        def __init__(self, session):
            self.session, self.engine, self.note = session, session.engine, session.note

        def run(self, inputs):
            rows.append(len(inputs["sample"]))
            return self.session.run(inputs)

    sessions = sessions_of(bundle)
    measure(bundle, (1,), sessions={**sessions, "unet": Watched(sessions["unet"])})
    assert set(rows) == {1}


def test_a_benchmark_as_lines_json_and_a_plot(found, tmp_path):
    assert json.loads(json.dumps(benchmark_data(found)))["components"][1]["component"] == "unet"
    text = "\n".join(benchmark_lines(found))
    assert "64x64, euler, 3 steps, guidance 4" in text
    assert "4 rows" in text
    save_plot(found, tmp_path / "bench.png")
    with Image.open(tmp_path / "bench.png") as picture:
        assert np.unique(np.asarray(picture)).size > 10, "something is drawn"


class Full:
    """The session it is given, out of memory beyond `fits` rows."""

    def __init__(self, session, fits):
        self.session, self.fits = session, fits
        self.engine, self.note = session.engine, session.note

    def run(self, inputs):
        if len(inputs["sample"]) > self.fits:
            raise RuntimeError("Failed to allocate memory for requested buffer")
        return self.session.run(inputs)


def test_a_bucket_that_does_not_fit_is_said_and_ends_it(bundle):
    sessions = sessions_of(bundle)
    sessions["unet"] = Full(sessions["unet"], fits=2)
    found = measure(bundle, (2, 4, 8), sessions=sessions)
    assert [row.rows for row in found.throughput] == [2]
    assert found.notes == ["4 rows do not fit into memory; larger buckets were not tried"]
    with pytest.raises(EnvironmentFailure, match="4 rows at 64x64 do not fit into memory"):
        measure(bundle, (4, 8), sessions=sessions)


def test_a_model_that_needs_a_picture_has_its_components_measured(exported):
    bundle = exported("inpainting").bundle
    found = measure(bundle, (1,))
    assert [row.component for row in found.components] == ["text_encoder", "unet", "vae_decoder"]
    assert found.throughput == []
    assert "is an inpainting model" in found.notes[0]


def test_the_command_prints_writes_and_draws(bundle, tmp_path, capsys):
    file, plot = tmp_path / "b.json", tmp_path / "b.png"
    base = ["bench", str(bundle.path), "--buckets", "2", "--repeats", "2", "--steps", "2", "--size", "64x72"]
    assert run_cli([*base, "--json", str(file), "--plot", str(plot)]) == 0
    said = capsys.readouterr()
    assert "64x72, euler, 2 steps" in said.out
    assert "measuring unet, 2 rows" in said.err
    written = json.loads(file.read_text())
    assert (written["size"], written["bundle_hash"]) == ([72, 64], bundle.hash)
    assert plot.stat().st_size > 1000
    assert run_cli([*base, "--json", "-", "--threads", "1"]) == 0
    printed = read("bench", capsys.readouterr().out)
    assert printed["threads"] == 1
    assert printed.keys() == written.keys()
    assert "float32" in written["ceiling"]["how"]


@pytest.mark.skipif(not find_spec("openvino") or not cpu_has_bf16(), reason="no OpenVINO, or no bfloat16 units, here")
def test_an_engine_in_bfloat16_is_held_to_a_ceiling_in_bfloat16(bundle, capsys):
    arguments = ["--buckets", "2", "--repeats", "2", "--steps", "2", "--size", "64x64", "--json", "-"]
    assert run_cli(["bench", str(bundle.path), *arguments, "--engine", "openvino:bf16"]) == 0
    assert "bfloat16" in json.loads(capsys.readouterr().out)["ceiling"]["how"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--buckets", "2,x"], "--buckets '2,x': must be numbers of rows from 1 to 1024"),
        (["--buckets", "0"], "--buckets '0': must be numbers"),
        (["--size", "500x500"], "--size '500x500': must be WIDTHxHEIGHT in pixels, both multiples of 8"),
        (["--plot", "x.doc"], "--plot x.doc: the suffix must say a picture's format, e.g. x.png"),
        (["--plot", "nowhere/x.png"], "nowhere/x.png: the folder nowhere does not exist"),
        (["--json", "nowhere/x.json"], "nowhere/x.json: the folder nowhere does not exist"),
        ([], "missing: not a bundle"),
    ],
)
def test_bad_arguments_get_a_sentence(arguments, said, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert run_cli(["bench", "missing", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {said}")
    assert len(error.splitlines()) == 1


def test_a_missing_plotting_package_is_said_before_anything_is_measured(bundle, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.backend_bases", None)
    assert run_cli(["bench", str(bundle.path), "--plot", "x.png"]) == 3
    assert "pip install 'latentpress[bench]'" in capsys.readouterr().err
