"""Opens a checkpoint in one file (.safetensors, .ckpt), as Stability AI, A1111 and kohya's trainers name its weights.

The family is told by names and shapes; the weights are renamed by diffusers' own conversion functions, the configurations
come from `families` and `ldm_config`. EMA copies, schedules and other keys that no model needs are left in the file.
"""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from torch import Tensor

from latentpress.bundle.info import Family
from latentpress.errors import CheckpointError
from latentpress.export.families import CLIP_VOCABULARY, TITLES, family_config, write_clip_tokenizer
from latentpress.export.reading.components import Components, assemble, component_classes
from latentpress.export.reading.ldm_config import SHAPE_ERRORS, heads_of, misfit, text_config, unet_config
from latentpress.export.reading.prediction import prediction_of, read_original_config, sample_size_of
from latentpress.export.reading.vae_file import built, convert_vae, load_vae
from latentpress.export.reading.weights import Weights, read_weights

State = dict[str, Tensor]

UNET = "model.diffusion_model."
# Family -> text encoder -> where single files keep it. SD 2 has a second name in files of Stability's newer trainer.
_TEXT = {
    "sd1": {"text_encoder": ("cond_stage_model.transformer.",)},
    "sd2": {"text_encoder": ("cond_stage_model.model.", "conditioner.embedders.0.model.")},
    "sdxl": {
        "text_encoder": ("conditioner.embedders.0.transformer.",),
        "text_encoder_2": ("conditioner.embedders.1.model.",),
    },
    "sdxl_refiner": {"text_encoder_2": ("conditioner.embedders.0.model.",)},
}
# A key's beginning -> what such a file is instead of a checkpoint that can be exported, and the way out.
_FOREIGN = {
    "model.diffusion_model.joint_blocks.": "a Stable Diffusion 3 checkpoint, which cannot be exported",
    "model.diffusion_model.double_blocks.": "a Flux checkpoint, which cannot be exported",
    "double_blocks.": "a Flux checkpoint, which cannot be exported",
    "control_model.": "a ControlNet, which cannot be exported; give the checkpoint it belongs to",
    "edm_mean": "a Playground 2.5 checkpoint, which cannot be exported",
    "lora_": "a LoRA, not a checkpoint; give it with --lora beside the checkpoint it was trained for",
    "unet.": "a LoRA or a part of one, not a checkpoint; give it with --lora beside a checkpoint",
    "first_stage_model.": "a VAE, not a checkpoint; give it with --vae beside a checkpoint",
    "decoder.": "a VAE, not a checkpoint; give it with --vae beside a checkpoint",
    "emb_params": "a textual inversion, not a checkpoint; give it with --concept beside a checkpoint",
    "down_blocks.": "a lone UNet in diffusers' names; give the whole checkpoint, or its diffusers folder",
}


@dataclass(frozen=True)
class SingleFile:
    """An opened single-file checkpoint; everything is keyed by component: unet, text_encoder, text_encoder_2, vae.

    configs: diffusers' or transformers' configuration; states: the weights under their names there, of the file's type,
    still mapped to the file. `vae` is in neither if the file holds none. pipeline and settings: what model_index.json
    would say. prediction: which prediction type was chosen, and why.
    """

    path: Path
    family: Family
    pipeline: str
    settings: dict[str, Any]
    configs: dict[str, dict[str, Any]]
    states: dict[str, State]
    scheduler: dict[str, Any]
    prediction: str


def open_single_file(path: Path, *, prediction_type: str | None = None) -> SingleFile:
    """Open the checkpoint file at `path`; raises CheckpointError naming it.

    prediction_type: epsilon or v_prediction where the file's own is guessed wrongly (see `prediction`).
    """
    path = Path(path)
    weights = read_weights(path)
    family, prefixes = _detect(weights)
    try:
        unet = _part(weights.tensors, UNET)
        states = {name: _text_state(weights.tensors, prefix) for name, prefix in prefixes.items()}
        if family == "sd2":
            states["text_encoder"] = _without_last_layer(states["text_encoder"])
        configs = {name: text_config(state, family, name) for name, state in states.items()}
        pooled = states.get("text_encoder_2", {}).get("text_projection.weight")
        configs["unet"] = unet_config(unet, family, None if pooled is None else pooled.shape[0])
        original = read_original_config(path)
        configs["unet"] |= _heads(original, configs["unet"])
        states["unet"] = _unet_state(unet, configs["unet"])
        if any(key.startswith(("first_stage_model.", "vae.")) for key in weights.tensors):
            states["vae"], configs["vae"] = convert_vae(weights.tensors, family)
    except SHAPE_ERRORS as error:
        raise CheckpointError(
            f"{path}: looks like {TITLES[family]}, but {misfit(error)}; only the published architectures can be exported"
        ) from None
    _check_vocabulary(path, configs)
    _check_channels(path, configs["unet"])
    kind, why = prediction_of(weights, family, configs["unet"], unet, original, prediction_type)
    configs["unet"]["sample_size"] = sample_size_of(weights, family, configs["unet"], kind)
    index = family_config(family, "model_index")
    pipeline = str(index.pop("_class_name"))
    if configs["unet"]["in_channels"] == 9:
        pipeline = pipeline.replace("Img2Img", "").replace("Pipeline", "InpaintPipeline")
    scheduler = family_config(family, "scheduler") | {"prediction_type": kind}
    if kind == "v_prediction" and "ztsnr" in weights.tensors:  # trained so that its last timestep is pure noise
        scheduler |= {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
    return SingleFile(path, family, pipeline, index, configs, states, scheduler, f"{kind}: {why}")


def load_single_file(path: Path, *, prediction_type: str | None = None, vae: Path | None = None) -> Components:
    """The checkpoint file at `path`, its VAE replaced by the one at `vae`; as `checkpoint.load_components` loads folders.

    Raises CheckpointError.
    """
    return assembled(open_single_file(path, prediction_type=prediction_type), vae)


def assembled(file: SingleFile, vae: Path | None = None) -> Components:
    """The torch models and tokenizers of an opened `file`, its VAE replaced by the one at `vae`."""
    if vae is None and "vae" not in file.states:
        raise CheckpointError(f"{file.path}: holds no VAE; give one with --vae, e.g. the family's published one")
    models = {
        name: built(file.path, name, file.configs[name], state)
        for name, state in file.states.items()
        if name != "vae" or vae is None
    }
    if vae is not None:
        models["vae"] = load_vae(vae, file.family)
    with tempfile.TemporaryDirectory() as work:
        for name in file.states:
            if name.startswith("text_encoder"):
                tokenizer = name.replace("text_encoder", "tokenizer")
                write_clip_tokenizer(Path(work) / tokenizer, file.family, name)
                models[tokenizer] = component_classes()[tokenizer].from_pretrained(Path(work) / tokenizer)
    return assemble(str(file.path), file.pipeline, models, file.scheduler, file.settings)


def _detect(weights: Weights) -> tuple[Family, dict[str, str]]:
    """The family, and each text encoder's prefix in the file."""
    tensors = weights.tensors
    if not any(key.startswith(UNET) for key in tensors) or any(key.startswith(tuple(_FOREIGN)[:2]) for key in tensors):
        raise CheckpointError(f"{weights.path}: {_foreign(tensors)}")
    label = f"{UNET}label_emb.0.0.weight" in tensors
    candidates: tuple[Family, ...] = ("sdxl", "sdxl_refiner") if label else ("sd1", "sd2")
    for family in candidates:
        found = {
            name: next((prefix for prefix in prefixes if any(key.startswith(prefix) for key in tensors)), None)
            for name, prefixes in _TEXT[family].items()
        }
        if all(found.values()):
            return family, {name: prefix for name, prefix in found.items() if prefix}
    kind = "an SDXL UNet" if label else "a UNet"
    raise CheckpointError(
        f"{weights.path}: holds {kind} without its text encoder{'s' if label else ''}; give the whole checkpoint"
    )


def _foreign(tensors: Mapping[str, Tensor]) -> str:
    for start, what in _FOREIGN.items():
        if any(key.startswith(start) for key in tensors):
            return what
    shown = ", ".join(sorted(tensors)[:3]) or "nothing"
    return (
        f"of no known family (it holds {shown}); "
        "Stable Diffusion 1 and 2, SDXL, its refiner and their inpainting models can be exported"
    )


def _part(tensors: Mapping[str, Tensor], prefix: str) -> State:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


def _unet_state(unet: State, config: Mapping[str, Any]) -> State:
    from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint

    return convert_ldm_unet_checkpoint({UNET + key: value for key, value in unet.items()}, config)


def _text_state(tensors: Mapping[str, Tensor], prefix: str) -> State:
    """A text encoder's weights under transformers' names; what is beside them (position ids, scales) is left out."""
    part = _part(tensors, prefix)
    if prefix.endswith(".transformer."):
        # Files of transformers before 4.0, and merges made from them, leave the model's own name out.
        own = "" if any(key.startswith("text_model.") for key in part) else "text_model."
        state = {own + key: value for key, value in part.items()}
    else:
        from diffusers.loaders.single_file_utils import convert_open_clip_checkpoint

        width = part["positional_embedding"].shape[1]
        own_config = SimpleNamespace(config=SimpleNamespace(hidden_size=width))
        # Under a prefix of its own: of SD 2's, diffusers drops the 24th layer, which is the last at full size only.
        renamed = {f"encoder.{key}": value for key, value in part.items()}
        state = convert_open_clip_checkpoint(own_config, renamed, prefix="encoder.")
        if "text_projection.weight" in part:  # diffusers' own script writes it so, not transposed
            state["text_projection.weight"] = part["text_projection.weight"]
    kept = ("text_model.encoder.", "text_model.final_layer_norm.", "text_model.embeddings.", "text_projection.weight")
    return {key: value for key, value in state.items() if key.startswith(kept) and not key.endswith(".position_ids")}


def _without_last_layer(state: State) -> State:
    """SD 2 uses the last but one of OpenCLIP's 24 layers; a file with 23 has lost the unused one already.

    It has no use for the projection either.
    """
    layers = {int(key.split(".")[3]) for key in state if key.startswith("text_model.encoder.layers.")}
    unused = None if len(layers) == 23 else f"text_model.encoder.layers.{max(layers)}."
    return {
        key: value
        for key, value in state.items()
        if key != "text_projection.weight" and not (unused and key.startswith(unused))
    }


def _heads(original: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """What a configuration file beside the checkpoint says of the attention heads, which no tensor shows."""
    each, number = original.get("num_head_channels"), original.get("num_heads")
    if isinstance(each, int) and each > 0:
        return {"attention_head_dim": heads_of(config["block_out_channels"], each)}
    return {"attention_head_dim": number} if isinstance(number, int) and number > 0 else {}


def _check_vocabulary(path: Path, configs: Mapping[str, Mapping[str, Any]]) -> None:
    for component, config in configs.items():
        if (size := config.get("vocab_size", CLIP_VOCABULARY)) != CLIP_VOCABULARY:
            raise CheckpointError(
                f"{path}: {component} knows {size} tokens, CLIP's tokenizer has {CLIP_VOCABULARY}; "
                "a model with its own vocabulary can be exported from its diffusers folder only"
            )


def _check_channels(path: Path, config: Mapping[str, Any]) -> None:
    known = {7: "an upscaler", 8: "InstructPix2Pix"}
    if (channels := config["in_channels"]) not in (4, 9):
        what = known.get(channels, "another kind of model")
        raise CheckpointError(
            f"{path}: the UNet takes {channels} channels ({what}); only 4 and 9 (inpainting) can be exported"
        )
