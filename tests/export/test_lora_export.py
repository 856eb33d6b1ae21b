"""LoRA files through the command line: pictures against diffusers' with the same LoRA loaded, what is recorded of them."""

import copy
import hashlib
import json

from PIL import Image
from safetensors.torch import save_file

from compare import psnr
from families import pixels
from latentpress.bundle.info import file_sha256, open_bundle
from latentpress.cli import run_cli
from latentpress.runtime.render import Renderer
from latentpress.runtime.request import RenderRequest
from lora_files import kohya_state, lora_models, save_peft
from single_files import OPTIONS, SIZE, STEPS, export, models_of, reference, save_single

PROMPT = "a red mouse in the night"
SCALE = 0.7
BOUND = 60  # dB; 40 is promised
PEFT = "pytorch_lora_weights.safetensors"
PARTS = ("unet", "text_encoder", "text_encoder_2")


def drawn(pipeline, folder, fused):
    """diffusers' picture with LoRA files fused one after the other; fused: (file, scale, components) each."""
    for file, scale, parts in fused:
        pipeline.load_lora_weights(str(folder), weight_name=file)
        pipeline.fuse_lora(components=list(parts), lora_scale=scale)
        pipeline.unload_lora_weights()
    return pixels(pipeline, PROMPT, negative_prompt="blurry", height=SIZE, width=SIZE, seed=5, **OPTIONS)


def test_two_sdxl_loras_at_their_scales_draw_what_diffusers_draws_with_them(tmp_path):
    """One of each kind, both of the UNet and the two text encoders. test_folder_export has Stable Diffusion 1's."""
    models = models_of("sdxl")
    path = save_single(tmp_path / "model.safetensors", "sdxl", models)
    save_peft(tmp_path, "sdxl", lora_models("sdxl"))
    save_file(kohya_state("sdxl", lora_models("sdxl")), tmp_path / "kohya.safetensors")
    stack = ["--lora", f"{tmp_path / PEFT}:{SCALE}", "--lora", f"{tmp_path / 'kohya.safetensors'}:-0.4"]
    assert export(path, "-o", tmp_path / "bundle", *stack) == 0
    asked = RenderRequest(PROMPT, 5, SIZE, SIZE, "euler", STEPS, 6.0, negative_prompt="blurry")
    (found,) = Renderer(open_bundle(tmp_path / "bundle")).render([("only", asked)])
    first, second = (PEFT, SCALE, PARTS), ("kohya.safetensors", -0.4, PARTS)

    def expected(*fused):
        return drawn(reference("sdxl", copy.deepcopy(models), tmp_path), tmp_path, fused)

    right = expected(first, second)
    assert right.std() > 5, "a flat picture proves nothing"
    assert psnr(found.image, right) >= BOUND
    wrong = {f"the first's {part}": ((PEFT, SCALE, [p for p in PARTS if p != part]), second) for part in PARTS}
    wrong |= {"the first's scale": ((PEFT, 1.0, PARTS), second), "the second": (first,)}
    for what, fused in wrong.items():
        assert psnr(found.image, expected(*fused)) < BOUND, f"{what} must show"


def text_lora(folder):
    """A LoRA of the text encoder alone: an export with another scale traces nothing else again."""
    state = {key: value for key, value in kohya_state("sd1", lora_models("sd1")).items() if key.startswith("lora_te_")}
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
        wanted = {"source": "words.safetensors", "sha256": digest, "layers": 12}
        assert [
            {**wanted, "scale": float(scale), "a1111_hash": one["a1111_hash"]}
            for scale, one in zip(given, recorded, strict=True)
        ] == recorded


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
    # As A1111's modules/hashes.py has it: the tensors without the header.
    header = int.from_bytes(file.read_bytes()[:8], "little")
    weights = hashlib.sha256(file.read_bytes()[8 + header :]).hexdigest()
    assert f', Lora hashes: "words: {weights[:12]}", ' in parameters
    assert f"VAE: my-vae, VAE hash: {info.vae.sha256[:10]}" in parameters
