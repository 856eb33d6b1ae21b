"""Half-precision weights computed with in float32, a layer at a time."""

import pytest
import torch

from latentpress.export.graphs.build import build_graphs, component_inputs
from latentpress.export.graphs.widening import in_float32
from latentpress.export.source import Source, load_source
from latentpress.testing.random_checkpoint import build_checkpoint


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    return load_source(Source(build_checkpoint(tmp_path_factory.mktemp("sdxl"), family="sdxl", size=64))).parts


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", ["text_encoder_2", "unet"])
def test_the_outputs_are_those_of_the_whole_module_in_float32(parts, name, dtype):
    (graph,) = (graph for graph in build_graphs(parts) if graph.name == name)
    module = graph.module.to(dtype)
    inputs = [torch.from_numpy(array) for array in component_inputs(parts, name, batch=2, size=(8, 8)).values()]
    before = {key: id(weight) for key, weight in module.named_parameters()}
    with torch.no_grad():
        with in_float32(module):
            ours = module(*inputs)
        assert {key: id(weight) for key, weight in module.named_parameters()} == before
        assert {weight.dtype for weight in module.parameters()} == {dtype}
        right = module.float()(*inputs)
    for mine, its in zip(*(x if isinstance(x, tuple) else (x,) for x in (ours, right)), strict=True):
        assert torch.equal(mine, its)


def test_one_layer_at_a_time_is_float32():
    module = torch.nn.Sequential(*[torch.nn.Linear(4, 4) for _ in range(3)]).half()
    seen = []
    for layer in module:
        layer.register_forward_hook(lambda *_: seen.append([own.weight.dtype for own in module]), prepend=True)
    with torch.no_grad(), in_float32(module):
        module(torch.ones(1, 4))
    assert [types.count(torch.float32) for types in seen] == [1, 1, 1]


def test_a_call_that_raises_gives_the_weights_back():
    module = torch.nn.Sequential(torch.nn.Linear(4, 4)).half()
    weight = module[0].weight
    with pytest.raises(RuntimeError), in_float32(module):
        module(torch.ones(1, 3))
    assert module[0].weight is weight
    assert weight.dtype == torch.float16
