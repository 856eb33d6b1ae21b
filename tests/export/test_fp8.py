"""Weights stored in eight bits, as ComfyUI and its users save them, against torch's own conversion."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from latentpress.errors import CheckpointError
from latentpress.export.families.sd1 import SD1
from latentpress.export.reading.kinds import Asked, kind_of
from latentpress.export.reading.single_file import load_single_file
from latentpress.export.reading.vae_file import load_vae
from latentpress.testing.corpus.checkpoints import models_of, write_folder
from ldm_names import assert_same_weights, ldm_unet_key, ldm_vae, single_file_state, small_models, stored
from lora_files import fuse_lora, kohya_state, lora_models

UNET = "model.diffusion_model."
TYPES = {"e4m3": torch.float8_e4m3fn, "e5m2": torch.float8_e5m2}


class Rounded:
    """A model's weights, rounded as the file has them."""

    def __init__(self, model, rounding):
        self.state = {key: rounding(key, value) for key, value in model.state_dict().items()}

    def state_dict(self):
        return {key: value for key, value in self.state.items() if value.is_floating_point()}


def assert_reads(found, model, rounding):
    state = {key: value.float() for key, value in found.state_dict().items() if value.is_floating_point()}
    assert_same_weights(state, Rounded(model, rounding))


def parts_of(components):
    return {"unet": components.unet, "vae": components.vae, "text_encoder": components.texts[0].model}


@pytest.mark.parametrize(("kind", "mixed"), [("e4m3", False), ("e5m2", True)], ids=["all of it", "the UNet alone"])
def test_a_single_file_of_eight_bits(tmp_path, kind, mixed):
    """All in eight bits, or as Civitai's are: the UNet in eight, the rest in half precision."""
    state = single_file_state("sd1", models_of("sd1"))
    small = {
        key: value.to(TYPES[kind] if key.startswith(UNET) or not mixed else torch.float16)
        for key, value in state.items()
        if value.is_floating_point()
    }
    save_file(small, tmp_path / "fp8.safetensors")
    for name, part in parts_of(load_single_file(tmp_path / "fp8.safetensors")).items():
        stored_as = TYPES[kind] if name == "unet" or not mixed else torch.float16
        assert_reads(part, models_of("sd1")[name], lambda key, value, as_=stored_as: value.to(as_).float())
        with torch.no_grad():
            assert all(value.isfinite().all() for value in part.state_dict().values())


@pytest.mark.parametrize(
    ("names", "rows"),
    [("scale_weight", False), ("weight_scale", True)],
    ids=["one scale a layer", "one scale a row"],
)
def test_a_unet_with_scales_is_multiplied_by_them(tmp_path, names, rows):
    """ComfyUI's scaled fp8: weights brought to fp8's range, what they were divided by beside them."""
    model = models_of("sd1")["unet"]
    state = single_file_state("sd1", models_of("sd1"))
    expected = {}
    for path, module in model.named_modules():
        if isinstance(module, torch.nn.Linear):
            weight = module.weight.detach()
            scale = weight.abs().amax(dim=1, keepdim=True) / 448 if rows else weight.abs().max() / 448
            layer = UNET + ldm_unet_key(f"{path}.weight", model).removesuffix(".weight")
            state[f"{layer}.weight"] = (weight / scale).to(torch.float8_e4m3fn)
            expected[f"{path}.weight"] = state[f"{layer}.weight"].float() * scale
            if names == "scale_weight":
                state |= {f"{layer}.scale_weight": scale, f"{layer}.scale_input": torch.ones(())}
            else:
                text = json.dumps({"format": "float8_e4m3fn"}).encode()
                state |= {f"{layer}.weight_scale": scale, f"{layer}.input_scale": torch.ones(())}
                state[f"{layer}.comfy_quant"] = torch.tensor(list(text), dtype=torch.uint8)
    if names == "scale_weight":
        state[f"{UNET}scaled_fp8"] = torch.zeros(2, dtype=torch.float8_e4m3fn)
    save_file(stored(state), tmp_path / "scaled.safetensors")
    found = load_single_file(tmp_path / "scaled.safetensors").unet.state_dict()
    assert expected
    for key, value in model.state_dict().items():
        # ComfyUI's product is of half precision: 11 bits of mantissa, and subnormal numbers 2^-24 apart.
        right, exact = expected.get(key, value), key not in expected
        torch.testing.assert_close(found[key].float(), right, rtol=0 if exact else 2**-11, atol=0 if exact else 2**-24)


def test_a_folder_and_a_vae_of_eight_bits(tmp_path):
    folder = write_folder(tmp_path / "checkpoint")
    for part in ("unet/diffusion_pytorch_model", "text_encoder/model"):
        state = load_file(folder / f"{part}.safetensors")
        save_file({key: value.to(torch.float8_e5m2) for key, value in state.items()}, folder / f"{part}.safetensors")
    parts = parts_of(kind_of(folder).open(folder, Asked()).components())
    for name, part in parts.items():
        rounding = (
            (lambda key, value: value) if name == "vae" else (lambda key, value: value.to(torch.float8_e5m2).float())
        )
        assert_reads(part, models_of("sd1")[name], rounding)
    vae = models_of("sd1")["vae"]
    save_file({key: value.to(torch.float8_e4m3fn) for key, value in ldm_vae(vae).items()}, tmp_path / "vae.safetensors")
    found = load_vae(tmp_path / "vae.safetensors", SD1)
    assert_reads(found, vae, lambda key, value: value.to(torch.float8_e4m3fn).float())


def test_a_lora_of_eight_bits_changes_what_its_values_say(tmp_path):
    state = kohya_state("sd1", lora_models("sd1"))
    small = {key: value.to(torch.float8_e4m3fn) for key, value in state.items()}
    save_file(small, tmp_path / "fp8.safetensors")
    save_file({key: value.float() for key, value in small.items()}, tmp_path / "fp32.safetensors")
    found, right = lora_models("sd1"), lora_models("sd1")
    fuse_lora(tmp_path / "fp8.safetensors", 1.0, found, SD1)
    fuse_lora(tmp_path / "fp32.safetensors", 1.0, right, SD1)
    for name, model in right.items():
        for key, value in model.state_dict().items():
            assert torch.equal(found[name].state_dict()[key], value), key


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            lambda weight: {"weight": weight.to(torch.int8)},
            "is quantised to int8, which cannot be read; get the version in",
        ),
        (
            lambda weight: {"weight": weight.to(torch.float8_e4m3fn), "scale_weight": torch.ones(3, 5)},
            "the scale of model.diffusion_model.out.2.weight has 3x5 numbers",
        ),
    ],
    ids=["int8", "scales of blocks"],
)
def test_other_quantisations_are_refused_in_a_sentence(tmp_path, change, says):
    state = single_file_state("sd1", small_models("sd1", vocabulary=100))
    layer = f"{UNET}out.2."
    parts = change(state[f"{layer}weight"])
    save_file(state | {layer + name: value for name, value in parts.items()}, tmp_path / "odd.safetensors")
    with pytest.raises(CheckpointError) as caught:
        load_single_file(tmp_path / "odd.safetensors")
    assert str(caught.value).startswith(f"{tmp_path / 'odd.safetensors'}: ")
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_gguf_file_is_called_one(tmp_path):
    (tmp_path / "model.gguf").write_bytes(b"GGUF\x03\0\0\0" + bytes(100))
    with pytest.raises(CheckpointError, match=r"model\.gguf: a GGUF file, whose quantised weights cannot be read"):
        load_single_file(tmp_path / "model.gguf")
