"""LyCORIS' methods, in files that LyCORIS' own modules write, against its modules at work on the same layers.

Its module applied to a layer is what was trained; `merge_to` is not the reference, because LyCORIS 4.1 takes alpha / rank
twice there for LoHa and LoKr.
"""

import copy

import pytest
import torch
from lycoris import modules as lycoris_modules
from lycoris.functional.general import apply_dora_scale
from lycoris.modules.boft import ButterflyOFTModule
from lycoris.modules.diag_oft import DiagOFTModule
from lycoris.modules.full import FullModule
from lycoris.modules.glora import GLoRAModule
from lycoris.modules.ia3 import IA3Module
from lycoris.modules.locon import LoConModule
from lycoris.modules.loha import LohaModule
from lycoris.modules.lokr import LokrModule
from lycoris.modules.norms import NormModule
from safetensors.torch import save_file

from latentpress.export.families import family_named
from lora_files import fuse_lora, lora_models

UNET = "lora_unet_"
# A linear layer without a bias, one with, a convolution of 1x1, one of 3x3, one whose sides differ; the text encoder's.
LAYERS = {
    "mid_block.attentions.0.transformer_blocks.0.attn2.to_k": "unet",
    "time_embedding.linear_1": "unet",
    "mid_block.attentions.0.proj_in": "unet",
    "down_blocks.0.resnets.0.conv1": "unet",
    "down_blocks.1.resnets.0.conv1": "unet",
    "encoder.layers.1.mlp.fc1": "text_encoder",
}
NORMS = {
    "down_blocks.0.resnets.0.norm1": "unet",
    "mid_block.attentions.0.transformer_blocks.0.norm2": "unet",
    "encoder.layers.0.layer_norm1": "text_encoder",
}
RANKED = {"lora_dim": 4, "alpha": 3.0}
CASES = {
    "locon": (LoConModule, RANKED),
    "locon-tucker": (LoConModule, {**RANKED, "use_tucker": True}),
    "loha": (LohaModule, RANKED),
    "loha-tucker": (LohaModule, {**RANKED, "use_tucker": True}),
    "lokr": (LokrModule, {**RANKED, "factor": 4}),
    "lokr-both": (LokrModule, {**RANKED, "lora_dim": 2, "decompose_both": True}),
    "lokr-tucker": (LokrModule, {**RANKED, "factor": 4, "use_tucker": True}),
    "lokr-full": (LokrModule, {**RANKED, "full_matrix": True}),
    "glora": (GLoRAModule, RANKED),
    "ia3-out": (IA3Module, {}),
    "ia3-in": (IA3Module, {"train_on_input": True}),
    "full": (FullModule, {}),
    "norm": (NormModule, {}),
    "oft": (DiagOFTModule, {"lora_dim": 4}),
    "oft-constrained": (DiagOFTModule, {"lora_dim": 4, "constraint": 0.01}),
    "boft": (ButterflyOFTModule, {"lora_dim": 4}),
    # At part of their strength DoRA and OFT that rescales go another way than LyCORIS: see FULL_STRENGTH.
    "oft-rescaled": (DiagOFTModule, {"lora_dim": 4, "rescaled": True}),
    "boft-rescaled": (ButterflyOFTModule, {"lora_dim": 4, "rescaled": True}),
    "dora": (LoConModule, {**RANKED, "weight_decompose": True}),
    "dora-columns": (LoConModule, {**RANKED, "weight_decompose": True, "wd_on_out": False}),
    "doha": (LohaModule, {**RANKED, "weight_decompose": True}),
    "dokr": (LokrModule, {**RANKED, "factor": 4, "weight_decompose": True}),
}
# Compared at 1 alone. Below it LyCORIS keeps all of the low-rank change, or all of the rescaling, and lessens the rest, so
# that at 0 the checkpoint's own weight does not come back; A1111 and ComfyUI take part of the whole change, as we do.
FULL_STRENGTH = ("oft-rescaled", "dora", "dora-columns", "doha", "dokr")


def trained(kind, layer, options, seed):
    """A module of LyCORIS on a copy of `layer`, every parameter of it random."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = kind("x", copy.deepcopy(layer), multiplier=1.0, **options).eval()
        module.apply_to()
        with torch.no_grad():
            for name, parameter in [*module.named_parameters(), ("dora_scale", getattr(module, "dora_scale", None))]:
                if parameter is None:
                    continue
                noise = torch.randn_like(parameter)
                parameter.copy_(parameter + (parameter if name in ("dora_scale", "rescale") else 1.0) * 0.1 * noise)
    return module


def name_of(path, component):
    if component == "unet":
        return UNET + path.replace(".", "_")
    return f"lora_te_text_model_{path.replace('.', '_')}"


def module_at(models, path, component):
    model = models[component]
    return (getattr(model, "text_model", model) if component == "text_encoder" else model).get_submodule(path)


def written(kind, options, models, file, rename=lambda key: key):
    """Modules of LyCORIS on some layers of `models`: {(path, component): module}; their file."""
    layers = NORMS if kind is NormModule else LAYERS
    found = {}
    for number, (path, component) in enumerate(layers.items()):
        found[path, component] = trained(kind, module_at(models, path, component), options, number)
    state = {}
    for (path, component), module in found.items():
        for key, value in module.state_dict().items():
            state[f"{name_of(path, component)}.{rename(key)}"] = value.detach().clone().contiguous()
    save_file(state, file)
    return found


def given(layer):
    shape = {
        "Conv2d": (2, getattr(layer, "in_channels", 0), 6, 5),
        "GroupNorm": (2, getattr(layer, "num_channels", 0), 6),
    }
    flat = (2, getattr(layer, "in_features", 0) or getattr(layer, "normalized_shape", (0,))[0])
    return torch.randn(shape.get(type(layer).__name__, flat), generator=torch.Generator().manual_seed(9))


@pytest.mark.parametrize("case", CASES)
def test_a_layer_gives_what_lycoris_module_gives(tmp_path, case):
    kind, options = CASES[case]
    scale = 1.0 if case in FULL_STRENGTH else 0.7
    models = lora_models("sd1")
    theirs = written(kind, options, models, tmp_path / "lycoris.safetensors")
    before = {key: module_at(models, *key)(given(module_at(models, *key))) for key in theirs}
    record = fuse_lora(tmp_path / "lycoris.safetensors", scale, models, family_named("sd1"))
    assert record.layers == len(theirs)
    for key, module in theirs.items():
        layer = module_at(models, *key)
        x = given(layer)
        module.multiplier = scale
        right = module.org_module[0](x)
        # Sums of at most 1152 products in another order, of numbers of about 1.
        torch.testing.assert_close(layer(x), right, atol=2e-4, rtol=1e-4)
        assert (right - before[key]).abs().max() > 0.01, f"{key}: nothing to see"


@pytest.mark.parametrize("case", ["dora-columns", "doha"])
def test_dora_at_part_of_its_strength_is_that_part_of_the_way(tmp_path, case):
    """As A1111 and ComfyUI have it; LyCORIS' older merge, which its authors gave them, still does."""
    kind, options = CASES[case]
    models = lora_models("sd1")
    theirs = written(kind, {**options, "wd_on_out": False}, models, tmp_path / "dora.safetensors")
    fuse_lora(tmp_path / "dora.safetensors", 0.7, models, family_named("sd1"))
    for key, module in theirs.items():
        base = module.org_module[0].weight.detach()
        change = module.get_weight(base.shape) if kind is LohaModule else module.make_weight() * module.scale
        right = apply_dora_scale(base, change.detach().reshape(base.shape), module.dora_scale, 0.7)
        torch.testing.assert_close(module_at(models, *key).weight.detach(), right, atol=1e-5, rtol=1e-5)


def test_gloras_first_names_mean_the_same(tmp_path):
    """LyCORIS' first version, which ComfyUI still reads, had a1 where a2 is now, and b1 where b2 is."""
    swapped = {"a1.weight": "a2.weight", "a2.weight": "a1.weight", "b1.weight": "b2.weight", "b2.weight": "b1.weight"}
    new, old = lora_models("sd1"), lora_models("sd1")
    written(GLoRAModule, RANKED, new, tmp_path / "new.safetensors")
    written(GLoRAModule, RANKED, old, tmp_path / "old.safetensors", lambda key: swapped.get(key, key))
    fuse_lora(tmp_path / "new.safetensors", 0.7, new, family_named("sd1"))
    fuse_lora(tmp_path / "old.safetensors", 0.7, old, family_named("sd1"))
    for path, component in LAYERS.items():
        assert torch.equal(module_at(new, path, component).weight, module_at(old, path, component).weight)


def test_the_cases_are_all_of_lycoris_methods():
    """A method that LyCORIS gains is met here first. DyLoRA saves plain LoRA; T-LoRA's masks depend on the step."""
    known = {kind for kind, _ in CASES.values()}
    assert {kind.__name__ for kind in {*lycoris_modules.MODULE_LIST} - known} <= {"DyLoraModule", "TLoraModule"}
