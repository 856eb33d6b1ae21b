"""The kinds of LoRA files, as their trainers name the layers and by every method there is.

Those of plain LoRA all say one thing, the change `up @ down / 2` of one layer, whoever's names they have.
"""

import json
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from latentpress.testing.corpus.kind import FileKind

# The layer of Stable Diffusion 1's UNet that every LoRA of the corpus changes, 64 numbers wide on both sides; its name in
# ldm's UNet, of small_models' size; and the text encoder's, of the same width.
LAYER, WIDTH, RANK = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q", 64, 4
LDM_LAYER = "input_blocks.1.1.transformer_blocks.0.attn1.to_q"
TEXT_LAYER = "text_model.encoder.layers.0.self_attn.q_proj"
# alpha / rank
RATIO = 0.5
_KOHYA = f"lora_unet_{LAYER.replace('.', '_')}"

State = dict[str, Tensor]


def matrices() -> tuple[Tensor, Tensor]:
    """down (RANK, WIDTH) and up (WIDTH, RANK); the same each time."""
    generator = torch.Generator().manual_seed(1)
    return torch.randn(RANK, WIDTH, generator=generator), torch.randn(WIDTH, RANK, generator=generator)


def _random(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(len(shape) + shape[0])) * 0.1


def _low_rank(down: str, up: str, alpha: str | None) -> State:
    """The file's one layer under these keys; without an alpha, the ratio is in its matrix."""
    first, second = matrices()
    if alpha is None:
        return {down: first, up: second * RATIO}
    return {down: first, up: second, alpha: torch.tensor(RANK * RATIO)}


def _kohya_named(name: str) -> State:
    return _low_rank(f"{name}.lora_down.weight", f"{name}.lora_up.weight", f"{name}.alpha")


def _saved(state: Callable[[], State], name: str = "style.safetensors", metadata: dict[str, str] | None = None):
    def build(folder: Path) -> Path:
        save_file({key: value.contiguous() for key, value in state().items()}, folder / name, metadata)
        return folder / name

    return build


def _peft(prefix: str, adapter: str = "") -> State:
    middle = f".{adapter}" if adapter else ""
    return _low_rank(f"{prefix}{LAYER}.lora_A{middle}.weight", f"{prefix}{LAYER}.lora_B{middle}.weight", None)


def _text_beside(first: str, second: str) -> Callable[[], State]:
    """Layers of the UNet and of the text encoder, whose names these are."""
    return lambda: _kohya_named(first) | _kohya_named(second)


def _bundled() -> State:
    """OneTrainer's, with the textual inversion it was trained with."""
    return _kohya_named(_KOHYA) | {"bundle_emb.my-cat.clip_l": _random(2, WIDTH)}


def _diffusers_header(folder: Path) -> Path:
    """diffusers since 0.35 keeps PEFT's settings in the header."""
    first, second = matrices()
    settings = {"unet.r": RANK, "unet.lora_alpha": RANK * RATIO, "unet.target_modules": ["to_q"]}
    state = {f"unet.{LAYER}.lora_A.weight": first, f"unet.{LAYER}.lora_B.weight": second}
    save_file(state, folder / "pytorch_lora_weights.safetensors", {"lora_adapter_metadata": json.dumps(settings)})
    return folder / "pytorch_lora_weights.safetensors"


def _diffusers_folder(folder: Path) -> Path:
    return _diffusers_header(folder).parent


def _peft_folder(folder: Path) -> Path:
    """What PeftModel.save_pretrained leaves of a UNet, as PEFT's own LoRA DreamBooth example does."""
    first, second = matrices()
    name = f"base_model.model.{LAYER}"
    (folder / "unet").mkdir()
    state = {f"{name}.lora_A.weight": first, f"{name}.lora_B.weight": second}
    save_file(state, folder / "unet" / "adapter_model.safetensors")
    settings = {"peft_type": "LORA", "r": RANK, "lora_alpha": 1.0, "alpha_pattern": {"attn1.to_q": RANK * RATIO}}
    (folder / "unet" / "adapter_config.json").write_text(json.dumps(settings))
    return folder


def _fp8() -> State:
    return {key: value.to(torch.float8_e4m3fn) if value.ndim else value for key, value in _kohya_named(_KOHYA).items()}


def _method(**parts: Tensor) -> Callable[[], State]:
    return lambda: {f"{_KOHYA}.{role.replace('__', '.')}": part for role, part in parts.items()}


def _dora() -> State:
    return _kohya_named(_KOHYA) | {f"{_KOHYA}.dora_scale": 1 + _random(WIDTH, 1)}


def _peft_dora() -> State:
    return _peft("unet.") | {f"unet.{LAYER}.lora_magnitude_vector": 1 + _random(WIDTH)}


def _numbered() -> State:
    """cloneofsimo's trainer numbers the layers in the order it met them, and names its words as it likes."""
    down, up = matrices()
    return {"unet:0:up": up, "unet:0:down": down, "<s1>": _random(WIDTH)}


def _numbered_list(folder: Path) -> Path:
    down, up = matrices()
    torch.save([up.half(), down.half()], folder / "lora_weight.pt")
    return folder / "lora_weight.pt"


def _a1111_concept(folder: Path) -> Path:
    words = torch.nn.ParameterDict({"*": torch.nn.Parameter(_random(2, WIDTH))})
    torch.save({"string_to_token": {"*": 265}, "string_to_param": words, "name": "my-style"}, folder / "style.pt")
    return folder / "style.pt"


def _kind(state: Callable[[], State], metadata: dict[str, str] | None = None, refused: str | None = None) -> FileKind:
    return FileKind("lora", _saved(state, metadata=metadata), refused=refused)


_FACTORS = {f"hada_w{number}_a": _random(WIDTH, RANK) for number in "12"} | {
    f"hada_w{number}_b": _random(RANK, WIDTH) for number in "12"
}
_GLORA = {f"{letter}1__weight": _random(WIDTH, RANK) for letter in "ab"} | {
    f"{letter}2__weight": _random(RANK, WIDTH) for letter in "ab"
}
# Whoever's names: one change, that of lora-kohya.
SAME: dict[str, FileKind] = {
    "lora-kohya": _kind(lambda: _kohya_named(_KOHYA)),
    "lora-kohya-ldm": _kind(lambda: _kohya_named(f"lora_unet_{LDM_LAYER.replace('.', '_')}")),
    "lora-comfyui": _kind(lambda: _kohya_named(f"diffusion_model.{LDM_LAYER}")),
    "lora-onetrainer": _kind(lambda: _kohya_named(f"unet.{LDM_LAYER}")),
    "lora-onetrainer-bare": _kind(lambda: _kohya_named(LDM_LAYER)),
    "lora-onetrainer-bundle": _kind(_bundled),
    "lora-diffusers": FileKind("lora", _diffusers_header),
    "lora-diffusers-folder": FileKind("lora", _diffusers_folder),
    "lora-diffusers-adapter": _kind(lambda: _peft("unet.", "style")),
    "lora-diffusers-2023": _kind(
        lambda: _low_rank(
            f"{LAYER.replace('.to_q', '.processor.to_q_lora')}.down.weight",
            f"{LAYER.replace('.to_q', '.processor.to_q_lora')}.up.weight",
            None,
        )
    ),
    "lora-peft-folder": FileKind("lora", _peft_folder),
}
LORAS: dict[str, FileKind] = {
    **SAME,
    "lora-comfyui-text": _kind(
        _text_beside(f"diffusion_model.{LDM_LAYER}", f"text_encoders.clip_l.transformer.{TEXT_LAYER}")
    ),
    "lora-onetrainer-text": _kind(_text_beside(f"unet.{LDM_LAYER}", f"clip_l.{TEXT_LAYER}")),
    "lora-fp8": _kind(_fp8),
    "lora-dora": _kind(_dora),
    "lora-dora-peft": _kind(_peft_dora),
    "lora-loha": _kind(_method(**_FACTORS, alpha=torch.tensor(2.0))),
    "lora-lokr": _kind(_method(lokr_w1=_random(4, 8), lokr_w2_a=_random(16, 2), lokr_w2_b=_random(2, 8))),
    "lora-glora": _kind(_method(**_GLORA, alpha=torch.tensor(2.0))),
    "lora-ia3": _kind(_method(weight=_random(WIDTH), on_input=torch.tensor(1))),
    "lora-oft": _kind(_method(oft_blocks=_random(16, 4, 4), alpha=torch.tensor(0.0))),
    "lora-boft": _kind(_method(oft_blocks=_random(4, 16, 4, 4), alpha=torch.tensor(0.0))),
    "lora-full": _kind(_method(diff=_random(WIDTH, WIDTH))),
    "lora-norm": _kind(
        lambda: {
            f"{_KOHYA.replace('attn1_to_q', 'norm1')}.w_norm": _random(WIDTH),
            f"{_KOHYA.replace('attn1_to_q', 'norm1')}.b_norm": _random(WIDTH),
        }
    ),
    "lora-flux": _kind(
        lambda: _kohya_named("lora_unet_double_blocks_0_img_attn_proj"), refused="a LoRA for Flux, the checkpoint is"
    ),
    "lora-cloneofsimo": _kind(_numbered, refused="is a LoRA of cloneofsimo's trainer"),
    "lora-cloneofsimo-pt": FileKind("lora", _numbered_list, refused="is a LoRA of cloneofsimo's trainer"),
    "lora-concept": _kind(
        lambda: {"emb_params": _random(2, WIDTH)}, refused="is a textual inversion, not a LoRA; give it"
    ),
    "lora-concept-pt": FileKind("lora", _a1111_concept, refused="is a textual inversion, not a LoRA; give it"),
}
