"""The operation count against torch's own counter, and ceilings."""

import onnx
import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from latentpress.bench.ceiling import cpu_ceiling, gpu_ceiling
from latentpress.bench.flops import graph_flops, graph_operations


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


def test_a_ceiling_of_convolutions_is_of_the_graphs_own_shapes(bundle):
    """Each convolution counts as torch counts it; where one is faster than any product, it is the ceiling."""
    shapes = {"sample": (2, 4, 8, 8), "timestep": (2,), "encoder_hidden_states": (2, 77, 64)}
    found = [one for one in graph_operations(bundle.file("unet.onnx"), shapes) if one.kind == "convolution"]
    assert {len(one.convolution.shape) for one in found} == {4}
    for one in found[:5]:
        (top, left, bottom, right), kernel = one.convolution.pads, torch.zeros(one.convolution.kernel)
        assert (top, left) == (bottom, right)
        x = torch.zeros(one.convolution.shape)
        expected = torch_flops(
            torch.nn.functional.conv2d, x, kernel, stride=one.convolution.strides, padding=(top, left)
        )
        assert one.flops == expected
    slow = cpu_ceiling("this CPU", threads=1, size=1, seconds=0)  # products of one number
    convolved = cpu_ceiling(
        "this CPU", threads=1, size=1, seconds=0, convolutions=[one.convolution for one in found[:2]]
    )
    assert convolved.flops > slow.flops
    assert "convolutions of its own shapes" in convolved.how
