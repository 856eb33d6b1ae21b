"""A family nobody trained: Stable Diffusion 1 under other names. All that it takes to add one is here."""

from dataclasses import replace

from latentpress.export.families.sd1 import SD1

SKETCH = replace(
    SD1,
    name="sketch",
    title="Sketch Diffusion",
    pipelines=("SketchPipeline",),
    text_encoders=(
        replace(SD1.text_encoders[0], file_prefixes=("sketch_text.",), lora_prefix="lora_sketch_", pad="!"),
    ),
    denoiser=replace(SD1.denoiser, title="a sketching UNet", file_prefix="sketch_unet."),
    vae_prefixes=("sketch_vae.",),
    lora_names=("sketch_v1",),
)
