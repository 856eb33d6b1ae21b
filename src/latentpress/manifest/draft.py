"""One picture as the manifest asks for it: checked values, and what names and sheets call them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from latentpress.manifest.fields import loss_text
from latentpress.manifest.mode_fields import INPAINTING_STRENGTH, STRENGTH, RefinerChoice
from latentpress.manifest.nodes import Place
from latentpress.runtime.prompts import PLAIN, Reading
from latentpress.runtime.request import ImageFile, LossSpec, MicroConditioning


@dataclass(frozen=True)
class Draft:
    """One picture to be; `seed` may still be -1, `size` (height, width) the bundle's own.

    places: field -> where the manifest sets it; a field that no one sets is not among them.
    """

    id: str
    prompt: str
    negative_prompt: str | None
    seed: int
    size: tuple[int, int] | None
    sampler: str
    steps: int
    guidance_scale: float
    losses: tuple[LossSpec, ...]
    labels: Mapping[str, str]
    places: Mapping[str, Place]
    guidance_rescale: float = 0.0
    guidance_stop: float = 1.0
    eta: float = 0.0
    clip_skip: int = 0
    init_image: ImageFile | None = None
    mask_image: ImageFile | None = None
    strength: float = 1.0
    refiner: RefinerChoice | None = None
    micro: MicroConditioning = field(default_factory=MicroConditioning)
    reading: Reading = PLAIN

    @property
    def prompt_place(self) -> Place:
        """Where the prompt stands; every draft has one."""
        return self.places["prompt"]


def draft_from(
    job_id: str, seed: int, values: Mapping[str, Any], labels: Mapping[str, str], places: Mapping[str, Place]
) -> Draft:
    """The draft of one `seed`, from the parsed value of every key of `fields.FIELDS`; `labels` win over texts.

    A given picture brings its own size, where no other is asked for.
    """
    image = values["init_image"][0] if values["init_image"] else None
    mask = values["mask_image"][0] if values["mask_image"] else None
    refiner: RefinerChoice | None = values["refiner"][0] if values["refiner"] else None
    size = values["size"] or (image.size if image else None)
    # Without a picture to start from there is nothing to be strong about: the same picture gets the same hash.
    usual = 1.0 if image is None else INPAINTING_STRENGTH if mask else STRENGTH
    strength = usual if image is None or values["strength"] is None else float(values["strength"])
    texts = {
        "id": job_id,
        "prompt": values["prompt"],
        "negative_prompt": values["negative_prompt"] or "",
        "size": "" if size is None else f"{size[1]}x{size[0]}",
        "sampler": values["sampler"],
        "steps": str(values["steps"]),
        "guidance_scale": f"{values['guidance_scale']:g}",
        "loss": loss_text(values["loss"]),
        "guidance_rescale": f"{values['guidance_rescale']:g}",
        "guidance_stop": f"{values['guidance_stop']:g}",
        "eta": f"{values['eta']:g}",
        "clip_skip": str(values["clip_skip"]),
        "init_image": image.file.path.stem if image else "none",
        "mask_image": mask.file.path.stem if mask else "none",
        "strength": f"{strength:g}",
        "refiner": Path(refiner.model).name if refiner else "none",
        "micro_conditioning": "",
        "prompt_weighting": values["prompt_weighting"],
        "long_prompts": values["long_prompts"],
    }
    return Draft(
        id=job_id,
        prompt=values["prompt"],
        negative_prompt=values["negative_prompt"],
        seed=seed,
        size=size,
        sampler=values["sampler"],
        steps=int(values["steps"]),
        guidance_scale=float(values["guidance_scale"]),
        losses=values["loss"],
        labels=texts | dict(labels),
        places=places,
        guidance_rescale=float(values["guidance_rescale"]),
        guidance_stop=float(values["guidance_stop"]),
        eta=float(values["eta"]),
        clip_skip=int(values["clip_skip"]),
        init_image=image.file if image else None,
        mask_image=mask.file if mask else None,
        strength=strength,
        refiner=refiner,
        micro=values["micro_conditioning"],
        reading=Reading(values["prompt_weighting"], values["long_prompts"]),
    )
