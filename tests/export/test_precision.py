"""Half precision: what is cast, what stays float32, what overflows and is not published."""

import shutil
from collections import Counter

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from safetensors.torch import load_file, save_file

from compare import psnr
from families import export, graph_of, pixels
from latentpress.bundle.info import open_bundle
from latentpress.errors import ParityError
from latentpress.export import export_bundle
from latentpress.export.concepts import add_concepts
from latentpress.export.graphs.flavours import trace_flavour
from latentpress.export.graphs.parity import prove_graph, take_samples
from latentpress.export.graphs.precision import cast, check_finite
from latentpress.export.graphs.widening import in_float32
from latentpress.runtime.render import Renderer
from latentpress.runtime.request import RenderRequest
from latentpress.testing.random_checkpoint import build_checkpoint

FLOAT, HALF, BFLOAT = onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16


@pytest.fixture(scope="module")
def half(tmp_path_factory):
    return export(tmp_path_factory.mktemp("half"), precision="fp16")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return build_checkpoint(tmp_path_factory.mktemp("small") / "checkpoint", width=16, hidden=16, size=64, seed=5)


def weight_types(path):
    """ONNX type -> values held in it, of the initializers that are weights."""
    sizes = Counter()
    for tensor in onnx.load(path).graph.initializer:
        sizes[tensor.data_type] += int(np.prod(tensor.dims)) if tensor.data_type in (FLOAT, HALF, BFLOAT) else 0
    return sizes


def test_a_float16_bundle_keeps_its_autoencoder_and_its_edges_in_float32(half):
    bundle = open_bundle(half.path)
    assert bundle.info.precision == "fp16"
    for component in ("text_encoder", "unet"):
        types = weight_types(bundle.file(f"{component}.onnx"))
        assert types[HALF] > 50 * types[FLOAT], component
    for component in ("vae_encoder", "vae_decoder"):
        assert weight_types(bundle.file(f"{component}.onnx"))[HALF] == 0
    for name in ("unet", "vae_decoder", "text_encoder"):
        session = onnxruntime.InferenceSession(str(bundle.file(f"{name}.onnx")))
        kinds = {value.type for value in (*session.get_inputs(), *session.get_outputs())}
        assert kinds <= {"tensor(float)", "tensor(int64)"}
    precisions = {row.component: row.precision for row in bundle.info.parity}
    assert precisions == {"text_encoder": "fp16", "unet": "fp16", "vae_encoder": "fp32", "vae_decoder": "fp32"}
    assert all(row.bound == (2e-2 if row.precision == "fp16" else 1e-3) for row in bundle.info.parity)
    assert all(row.relative > 1e-6 for row in bundle.info.parity if row.precision == "fp16"), "it was cast"


def test_float16_pictures_are_close_to_diffusers_in_float32(half):
    from diffusers import StableDiffusionPipeline

    request = RenderRequest(
        prompt="a red house", seed=3, height=64, width=64, sampler="ddim", steps=8, guidance_scale=5
    )
    (rendered,) = Renderer(half.bundle, threads=1).render([(0, request)])
    pipeline = half.pipeline(StableDiffusionPipeline, "ddim")
    right = pixels(pipeline, "a red house", seed=3, height=64, width=64, num_inference_steps=8, guidance_scale=5)
    assert psnr(rendered.image, right) >= 30


def test_concepts_are_added_to_a_float16_bundle(half, tmp_path):
    copy = shutil.copytree(half.path, tmp_path / "bundle")
    (copy / "engines" / "openvino").mkdir(parents=True)
    (copy / "engines" / "openvino" / "unet.json").write_text("{}")
    vector = torch.full((32,), 0.25)
    torch.save({"<new>": vector}, tmp_path / "new.bin")
    info = add_concepts(copy, [tmp_path / "new.bin"])
    (row,) = info.concepts[-1].token_ids
    tables = [
        tensor for tensor in onnx.load(copy / "text_encoder.onnx").graph.initializer if row < (tensor.dims or [0])[0]
    ]
    assert any(
        table.data_type == HALF and np.array_equal(onnx.numpy_helper.to_array(table)[row], vector.half().numpy())
        for table in tables
    )
    assert (copy / "engines" / "openvino" / "unet.json").exists(), "what was built of other components is kept"


def test_an_overflow_in_float16_is_found_and_nothing_is_published(checkpoint, tmp_path):
    source = shutil.copytree(checkpoint, tmp_path / "checkpoint")
    weights = source / "text_encoder" / "model.safetensors"
    state = load_file(weights)
    name = "text_model.encoder.layers.0.mlp.fc1.weight"
    state[name] = state[name] * 1e6  # finite in float32 and bfloat16, beyond float16's 65504
    save_file(state, weights, metadata={"format": "pt"})
    with pytest.raises(ParityError, match="becomes NaN or infinite in fp16") as caught:
        export_bundle(source, tmp_path / "bundle", [], precision="fp16")
    assert "layers.0" in str(caught.value)
    assert "--precision bf16 or fp32" in str(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint"]


def test_a_unet_that_overflows_only_inside_is_found(checkpoint):
    """The output alone would not show it everywhere: the place that first overflows is named."""
    parts, graph = graph_of(checkpoint, "unet", "fp16")
    _, texts = graph_of(checkpoint, "text_encoder")
    taken = take_samples(texts, parts)
    cast(graph)
    check_finite(graph, parts, taken)
    with torch.no_grad():
        graph.module.model.mid_block.resnets[0].conv1.weight *= 1e6
    with pytest.raises(
        ParityError, match=r"unet: mid_block\.resnets\.0\.conv1 becomes NaN or infinite in fp16 at one of"
    ):
        check_finite(graph, parts, taken)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_rounding_every_result_is_what_torch_computes_in_that_type(precision, checkpoint):
    """The stand-in that is checked for overflow, against torch's own arithmetic in that type."""
    from latentpress.export.graphs.precision import DTYPES, _Rounded

    parts, graph = graph_of(checkpoint, "text_encoder", precision)
    sample = take_samples(graph, parts)[1]
    ids, exact = torch.from_numpy(sample.inputs["input_ids"]), sample.outputs["hidden_states"]
    cast(graph)
    with torch.no_grad():
        with in_float32(graph.module), _Rounded(DTYPES[precision]):
            ours = graph.module(ids).numpy()
        own = graph.module(ids).numpy()
    # As far from float32 as torch's own, within a factor of two: they round at slightly different places.
    assert 0.5 <= np.abs(ours - exact).max() / np.abs(own - exact).max() <= 2


def test_bfloat16_graphs_are_checked_in_float32(checkpoint, tmp_path):
    parts, graph = graph_of(checkpoint, "text_encoder", "bf16")
    taken = take_samples(graph, parts)
    cast(graph)
    path = trace_flavour(graph, tmp_path, "plain")
    assert weight_types(path)[BFLOAT] > 0
    rows = prove_graph(path, graph.component, taken)[0]
    assert rows
    assert all(1e-5 < row.relative <= row.bound == 8e-2 for row in rows)


def test_large_weights_lie_beside_the_graph_and_count_for_its_hash(checkpoint, tmp_path, monkeypatch):
    from latentpress.export.graphs import trace
    from latentpress.export.graphs.embedding import append_rows
    from latentpress.export.publish import hash_files

    monkeypatch.setattr(trace, "EXTERNAL_DATA_BYTES", 0)
    parts, graph = graph_of(checkpoint, "text_encoder")
    taken = take_samples(graph, parts)
    path = trace_flavour(graph, tmp_path, "plain")
    before = hash_files(tmp_path)
    assert before.keys() == {"text_encoder.onnx", "text_encoder.onnx.data"}
    append_rows(path, np.full((1, 16), 0.5, np.float32))
    assert hash_files(tmp_path)["text_encoder.onnx.data"] != before["text_encoder.onnx.data"]
    assert all(row.relative <= 1e-5 for row in prove_graph(path, graph.component, taken)[0])


def test_bfloat16_on_onnx_runtimes_cpu_provider_is_refused_at_once(checkpoint, tmp_path):
    from latentpress.cli import run_cli

    assert (
        run_cli(["export", str(checkpoint), "-o", str(tmp_path / "b"), "--engine", "cpu", "--precision", "bf16"]) == 2
    )
    assert not (tmp_path / "b").exists()


def test_an_unknown_precision_gets_a_sentence(checkpoint, tmp_path, capsys):
    from latentpress.cli import run_cli

    assert run_cli(["export", str(checkpoint), "-o", str(tmp_path / "b"), "--precision", "fp8"]) == 2
    assert "precision 'fp8' is unknown; it must be one of fp32, fp16, bf16" in capsys.readouterr().err
