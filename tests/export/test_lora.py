"""LoRA files fused, against diffusers' own loading and fusing of the same files; every refusal changes nothing."""

import pytest
import torch
from diffusers import DDIMScheduler, StableDiffusionPipeline, StableDiffusionXLPipeline
from safetensors.torch import save_file

from latentpress.bundle.info import file_sha256
from latentpress.errors import LoraError
from latentpress.export.families import family_named
from latentpress.export.lora_argument import parse_lora
from latentpress.export.reading.lora_file import read_lora
from ldm_names import ldm_unet_key, small_models
from lora_files import ALPHA, KOHYA, RANK, fuse_lora, kohya_state, layers_of, lora_models, matrices, save_peft

SCALE = 0.7
FAMILIES = tuple(KOHYA)


def loaded_by_diffusers(family: str, models: dict, file, scale: float) -> dict:
    """The weights after diffusers has loaded the LoRA and fused it: component -> state dict."""
    nothing = {"vae": None, "tokenizer": None, "scheduler": DDIMScheduler(steps_offset=1, clip_sample=False)}
    if family == "sdxl":
        pipeline = StableDiffusionXLPipeline(**models, **nothing, tokenizer_2=None)
    else:
        more = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
        pipeline = StableDiffusionPipeline(**models, **nothing, **more)
    pipeline.load_lora_weights(str(file.parent), weight_name=file.name)
    pipeline.fuse_lora(components=list(models), lora_scale=scale)
    pipeline.unload_lora_weights()
    return {name: getattr(pipeline, name).state_dict() for name in models}


def assert_fused_alike(family: str, file, expected_layers: int | None = None) -> None:
    ours, before = lora_models(family), lora_models(family)
    fused = fuse_lora(file, SCALE, ours, family_named(family))
    theirs = loaded_by_diffusers(family, lora_models(family), file, SCALE)
    changed = 0
    for name, model in ours.items():
        original = before[name].state_dict()
        assert model.state_dict().keys() == theirs[name].keys()
        for key, value in model.state_dict().items():
            torch.testing.assert_close(value, theirs[name][key], atol=1e-6, rtol=0)
            changed += not torch.equal(value, original[key])
    assert changed == fused.layers > 10
    assert expected_layers in (None, changed)
    assert (fused.source, fused.sha256, fused.scale) == (file.name, file_sha256(file), SCALE)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_kohya_file_fuses_as_diffusers_fuses_it(tmp_path, family):
    state = kohya_state(family, lora_models(family))
    save_file(state, tmp_path / "kohya.safetensors")
    assert_fused_alike(family, tmp_path / "kohya.safetensors", len(state) // 3)


@pytest.mark.parametrize("family", ["sd1", "sd2", "sdxl", "sdxl_refiner"])
def test_every_layers_name_in_sgm_is_found(tmp_path, family):
    unet = small_models(family, vocabulary=1000)["unet"]
    paths = layers_of(unet, ("",))
    names = [ldm_unet_key(f"{path}.weight", unet).removesuffix(".weight").replace(".", "_") for path in paths]
    state = {}
    for name in names:
        state |= layer(f"lora_unet_{name}", 1, 1, 1)
    save_file(state, tmp_path / "kohya.safetensors")
    read = read_lora(tmp_path / "kohya.safetensors", {"unet": unet})
    assert {found.name.removeprefix("lora_unet_"): found.path for found in read.layers} == dict(
        zip(names, paths, strict=True)
    )


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("rslora", [False, True])
def test_a_diffusers_file_fuses_as_diffusers_fuses_it(tmp_path, family, rslora):
    save_peft(tmp_path, family, lora_models(family), rslora)
    assert_fused_alike(family, tmp_path / "pytorch_lora_weights.safetensors")


def test_diffusers_older_names_fuse_as_diffusers_fuses_them(tmp_path):
    models = lora_models("sd1")
    generator = torch.Generator().manual_seed(2)
    state = {}
    for path in layers_of(models["unet"], ("to_q", "to_out.0")):
        attention, _, layer = path.partition(".to_")
        parts = matrices(models["unet"].get_submodule(path), generator)
        name = f"unet.{attention}.processor.to_{layer.removesuffix('.0')}_lora"
        state |= {f"{name}.{part}.weight": value for part, value in parts.items()}
    for path in layers_of(models["text_encoder"], ("q_proj", "fc2")):
        parts = matrices(models["text_encoder"].get_submodule(path), generator)
        state |= {f"text_encoder.{path}.lora_linear_layer.{part}.weight": value for part, value in parts.items()}
    save_file(state, tmp_path / "old.safetensors")
    assert_fused_alike("sd1", tmp_path / "old.safetensors", len(state) // 2)
    # Older still: the UNet's alone, without a prefix.
    bare = {key.removeprefix("unet."): value for key, value in state.items() if key.startswith("unet.")}
    torch.save(bare, tmp_path / "pytorch_lora_weights.bin")
    first, second = lora_models("sd1"), lora_models("sd1")
    fuse_lora(tmp_path / "old.safetensors", 1.0, first, family_named("sd1"))
    fuse_lora(tmp_path / "pytorch_lora_weights.bin", 1.0, second, family_named("sd1"))
    assert all(
        torch.equal(value, second["unet"].state_dict()[key]) for key, value in first["unet"].state_dict().items()
    )


def test_a_convolution_in_three_parts_is_the_three_in_a_row(tmp_path):
    generator = torch.Generator().manual_seed(3)
    models = lora_models("sd1")
    convolution = models["unet"].down_blocks[0].resnets[0].conv1
    outputs, inputs = convolution.weight.shape[:2]
    down = torch.randn(RANK, inputs, 1, 1, generator=generator)
    mid = torch.randn(RANK, RANK, 3, 3, generator=generator)
    up = torch.randn(outputs, RANK, 1, 1, generator=generator)
    name = "lora_unet_down_blocks_0_resnets_0_conv1"
    state = {f"{name}.lora_{part}.weight": value for part, value in {"down": down, "mid": mid, "up": up}.items()}
    save_file({**state, f"{name}.alpha": torch.tensor(ALPHA)}, tmp_path / "locon.safetensors")
    picture = torch.randn(1, inputs, 5, 5, generator=generator)
    conv2d = torch.nn.functional.conv2d
    with torch.no_grad():
        through = conv2d(conv2d(conv2d(picture, down), mid, padding=1), up)
        expected = convolution(picture) + SCALE * ALPHA / RANK * through
        fuse_lora(tmp_path / "locon.safetensors", SCALE, models, family_named("sd1"))
        # Sums of some hundred float32 numbers of size 10 to 100, in another order.
        torch.testing.assert_close(convolution(picture), expected, atol=1e-3, rtol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_into_a_half_precision_checkpoint_it_is_fused_in_float32(tmp_path, dtype):
    """Against diffusers on the same weights made float32. Each change is far below what the half type's steps show."""
    tiny = {
        key: value * (2**-12 if "lora_up" in key else 1)
        for key, value in kohya_state("sd1", lora_models("sd1")).items()
    }
    save_file(tiny, tmp_path / "kohya.safetensors")
    ours, wide = ({name: model.to(dtype) for name, model in lora_models("sd1").items()} for _ in range(2))
    wide = {name: model.float() for name, model in wide.items()}
    before = {name: {key: value.clone() for key, value in model.state_dict().items()} for name, model in wide.items()}
    fuse_lora(tmp_path / "kohya.safetensors", SCALE, ours, family_named("sd1"))
    theirs = loaded_by_diffusers("sd1", wide, tmp_path / "kohya.safetensors", SCALE)
    lost = changed = 0
    for name, model in ours.items():
        for key, value in model.state_dict().items():
            right, base = theirs[name][key], before[name][key]
            torch.testing.assert_close(value.float(), right, atol=1e-7, rtol=1e-6)
            if not torch.equal(right, base):
                assert value.dtype == torch.float32
                changed += right.numel()
                lost += int((right.to(dtype).float() == base).sum())
    assert lost > changed / 2, "rounded back to the half type, most of it would be lost"


def test_several_add_up_and_a_negative_scale_takes_one_away(tmp_path):
    save_file(kohya_state("sd1", lora_models("sd1")), tmp_path / "kohya.safetensors")
    models, before = lora_models("sd1"), lora_models("sd1")
    for scale in (1.0, 0.5, -1.5):
        fuse_lora(tmp_path / "kohya.safetensors", scale, models, family_named("sd1"))
    for name, model in models.items():
        for key, value in model.state_dict().items():
            torch.testing.assert_close(value, before[name].state_dict()[key], atol=1e-6, rtol=0)


NAME = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn2_to_k"


def layer(name=NAME, inputs=64, outputs=128, rank=RANK, **more) -> dict:
    state = {f"{name}.lora_down.weight": torch.ones(rank, inputs), f"{name}.lora_up.weight": torch.ones(outputs, rank)}
    return state | {f"{name}.{key}": value for key, value in more.items()}


@pytest.mark.parametrize(
    ("state", "metadata", "says"),
    [
        (layer(inputs=2048), {}, "a LoRA for SDXL, the checkpoint is Stable Diffusion 1"),
        (layer(inputs=1024), {}, "a LoRA for Stable Diffusion 2, the checkpoint is Stable Diffusion 1"),
        (layer(inputs=96), {}, "a LoRA for text 96 wide, the checkpoint's is 64 wide"),
        (layer(outputs=96), {}, "changes 96x64 weights, the checkpoint has 128x64 there; use a LoRA made for"),
        (layer(outputs=96), {"ss_base_model_version": "sdxl_base_v1-0"}, "a LoRA for SDXL, the checkpoint is"),
        (layer("lora_te2_text_model_encoder_layers_0_mlp_fc1"), {}, "a LoRA for SDXL, the checkpoint is"),
        (layer("lora_unet_double_blocks_0_img_attn_proj"), {}, "a LoRA for Flux, the checkpoint is"),
        (layer("lora_unet_input_blocks_99_1_proj_in"), {}, "input_blocks_99_1_proj_in is not in the checkpoint"),
        (layer("lora_unet_middle_block_7_1"), {}, "middle_block_7_1 is not in the checkpoint"),
        (layer("lora_te_text_model_encoder_layers_7_mlp_fc1"), {}, "layers_7_mlp_fc1 is not in the checkpoint"),
        (layer(dora_scale=torch.ones(1, 65)), {}, "its matrices have different ranks"),
        ({f"{NAME}.hada_w1_a": torch.ones(2, 2)}, {}, "has no hada_w1_b matrix"),
        ({f"{NAME}.lokr_w1": torch.ones(2, 2)}, {}, "has no lokr_w2 matrix"),
        ({f"{NAME}.lokr_w1": torch.ones(2, 2), f"{NAME}.lokr_w2_a": torch.ones(2, 2)}, {}, "has no lokr_w2_b matrix"),
        ({f"{NAME}.diff": torch.ones(96, 64)}, {}, "changes 96x64 weights, the checkpoint has 128x64 there"),
        ({f"{NAME}.oft_blocks": torch.ones(3, 2, 2)}, {}, "its matrices do not fit the checkpoint's weight"),
        ({f"{NAME}.diff_b": torch.ones(128)}, {}, "attn2_to_k is not in the checkpoint"),
        ({f"{NAME}.alpha": torch.tensor(1.0)}, {}, "has only alpha"),
        (layer(lora_embedding_A=torch.ones(2)), {}, "uses trained embeddings"),
        ({f"{NAME}.lora_down.weight": torch.ones(4, 64)}, {}, "has no up matrix"),
        ({f"{NAME}.lora_up.weight": torch.ones(4, 64)}, {}, "has no down matrix"),
        (layer() | {f"{NAME}.lora_up.weight": torch.ones(128, 3)}, {}, "different ranks"),
        (layer(alpha=torch.tensor(float("nan"))), {}, "NaN or infinity"),
        (layer(alpha=torch.ones(2)), {}, "alpha is not a single number"),
        (layer(other=torch.ones(2)), {}, "attn2_to_k.other is not part of a LoRA"),
        ({"model.diffusion_model.out.2.bias": torch.ones(2)}, {}, "is a lone UNet, not a LoRA"),
        ({"emb_params": torch.ones(2, 768)}, {}, "is a textual inversion, not a LoRA; give it to"),
        ({"clip_l": torch.ones(2, 768), "clip_g": torch.ones(2, 1280)}, {}, "with --concept"),
        ({"<cat>": torch.ones(768)}, {}, "with --concept"),
        ({"transformer.joint_blocks.0.x.lora_A.weight": torch.ones(2, 2)}, {}, "has no up matrix"),
        ({}, {}, "not a LoRA, it holds nothing"),
        ({"unet.x.lora_A.weight": torch.ones(2, 2)}, {"lora_adapter_metadata": "{"}, "is not JSON"),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_is_changed(tmp_path, state, metadata, says):
    good = layer("lora_te_text_model_encoder_layers_0_mlp_fc1", 64, 128) if state and "alpha" not in says else {}
    path = tmp_path / "lora.safetensors"
    save_file(good | state, path, metadata or None)
    models = lora_models("sd1")
    before = {name: {key: value.clone() for key, value in model.state_dict().items()} for name, model in models.items()}
    with pytest.raises(LoraError) as caught:
        fuse_lora(path, 1.0, models, family_named("sd1"))
    assert str(caught.value).startswith(f"{path}: ")
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    for name, model in models.items():
        assert all(torch.equal(value, before[name][key]) for key, value in model.state_dict().items())


def test_a_damaged_file_is_named(tmp_path):
    (tmp_path / "cut.safetensors").write_bytes(b"\x10\x00\x00\x00\x00\x00\x00\x00{")
    for name in ("cut.safetensors", "missing.safetensors"):
        with pytest.raises(LoraError, match=name):
            fuse_lora(tmp_path / name, 1.0, {}, family_named("sd1"))


def test_the_scale_follows_the_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "odd:0.5").touch()
    found = {text: parse_lora(text) for text in ("a.safetensors", "a.safetensors:0.8", "d:x/a:-1", "a:b", "odd:0.5")}
    assert {text: (str(path), scale) for text, (path, scale) in found.items()} == {
        "a.safetensors": ("a.safetensors", 1.0),
        "a.safetensors:0.8": ("a.safetensors", 0.8),
        "d:x/a:-1": ("d:x/a", -1.0),
        "a:b": ("a:b", 1.0),
        "odd:0.5": ("odd:0.5", 1.0),
    }
    for text in ("a:nan", "a:inf", ":0.5"):
        with pytest.raises(LoraError):
            parse_lora(text)
