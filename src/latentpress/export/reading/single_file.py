"""Opens a checkpoint in one file (.safetensors, .ckpt), as Stability AI, A1111 and kohya's trainers name its weights.

The family is told by names and shapes, as each in the table of `families` says; the weights are renamed by diffusers'
own conversion functions, the configurations come from `families` and `ldm_config`. EMA copies, schedules and other keys
that no model needs are left in the file.
"""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from torch import Tensor

from latentpress.errors import CheckpointError
from latentpress.export.families import (
    ALL_FAMILIES,
    CLIP_VOCABULARY,
    FAMILIES,
    family_config,
    latents_of,
    write_clip_tokenizer,
)
from latentpress.export.families.family import Family, TextEncoder
from latentpress.export.reading.components import Components, assemble
from latentpress.export.reading.file_kinds import CHECKPOINT, UNET, known_kind
from latentpress.export.reading.ldm_config import SHAPE_ERRORS, heads_of, misfit, text_config, unet_config
from latentpress.export.reading.prediction import prediction_of, read_original_config, sample_size_of
from latentpress.export.reading.unet_names import LONE, lone_unet
from latentpress.export.reading.vae_file import built, convert_vae, load_vae
from latentpress.export.reading.weights import Weights, read_weights

State = dict[str, Tensor]

# The prefix that diffusers' function for a UNet of LDM's looks for.
_LDM_UNET = "model.diffusion_model."
# The beginning of a denoiser's keys that is where ours have theirs: of Stable Diffusion 3, Flux, Stable Cascade.
_FOREIGN_DENOISERS = tuple(
    _LDM_UNET + name for name in ("joint_blocks.", "double_blocks.", "clip_txt_pooled_mapper.", "effnet_mapper.")
)
# What a scheduler's configuration says of a model trained so that its last timestep is pure noise.
ZERO_SNR = {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}


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

    @property
    def note(self) -> str:
        """One line: what the file was found to be."""
        return f"{self.path.name}: {self.family.title}, {self.prediction}"

    def components(self, vae: Path | None = None, variant: str | None = None) -> Components:
        """The torch models and tokenizers of the file, its VAE replaced by the one at `vae`, of that variant.

        Raises CheckpointError.
        """
        family = self.family
        if vae is None and family.vae.name not in self.states:
            raise CheckpointError(f"{self.path}: holds no VAE; give one with --vae, e.g. the family's published one")
        models = {
            each.name: built(self.path, each, self.configs[each.name], self.states[each.name])
            for each in family.models
            if each != family.vae or vae is None
        }
        if vae is not None:
            models[family.vae.name] = load_vae(vae, family, variant)
        with tempfile.TemporaryDirectory() as work:
            for encoder in family.text_encoders:
                folder = Path(work) / encoder.tokenizer.name
                write_clip_tokenizer(folder, encoder)
                models[encoder.tokenizer.name] = encoder.tokenizer.load_class().from_pretrained(folder)
        return assemble(str(self.path), family, models, self.scheduler, self.settings)


def open_single_file(path: Path, *, prediction_type: str | None = None) -> SingleFile:
    """Open the checkpoint file at `path`; raises CheckpointError naming it.

    prediction_type: epsilon or v_prediction where the file's own is guessed wrongly (see `prediction`).
    """
    path = Path(path)
    weights = read_weights(path)
    family, prefixes = _detect(weights)
    encoders = family.text_encoders
    try:
        unet = _part(weights.tensors, family.denoiser.file_prefix)
        states = {each.name: _text_state(weights.tensors, each, prefixes[each.name], family) for each in encoders}
        configs = {name: text_config(state, family, name) for name, state in states.items()}
        projections = (states[each.name].get("text_projection.weight") for each in encoders if each.pooled)
        pooled = next((weight for weight in projections if weight is not None), None)
        original = read_original_config(path)
        pooled_size = None if pooled is None else pooled.shape[0]
        states["unet"], configs["unet"] = convert_unet(unet, family, pooled_size, original)
        if any(key.startswith(family.vae_prefixes) for key in weights.tensors):
            states["vae"], configs["vae"] = convert_vae(weights.tensors, family)
    except SHAPE_ERRORS as error:
        raise CheckpointError(
            f"{path}: looks like {family.title}, but {misfit(error)}; only the published architectures can be exported"
        ) from None
    _check_vocabulary(path, configs)
    _check_channels(path, configs["unet"], family)
    kind, why = prediction_of(weights, family, configs["unet"], unet, original, prediction_type)
    configs["unet"]["sample_size"] = sample_size_of(weights, family, kind)
    index = family_config(family, "model_index")
    pipeline = str(index.pop("_class_name"))
    if configs["unet"]["in_channels"] == latents_of(family).unet_channels[1]:
        pipeline = family.inpainting_pipeline
    scheduler = family_config(family, "scheduler") | {"prediction_type": kind}
    if kind == "v_prediction" and "ztsnr" in weights.tensors:
        scheduler |= ZERO_SNR
    return SingleFile(path, family, pipeline, index, configs, states, scheduler, f"{kind}: {why}")


def load_single_file(path: Path, *, prediction_type: str | None = None, vae: Path | None = None) -> Components:
    """The checkpoint file at `path`, its VAE replaced by the one at `vae`; as `checkpoint.load_components` loads folders.

    Raises CheckpointError.
    """
    return open_single_file(path, prediction_type=prediction_type).components(vae)


def convert_unet(
    unet: State, family: Family, pooled_size: int | None, original: Mapping[str, Any]
) -> tuple[State, dict[str, Any]]:
    """The UNet `unet`, in LDM's names without their prefix, in diffusers' names, and its configuration.

    pooled_size: width of the pooled text, for SDXL; original: see `prediction.read_original_config`. Raises one of
    SHAPE_ERRORS.
    """
    from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint

    config = unet_config(unet, family, pooled_size)
    config |= _heads(original, config)
    return convert_ldm_unet_checkpoint({_LDM_UNET + key: value for key, value in unet.items()}, config), config


def _detect(weights: Weights) -> tuple[Family, dict[str, str]]:
    """The family, and each text encoder's prefix in the file."""
    tensors = weights.tensors
    candidates = [family for family in FAMILIES.values() if family.denoiser.in_file(tensors)]
    if not candidates or any(key.startswith(_FOREIGN_DENOISERS) for key in tensors):
        raise CheckpointError(f"{weights.path}: {LONE if lone_unet(tensors) else _foreign(tensors)}")
    for family in candidates:
        found = {
            each.name: next(
                (start for start in each.file_prefixes if any(key.startswith(start) for key in tensors)), None
            )
            for each in family.text_encoders
        }
        if all(found.values()):
            return family, {name: prefix for name, prefix in found.items() if prefix}
    first = candidates[0]
    if lone_unet(tensors) and not any(key.startswith(first.vae_prefixes) for key in tensors):
        raise CheckpointError(f"{weights.path}: {LONE}")
    raise CheckpointError(
        f"{weights.path}: holds {first.denoiser.title} without its text encoder{'s' * (len(first.text_encoders) > 1)}; "
        "give the whole checkpoint, or the one it belongs to with --base"
    )


def _foreign(tensors: Mapping[str, Tensor]) -> str:
    kind = known_kind(tensors)
    if kind not in (None, CHECKPOINT, UNET):
        return kind.not_a("a Stable Diffusion checkpoint" if "checkpoint" in kind.what else "a checkpoint")
    shown = ", ".join(sorted(tensors)[:3]) or "nothing"
    return f"of no known family (it holds {shown}); {ALL_FAMILIES} and their inpainting models can be exported"


def _part(tensors: Mapping[str, Tensor], prefix: str) -> State:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


def _text_state(tensors: Mapping[str, Tensor], encoder: TextEncoder, prefix: str, family: Family) -> State:
    """A text encoder's weights under transformers' names; what is beside them (position ids, scales) is left out."""
    part = _part(tensors, prefix)
    if encoder.file_names == "transformers":
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
    state = {key: value for key, value in state.items() if key.startswith(kept) and not key.endswith(".position_ids")}
    if encoder.drops_last_layer:
        return _without_last_layer(state, family_config(family, encoder.name)["num_hidden_layers"])
    return state


def _without_last_layer(state: State, used: int) -> State:
    """Without the layer that is not used, and without the projection, as SD 2 has it.

    used: the layers of the published encoder; a file with as many (SD 2: 23) has lost the unused one already.
    """
    layers = {int(key.split(".")[3]) for key in state if key.startswith("text_model.encoder.layers.")}
    unused = None if len(layers) == used else f"text_model.encoder.layers.{max(layers)}."
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


def _check_channels(path: Path, config: Mapping[str, Any], family: Family) -> None:
    known = {7: "an upscaler", 8: "InstructPix2Pix"}
    plain, inpainting = latents_of(family).unet_channels
    if (channels := config["in_channels"]) not in (plain, inpainting):
        what = known.get(channels, "another kind of model")
        raise CheckpointError(
            f"{path}: the UNet takes {channels} channels ({what}); "
            f"only {plain} and {inpainting} (inpainting) can be exported"
        )
