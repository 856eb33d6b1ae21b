"""LoRA files through the command line: pictures against diffusers' with the same LoRA loaded, what is recorded of them."""

import json

import pytest
from PIL import Image
from safetensors.torch import save_file

from compare import psnr
from families import pixels
from latentpress.cli import run_cli
from latentpress.runtime.bundle import file_sha256, open_bundle
from latentpress.runtime.render import Renderer
from latentpress.runtime.request import RenderRequest
from ldm_names import small_models
from lora_files import kohya_state, save_peft
from single_files import OPTIONS, SIZE, STEPS, export, models_of, reference, save_single

PROMPT = "a red mouse in the night"
SCALE = 0.7
BOUND = 60  # dB; 40 is promised
PEFT = "pytorch_lora_weights.safetensors"


def shapes(family):
    """Models to make LoRA files for: the vocabulary does not matter to them."""
    models = small_models(family, vocabulary=1000)
    del models["vae"]
    return models


@pytest.mark.parametrize(("family", "kind"), [("sd1", "peft"), ("sdxl", "kohya")])
def test_a_lora_at_a_scale_draws_what_diffusers_draws_with_it(family, kind, tmp_path):
    models = models_of(family)
    path = save_single(tmp_path / "model.safetensors", family, models)
    if kind == "peft":
        save_peft(tmp_path, family, shapes(family))
        file = tmp_path / PEFT
    else:
        file = tmp_path / "kohya.safetensors"
        save_file(kohya_state(family, shapes(family)), file)
    assert export(path, "-o", tmp_path / "bundle", "--lora", f"{file}:{SCALE}") == 0
    asked = RenderRequest(PROMPT, 5, SIZE, SIZE, "euler", STEPS, 6.0, negative_prompt="blurry")
    (found,) = Renderer(open_bundle(tmp_path / "bundle")).render([("only", asked)])
    pipeline = reference(family, models, tmp_path)
    options = {"negative_prompt": "blurry", "height": SIZE, "width": SIZE, "seed": 5, **OPTIONS}
    without = pixels(pipeline, PROMPT, **options)
    pipeline.load_lora_weights(str(tmp_path), weight_name=file.name, adapter_name="only")
    pipeline.set_adapters("only", SCALE)
    expected = pixels(pipeline, PROMPT, **options)
    assert expected.std() > 5, "a flat picture proves nothing"
    assert psnr(found.image, expected) >= BOUND
    assert psnr(without, expected) < BOUND, "the LoRA must show"
    pipeline.set_adapters("only", 1.0)
    assert psnr(found.image, pixels(pipeline, PROMPT, **options)) < BOUND, "the scale must show"


def text_lora(folder):
    """A LoRA of the text encoder alone: an export with another scale traces nothing else anew."""
    state = {key: value for key, value in kohya_state("sd1", shapes("sd1")).items() if key.startswith("lora_te_")}
    save_file(state, folder / "words.safetensors")
    return folder / "words.safetensors"


def test_the_scale_and_the_order_are_recorded_and_make_another_bundle(tmp_path):
    path = save_single(tmp_path / "model.safetensors", "sd1", models_of("sd1"))
    file = text_lora(tmp_path)
    digest = file_sha256(file)
    scales = {"a": ["0.5"], "b": ["0.25"], "c": ["0.25", "-0.5"]}
    for name, given in scales.items():
        options = [part for scale in given for part in ("--lora", f"{file}:{scale}")]
        assert export(path, "-o", tmp_path / name, *options) == 0
    bundles = {name: open_bundle(tmp_path / name) for name in scales}
    assert len({bundle.hash for bundle in bundles.values()}) == 3
    assert len({bundle.info.files["text_encoder.onnx"] for bundle in bundles.values()}) == 3
    assert len({bundle.info.files["unet.onnx"] for bundle in bundles.values()}) == 1
    for name, given in scales.items():
        recorded = json.loads((tmp_path / name / "bundle.json").read_text())["loras"]
        wanted = [{"source": "words.safetensors", "sha256": digest, "scale": float(s), "layers": 12} for s in given]
        assert recorded == wanted


def test_a_picture_names_the_loras_and_the_vae(tmp_path, monkeypatch):
    monkeypatch.setenv("LATENTPRESS_CACHE", str(tmp_path / "cache"))
    models = models_of("sd1")
    path = save_single(tmp_path / "model.safetensors", "sd1", models)
    file = text_lora(tmp_path)
    models["vae"].save_pretrained(tmp_path / "my-vae")
    assert export(path, "-o", tmp_path / "bundle", "--lora", f"{file}:0.5", "--vae", tmp_path / "my-vae") == 0
    manifest = tmp_path / "one.yaml"
    manifest.write_text(
        "version: 1\nname: one\nmodel: bundle\n"
        'defaults: {prompt: a mouse, steps: 1, size: 64x64}\njobs: [{id: one, seed: 1}]\noutput: "{id}.png"\n'
    )
    monkeypatch.chdir(tmp_path)
    assert run_cli(["render", "one.yaml", "-o", "out"]) == 0
    info = open_bundle(tmp_path / "bundle").info
    with Image.open(tmp_path / "out/one.png") as picture:
        own, parameters = json.loads(picture.text["latentpress"]), picture.text["parameters"]
    digest = file_sha256(file)
    assert own["bundle"]["loras"] == [{"source": "words.safetensors", "sha256": digest, "scale": 0.5}]
    assert own["bundle"]["vae"] == {"source": "my-vae", "sha256": info.vae.sha256}
    assert f"LoRA: words.safetensors 0.5 [{digest[:10]}]" in parameters
    assert f"VAE: my-vae, VAE hash: {info.vae.sha256[:10]}" in parameters
