"""A diffusers folder exported by the command line with everything at once, its pictures against diffusers'."""

import json

import pytest
import torch
from diffusers import EulerDiscreteScheduler, StableDiffusionPipeline
from safetensors.torch import save_file

from compare import psnr
from families import pixels
from latentpress.bundle.info import open_bundle
from latentpress.cli import run_cli
from latentpress.runtime.render import Renderer
from latentpress.runtime.request import RenderRequest
from ldm_names import ldm_vae, stored
from lora_files import kohya_state, lora_models, save_peft
from single_files import OPTIONS, SIZE, STEPS, export, models_of, reference

PROMPT, NEGATIVE = "a red mouse in the night", "blurry"
BOUND = 60  # dB; 40 is promised
SCALES = {"first": 0.5, "second": 0.8}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """checkpoint/, a folder of half-precision weights as most are; a VAE file; a LoRA of each kind; and the bundle."""
    folder = tmp_path_factory.mktemp("folder")
    models = models_of("sd1")
    pipeline = reference("sd1", models, folder)
    save_file(stored(ldm_vae(models["vae"])), folder / "vae.safetensors")
    with torch.no_grad():  # the folder's own VAE is another
        models["vae"].decoder.conv_out.weight.mul_(-1)
    pipeline.to(torch.float16).save_pretrained(folder / "checkpoint")
    save_file(kohya_state("sd1", lora_models("sd1")), folder / "first.safetensors")
    save_peft(folder, "sd1", lora_models("sd1"))
    (folder / "pytorch_lora_weights.safetensors").rename(folder / "second.safetensors")
    loras = [part for name, scale in SCALES.items() for part in ("--lora", folder / f"{name}.safetensors:{scale}")]
    options = ["--vae", folder / "vae.safetensors", "--prediction-type", "v_prediction", *loras]
    assert export(folder / "checkpoint", "-o", folder / "bundle", *options) == 0
    return folder


def expected(folder, *, own_vae=False, prediction="v_prediction", scales=SCALES):
    """diffusers' picture: the folder loaded in float32, the VAE exchanged, the LoRAs at their scales."""
    pipeline = StableDiffusionPipeline.from_pretrained(
        folder / "checkpoint", safety_checker=None, torch_dtype=torch.float32
    )
    pipeline.set_progress_bar_config(disable=True)
    if not own_vae:
        pipeline.vae = models_of("sd1")["vae"]
    pipeline.scheduler = EulerDiscreteScheduler.from_config(pipeline.scheduler.config, prediction_type=prediction)
    for name, scale in scales.items():
        pipeline.load_lora_weights(str(folder), weight_name=f"{name}.safetensors")
        pipeline.fuse_lora(components=["unet", "text_encoder"], lora_scale=scale)
        pipeline.unload_lora_weights()
    return pixels(pipeline, PROMPT, negative_prompt=NEGATIVE, height=SIZE, width=SIZE, seed=5, **OPTIONS)


def test_a_folder_with_a_vae_two_loras_and_a_prediction_type_draws_what_diffusers_draws(folder):
    asked = RenderRequest(PROMPT, 5, SIZE, SIZE, "euler", STEPS, 6.0, negative_prompt=NEGATIVE)
    (found,) = Renderer(open_bundle(folder / "bundle")).render([("only", asked)])
    assert found.image.std() > 5, "a flat picture proves nothing"
    assert psnr(found.image, expected(folder)) >= BOUND
    without = {
        "--vae": {"own_vae": True},
        "--prediction-type": {"prediction": "epsilon"},
        "the first LoRA": {"scales": {"second": 0.8}},
        "the second LoRA": {"scales": {"first": 0.5}},
        "the first's scale": {"scales": {**SCALES, "first": 0.8}},
        "the second's scale": {"scales": {**SCALES, "second": 0.5}},
    }
    for what, changes in without.items():
        assert psnr(found.image, expected(folder, **changes)) < 40, f"{what} must show"


def test_the_bundle_names_all_it_was_made_of(folder, capsys):
    info = open_bundle(folder / "bundle").info
    assert (info.name, info.family, info.prediction_type) == ("checkpoint", "sd1", "v_prediction")
    assert [(lora.source, lora.scale) for lora in info.loras] == [
        (f"{name}.safetensors", SCALES[name]) for name in SCALES
    ]
    assert info.vae.source == "vae.safetensors"
    assert run_cli(["inspect", str(folder / "bundle")]) == 0
    said = capsys.readouterr().out
    assert said.startswith("checkpoint: sd1, predicts v_prediction, fp32, 64x64, ")
    assert "LoRAs: first.safetensors at 0.5, second.safetensors at 0.8; VAE: vae.safetensors\n" in said
    assert run_cli(["inspect", str(folder / "bundle"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [(lora["source"], lora["scale"]) for lora in found["loras"]] == [
        (f"{name}.safetensors", SCALES[name]) for name in SCALES
    ]
    assert (found["vae"]["source"], found["inpainting"]) == ("vae.safetensors", False)
    assert run_cli(["concepts", "list", str(folder / "bundle")]) == 0
    assert "no concepts yet; `latentpress concepts add" in capsys.readouterr().out
