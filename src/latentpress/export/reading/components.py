"""A checkpoint's parts in memory, wherever they came from: whether they make a checkpoint that can be exported.

A loader (a folder, a single file) hands `assemble` its family, its torch models by component name and the pipeline's own
settings; `model_from` builds one model of a component from a config and a state dict.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from latentpress.bundle.info import AddedConditioning
from latentpress.errors import CheckpointError
from latentpress.export.families import denoiser_config, latents_of
from latentpress.export.families.family import Component, Family, time_ids
from latentpress.export.reading.clip_versions import weights_for

# The most hidden states a text encoder's graph gives: clip skip 0 .. 11, the range of A1111's slider.
MAX_LAYERS = 12


@dataclass(frozen=True)
class TextPart:
    """A text encoder: `component` (text_encoder or text_encoder_2), its torch model and its tokenizer.

    tokenizer_folder: tokenizer or tokenizer_2, as in diffusers' folders. penultimate: the hidden state in use is the last
    but one, without the final layer norm (SDXL), not the last with it.
    """

    component: str
    model: Any
    tokenizer: Any
    tokenizer_folder: str
    penultimate: bool

    @property
    def hidden_size(self) -> int:
        return int(self.model.config.hidden_size)

    @property
    def layers(self) -> int:
        """Hidden states the graph gives: the one in use, then one for each layer skipped."""
        states = int(self.model.config.num_hidden_layers) + (0 if self.penultimate else 1)
        return min(MAX_LAYERS, states)

    @property
    def pooled_size(self) -> int | None:
        """Width of the projected pooled output; None for an encoder without a projection."""
        projection = getattr(self.model, "text_projection", None)
        return None if projection is None else int(projection.out_features)


@dataclass(frozen=True)
class Components:
    """A loaded checkpoint: torch models in the types they were saved in, the tokenizers, the scheduler's config as written.

    Export computes with half precision in float32 a layer at a time (`widening`), so that none is float32 as a whole.
    """

    family: Family
    texts: tuple[TextPart, ...]
    unet: Any
    vae: Any
    scheduler: dict[str, Any]
    added_conditioning: AddedConditioning | None
    force_zeros_for_empty_prompt: bool
    requires_aesthetics_score: bool

    @property
    def max_tokens(self) -> int:
        """Tokens of one encoded prompt, start and end included: 77."""
        return int(self.texts[0].model.config.max_position_embeddings)

    @property
    def latent_size(self) -> int:
        """Latents a side at the size the checkpoint was made for."""
        size = self.unet.config.sample_size
        return int(size if isinstance(size, int) else size[0])

    @property
    def unet_in_channels(self) -> int:
        return int(self.unet.config.in_channels)

    @property
    def cross_attention_dim(self) -> int:
        return int(self.unet.config.cross_attention_dim)

    @property
    def guidance_embedding(self) -> int | None:
        """The width of the guidance scale's features that a UNet distilled with guidance (LCM) takes; None for others."""
        size = self.unet.config.time_cond_proj_dim
        return None if size is None else int(size)

    @property
    def latent_channels(self) -> int:
        return int(self.vae.config.latent_channels)

    @property
    def scaling_factor(self) -> float:
        return float(self.vae.config.scaling_factor)

    @property
    def vae_scale_factor(self) -> int:
        """Pixels per latent: each of the autoencoder's levels but the last halves the picture."""
        return 2 ** (len(self.vae.config.block_out_channels) - 1)


def model_from(component: Component, config: Mapping[str, Any], state: Mapping[str, Any]) -> Any:
    """The torch model of `component` with the diffusers or transformers `config` and the weights `state`.

    Raises CheckpointError where the weights are not those of such a model.
    """
    import torch

    with torch.device("meta"):
        model = weightless(component, config)
    # Position ids are a buffer that old checkpoints hold and no model needs.
    given = {key: value for key, value in state.items() if not key.endswith("embeddings.position_ids")}
    if component.library == "transformers":
        given = weights_for(model, given)
    missing, unexpected = model.load_state_dict(given, strict=False, assign=True)
    if missing or unexpected:
        wrong = f"{missing[0]} is missing" if missing else f"{unexpected[0]} is not a weight of it"
        raise CheckpointError(
            f"{component.name}: the weights do not fit its configuration: {wrong}; use one with the other's"
        )
    for module in model.modules():  # non-persistent buffers are in no state dict: they are still on the meta device
        if "position_ids" in getattr(module, "_buffers", {}):
            module.position_ids = torch.arange(module.position_ids.shape[-1]).expand((1, -1))
    return model


def weightless(component: Component, config: Mapping[str, Any]) -> Any:
    """The torch model of `component` with fresh weights on torch's current device."""
    kind = component.load_class()
    if component.library == "transformers":
        return kind(kind.config_class.from_dict(dict(config)))
    return kind.from_config(dict(config))


def assemble(
    where: str, family: Family, models: Mapping[str, Any], scheduler: dict[str, Any], settings: Mapping[str, Any]
) -> Components:
    """The checkpoint of `family` made of `models` (torch models and tokenizers by component name).

    settings: of the pipeline's model index, force_zeros_for_empty_prompt and requires_aesthetics_score; where: what an
    error calls the checkpoint. Raises CheckpointError for a shape that cannot be exported.
    """
    texts = tuple(
        TextPart(
            each.name, models[each.name].eval(), models[each.tokenizer.name], each.tokenizer.name, each.penultimate
        )
        for each in family.text_encoders
    )
    unet, vae = models[family.denoiser.component.name].eval(), models[family.vae.name].eval()
    # The defaults are the pipelines' own.
    aesthetics = bool(settings.get("requires_aesthetics_score", False))
    _check_unet(where, unet.config, family)
    _check_vae(where, vae.config, family)
    check_scheduler(where, scheduler)
    _check_widths(where, texts, unet.config)
    adds = unet.config.addition_embed_type is not None
    return Components(
        family=family,
        texts=texts,
        unet=unet,
        vae=vae,
        scheduler=scheduler,
        added_conditioning=_added(where, texts, unet.config, aesthetics) if adds else None,
        force_zeros_for_empty_prompt=adds and bool(settings.get("force_zeros_for_empty_prompt", True)),
        requires_aesthetics_score=aesthetics,
    )


def with_vae(where: str, parts: Components, vae: Any) -> Components:
    """`parts` with the torch model `vae`, read from `where`, instead of their own. Raises CheckpointError."""
    _check_vae(where, vae.config, parts.family)
    return replace(parts, vae=vae.float().eval())


def with_unet(where: str, parts: Components, unet: Any, scheduler: dict[str, Any]) -> Components:
    """`parts` with the torch model `unet`, read from `where`, and its schedule instead of their own.

    Raises CheckpointError.
    """
    _check_unet(where, unet.config, parts.family)
    check_scheduler(where, scheduler)
    _check_widths(where, parts.texts, unet.config)
    if parts.added_conditioning is not None:
        _added(where, parts.texts, unet.config, parts.requires_aesthetics_score)
    return replace(parts, unet=unet.eval(), scheduler=scheduler)


def with_prediction(where: str, parts: Components, prediction_type: str) -> Components:
    """`parts` whose UNet predicts what was asked for, whatever the scheduler's config says. Raises CheckpointError."""
    scheduler = {**parts.scheduler, "prediction_type": prediction_type}
    check_scheduler(where, scheduler)
    return replace(parts, scheduler=scheduler)


def _check_unet(where: str, config: Any, family: Family) -> None:
    wanted = denoiser_config(family).get("addition_embed_type")
    if config.addition_embed_type != wanted:
        found = config.addition_embed_type
        raise CheckpointError(
            f"{where}: the UNet's addition_embed_type is {found!r}, this pipeline's is {wanted!r}; "
            "this architecture cannot be exported"
        )
    for name in ("class_embed_type", "encoder_hid_dim_type"):
        if getattr(config, name, None) is not None:
            raise CheckpointError(
                f"{where}: the UNet has {name} {getattr(config, name)!r}, which cannot be exported; "
                "use a checkpoint of the plain architecture"
            )
    plain, inpainting = latents_of(family).unet_channels
    if config.in_channels not in (plain, inpainting):
        raise CheckpointError(
            f"{where}: the UNet takes {config.in_channels} channels; "
            f"only {plain} and {inpainting} (inpainting) can be exported"
        )


def _check_vae(where: str, config: Any, family: Family) -> None:
    usual = {"latents_mean": None, "latents_std": None, "shift_factor": latents_of(family).shift_factor}
    for name, wanted in usual.items():
        if getattr(config, name, None) != wanted:
            raise CheckpointError(f"{where}: the VAE has {name}, which cannot be exported; use the family's usual VAE")


def check_scheduler(where: str, config: Mapping[str, Any]) -> None:
    """Raise CheckpointError for the configuration of a scheduler whose models cannot be rendered."""
    name = str(config.get("_class_name", ""))
    if name.startswith(("FlowMatch", "EDM")) or config.get("use_flow_sigmas"):
        kind = "EDM preconditioning" if name.startswith("EDM") else "flow matching"
        raise CheckpointError(
            f"{where}: the scheduler is {name or 'unnamed'}, so the model is of {kind}; only models that predict "
            "epsilon or v_prediction on Stable Diffusion's schedule can be rendered: use a checkpoint of that kind"
        )
    if (prediction := config.get("prediction_type", "epsilon")) not in ("epsilon", "v_prediction"):
        raise CheckpointError(
            f"{where}: the scheduler's prediction_type {prediction!r} cannot be rendered; use epsilon or v_prediction"
        )


def _check_widths(where: str, texts: tuple[TextPart, ...], unet: Any) -> None:
    width = sum(part.hidden_size for part in texts)
    if width != unet.cross_attention_dim:
        names = " + ".join(f"{part.component} {part.hidden_size}" for part in texts)
        raise CheckpointError(
            f"{where}: the UNet attends to vectors {unet.cross_attention_dim} wide, the text encoders give "
            f"{width} ({names}); the parts are of different families: download the whole checkpoint"
        )


def _added(where: str, texts: tuple[TextPart, ...], unet: Any, aesthetics: bool) -> AddedConditioning:
    pooled = next((part.pooled_size for part in texts if part.pooled_size is not None), 0)
    wide, each = int(unet.projection_class_embeddings_input_dim), int(unet.addition_time_embed_dim)
    expected = time_ids(aesthetics)
    if wide - pooled != expected * each:
        raise CheckpointError(
            f"{where}: the UNet adds {wide} numbers, {pooled} of them pooled text, which leaves {(wide - pooled) / each:g} "
            f"time ids of {each}; with requires_aesthetics_score {aesthetics} there are {expected}: "
            "correct model_index.json or download the checkpoint again"
        )
    return AddedConditioning(pooled_size=pooled, time_ids=expected)
