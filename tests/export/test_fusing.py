"""Changed weights: made for the layer that runs and rounded once at the cast, the same numbers as changed all at once."""

import copy
import hashlib
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file

from latentpress.export.families import family_named
from latentpress.export.graphs.fusing import fuse
from latentpress.export.graphs.widening import in_float32
from latentpress.export.graphs.wrappers import UNet
from latentpress.export.lora import plan_lora
from ldm_names import stored
from lora_files import ALPHA, RANK, kohya_state, lora_models

SCALES = (0.7, -0.3)


@pytest.fixture(scope="module")
def lora(tmp_path_factory):
    path = tmp_path_factory.mktemp("lora") / "kohya.safetensors"
    save_file(kohya_state("sd1", lora_models("sd1")), path)
    return path


def planned(lora, models):
    """The changes of the file at two scales, one after the other."""
    changes = {}
    for scale in SCALES:
        for layer, own in plan_lora(lora, scale, models, family_named("sd1")).changes.items():
            for name, more in own.items():
                changes.setdefault(layer, {}).setdefault(name, []).extend(more)
    return changes


def all_at_once(lora, unet):
    """A float32 copy of `unet` with every change made in it: W + scale * alpha / rank * up @ down, one after the other."""
    wide, state = copy.deepcopy(unet).float(), load_file(lora)
    modules = {f"lora_unet_{path.replace('.', '_')}": module for path, module in wide.named_modules()}
    with torch.no_grad():
        for scale in SCALES:
            for key in (key for key in state if key.startswith("lora_unet_") and key.endswith("up.weight")):
                down = state[key.replace("_up.", "_down.")]
                weight = modules[key.partition(".")[0]].weight
                product = (state[key].flatten(1).double() @ down.flatten(1).double()).float().reshape(weight.shape)
                weight.copy_(weight + (scale * (ALPHA / RANK)) * product)
    return wide


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_numbers_are_to_the_bit_those_of_changing_everything_first(lora, dtype):
    models = {name: model.to(dtype) for name, model in lora_models("sd1").items()}
    unet, changes = models["unet"], planned(lora, models)
    wide = all_at_once(lora, unet)
    before = {key: value.clone() for key, value in unet.state_dict().items()}
    generator = torch.Generator().manual_seed(1)
    sample, states = torch.randn(2, 4, 8, 8, generator=generator), torch.randn(2, 7, 64, generator=generator)
    inputs = (sample, torch.tensor([500.0, 1.0]), states)
    module = UNet(unet)
    with torch.no_grad(), in_float32(module, changes):
        assert torch.equal(module(*inputs), UNet(wide)(*inputs))
    assert all(torch.equal(value, before[key]) for key, value in unet.state_dict().items()), "lent, not changed"
    fuse(module, changes, dtype)
    for key, value in unet.state_dict().items():
        assert value.dtype == dtype
        assert torch.equal(value, wide.state_dict()[key].to(dtype)), key
    assert not any(layer in changes for layer in unet.modules()), "what was used is let go, and the file with it"


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing says what a write would reach")
def test_mapped_weights_are_written_over_in_memory_and_never_in_their_file(lora, tmp_path):
    """A copy beside the mapped weight would count twice: 12 GB instead of 7 for SDXL in float16."""
    models = {name: model.half() for name, model in lora_models("sd1").items()}
    file = tmp_path / "unet.safetensors"
    save_file(stored(models["unet"].state_dict()), file)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    models["unet"].load_state_dict(load_file(file), assign=True)
    mapped = {key: value.data_ptr() for key, value in models["unet"].state_dict().items()}
    wide = all_at_once(lora, models["unet"])
    fuse(models["unet"], planned(lora, models), torch.float16)
    for key, value in models["unet"].state_dict().items():
        assert torch.equal(value, wide.state_dict()[key].half())
        assert value.data_ptr() == mapped[key], f"{key} lies twice in memory"
    assert hashlib.sha256(file.read_bytes()).hexdigest() == digest
