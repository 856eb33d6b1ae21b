"""LoRA files of random matrices, as kohya's trainer and as diffusers with PEFT write them."""

import torch
from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline
from peft import LoraConfig, get_peft_model_state_dict

from latentpress.export.graphs.fusing import fuse
from latentpress.export.lora import plan_lora
from ldm_names import ldm_unet_key, small_models

RANK, ALPHA = 4, 3.0
KOHYA = {"sd1": {"text_encoder": "lora_te"}, "sdxl": {"text_encoder": "lora_te1", "text_encoder_2": "lora_te2"}}


def lora_models(family: str) -> dict:
    """Models to make LoRA files for, and to fuse them into: no VAE, and few words, which no LoRA changes."""
    models = small_models(family, vocabulary=1000)
    del models["vae"]
    return models


def matrices(module, generator) -> dict[str, torch.Tensor]:
    """Random down and up matrices for a linear layer or a convolution."""
    weight = module.weight
    convolution = weight.ndim == 4
    return {
        "down": torch.randn(RANK, *weight.shape[1:], generator=generator) * 0.1,
        "up": torch.randn(weight.shape[0], RANK, *((1, 1) if convolution else ()), generator=generator) * 0.1,
    }


def layers_of(model, words) -> list[str]:
    kinds = (torch.nn.Linear, torch.nn.Conv2d)
    return [name for name, module in model.named_modules() if isinstance(module, kinds) and name.endswith(words)]


def kohya_state(family: str, models: dict) -> dict[str, torch.Tensor]:
    """Every kind of layer kohya's trainer and LoCon change, under the names they give them."""
    generator = torch.Generator().manual_seed(1)
    unet = models["unet"]
    ends = ("conv_in", "conv_out", "linear_1", "linear_2", "downsamplers.0.conv", "upsamplers.0.conv")
    words = ("to_q", "to_k", "to_v", "to_out.0", "proj_in", "proj_out", "ff.net.0.proj", "ff.net.2", "conv1", "conv2")
    state = {}
    for path in layers_of(unet, (*words, *ends, "time_emb_proj", "conv_shortcut")):
        # For SDXL the trainer has sgm's UNet, for Stable Diffusion 1 diffusers'.
        name = ldm_unet_key(f"{path}.weight", unet).removesuffix(".weight") if family == "sdxl" else path
        add_kohya(state, f"lora_unet_{name.replace('.', '_')}", matrices(unet.get_submodule(path), generator))
    for component, prefix in KOHYA[family].items():
        for path in layers_of(models[component], ("q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2")):
            parts = matrices(models[component].get_submodule(path), generator)
            add_kohya(state, f"{prefix}_{path.replace('.', '_')}", parts)
    return state


def add_kohya(state: dict, name: str, parts: dict) -> None:
    state |= {f"{name}.lora_{part}.weight": value for part, value in parts.items()}
    state[f"{name}.alpha"] = torch.tensor(ALPHA)


def save_peft(folder, family: str, models: dict, rslora: bool = False) -> None:
    """folder/pytorch_lora_weights.safetensors, by diffusers; `models` keep the adapters."""
    targets = {"unet": ["to_q", "to_k", "to_v", "to_out.0", "conv1", "proj_in"]}
    found, metadata = {}, {}
    for name, model in models.items():
        config = LoraConfig(
            r=RANK,
            lora_alpha=ALPHA,
            use_rslora=rslora,
            alpha_pattern={"attn1.to_q": 9.0} if name == "unet" else {},
            target_modules=targets.get(name, ["q_proj", "v_proj", "fc1"]),
            init_lora_weights=False,
        )
        torch.manual_seed(5)
        model.add_adapter(config)
        found[name] = get_peft_model_state_dict(model)
        metadata[name] = {**config.to_dict(), "peft_type": "LORA", "task_type": None}
        metadata[name]["target_modules"] = sorted(metadata[name]["target_modules"])
    extra = {}
    if family == "sdxl":
        extra = {
            "text_encoder_2_lora_layers": found["text_encoder_2"],
            "text_encoder_2_lora_adapter_metadata": metadata["text_encoder_2"],
        }
    pipeline = {"sd1": StableDiffusionPipeline, "sdxl": StableDiffusionXLPipeline}[family]
    pipeline.save_lora_weights(
        folder,
        unet_lora_layers=found["unet"],
        text_encoder_lora_layers=found["text_encoder"],
        unet_lora_adapter_metadata=metadata["unet"],
        text_encoder_lora_adapter_metadata=metadata["text_encoder"],
        **extra,
    )


def fuse_lora(path, scale: float, models: dict, family, missing: str = "error"):
    """Fuse a LoRA into `models`, in float32; the record of it."""
    fusing = plan_lora(path, scale, models, family, missing)
    for model in models.values():
        fuse(model, fusing.changes, torch.float32)
    assert not fusing.changes
    return fusing.record
