"""Export of every family: which one a checkpoint is, what its text encoders give, and what is refused."""

import json
import shutil

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline
from safetensors.torch import save_file

from compare import psnr
from families import Exported, pixels
from latentpress.bundle.info import open_bundle
from latentpress.engines.cpu import OnnxCpuSession
from latentpress.errors import CheckpointError, ConceptError
from latentpress.export.concepts import add_concepts
from latentpress.export.families import family_named
from latentpress.export.graphs.wrappers import TextEncoder
from latentpress.export.reading.checkpoint import load_components
from latentpress.export.reading.components import model_from
from latentpress.runtime.prompts.tokens import PromptTokenizer
from latentpress.runtime.render import Renderer
from latentpress.runtime.request import RenderRequest
from latentpress.testing.random_checkpoint import build_checkpoint
from traces import shared_traces


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("sd2", ("sd2", ["text_encoder"], 32, 4, None)),
        ("inpainting", ("sd1", ["text_encoder"], 32, 9, None)),
        ("sdxl", ("sdxl", ["text_encoder", "text_encoder_2"], 80, 4, (48, 6))),
        ("refiner", ("sdxl_refiner", ["text_encoder_2"], 48, 4, (48, 5))),
    ],
)
def test_the_bundle_says_what_it_is(name, expected, exported):
    info = exported(name).bundle.info
    added = info.added_conditioning and (info.added_conditioning.pooled_size, info.added_conditioning.time_ids)
    texts = [encoder.component for encoder in info.text_encoders]
    assert (info.family, texts, info.cross_attention_dim, info.unet_in_channels, added) == expected
    assert info.requires_aesthetics_score == (name == "refiner")
    assert info.force_zeros_for_empty_prompt == (name == "sdxl")
    found = {(row.component, row.output) for row in info.parity}
    assert {("unet", "noise_pred"), ("vae_encoder", "moments"), ("vae_decoder", "sample")} < found
    assert all((component, "hidden_states") in found for component in texts)
    assert (("text_encoder_2", "pooled") in found) == ("text_encoder_2" in texts)


def test_both_encoders_give_what_diffusers_asks_for(exported):
    bundle = exported("sdxl").bundle
    pipeline = exported("sdxl").pipeline(StableDiffusionXLPipeline, "euler")
    for prompt in ("a red mouse!", "", "a house " * 60):
        for clip_skip in (None, 1, 2):
            with torch.no_grad():
                expected, _, pooled, _ = pipeline.encode_prompt(
                    prompt, device="cpu", do_classifier_free_guidance=False, clip_skip=clip_skip
                )
            states = []
            for encoder in bundle.info.text_encoders:
                ids = PromptTokenizer(bundle, encoder.tokenizer).ids(prompt)[None]
                outputs = OnnxCpuSession(bundle.file(f"{encoder.component}.onnx")).run({"input_ids": ids})
                states.append(outputs["hidden_states"][:, clip_skip or 0])
            np.testing.assert_allclose(np.concatenate(states, axis=-1), expected.numpy(), atol=1e-4)
            np.testing.assert_allclose(outputs["pooled"], pooled.numpy(), atol=1e-4)


def test_pooled_is_taken_at_the_end_and_not_at_the_highest_id(exported):
    """transformers does otherwise for a config that says eos_token_id 2, as SDXL's does: there a concept wins."""
    from transformers import CLIPTextModelWithProjection

    model = CLIPTextModelWithProjection.from_pretrained(exported("sdxl").checkpoint / "text_encoder_2").eval()
    end = model.config.eos_token_id
    model.resize_token_embeddings(end + 2)
    ids = torch.tensor([[end - 1, 300, end + 1, 301, end] + [0] * 72])
    wrapped = TextEncoder(model, eos_token_id=end, layers=2, penultimate=True)
    with torch.no_grad():
        right = model(ids).text_embeds
        model.text_model.eos_token_id = 2
        wrong, (_, ours) = model(ids).text_embeds, wrapped(ids)
    np.testing.assert_allclose(ours.numpy(), right.numpy(), atol=1e-6)
    assert (wrong - right).abs().max() > 0.1


@pytest.fixture
def concept(tmp_path):
    """A concept for SDXL with two vectors, and its two tensors."""
    generator = torch.Generator().manual_seed(8)
    tensors = {"clip_l": torch.randn(2, 32, generator=generator), "clip_g": torch.randn(2, 48, generator=generator)}
    path = tmp_path / "birb.safetensors"
    save_file({key: 0.3 * tensor for key, tensor in tensors.items()}, path)
    return path, {key: 0.3 * tensor for key, tensor in tensors.items()}


def test_an_sdxl_concept_is_diffusers_textual_inversion(exported, concept, tmp_path):
    path, tensors = concept
    copy = shutil.copytree(exported("sdxl").path, tmp_path / "bundle")
    add_concepts(copy, [path])
    bundle = open_bundle(copy)
    assert len(bundle.concept_ids["birb"]) == 2
    pipeline = exported("sdxl").pipeline(StableDiffusionXLPipeline, "euler")
    pipeline.load_textual_inversion(
        tensors["clip_l"], token="birb", text_encoder=pipeline.text_encoder, tokenizer=pipeline.tokenizer
    )
    pipeline.load_textual_inversion(
        tensors["clip_g"], token="birb", text_encoder=pipeline.text_encoder_2, tokenizer=pipeline.tokenizer_2
    )
    options = {"num_inference_steps": 8, "guidance_scale": 6.0, "height": 64, "width": 64, "seed": 5}
    asked = RenderRequest("a house with a birb", 5, 64, 64, "euler", 8, 6.0)
    expected = pixels(pipeline, asked.prompt, **options)
    (with_it,) = Renderer(bundle).render([("only", asked)])
    assert psnr(with_it.image, expected) >= 40
    (without,) = Renderer(exported("sdxl").bundle).render([("only", asked)])
    assert psnr(without.image, expected) < 40


def test_the_two_files_of_diffusers_teach_what_the_one_file_does(exported, concept, tmp_path):
    path, tensors = concept
    folder = tmp_path / "output"
    folder.mkdir()
    for stem, key in {"learned_embeds": "clip_l", "learned_embeds_2": "clip_g"}.items():
        save_file({"birb": tensors[key]}, folder / f"{stem}.safetensors")
    made = {}
    for name, given in {"one": path, "two": folder}.items():
        copy = shutil.copytree(exported("sdxl").path, tmp_path / name)
        made[name] = add_concepts(copy, [given])
    taught = [file for file in made["one"].files if file.startswith(("text_encoder", "tokenizer", "concepts"))]
    assert len(taught) > 4
    assert all(made["one"].files[file] == made["two"].files[file] for file in taught)
    assert made["two"].concepts[0].source == "learned_embeds.safetensors + learned_embeds_2.safetensors"


def test_a_refiner_takes_its_half_of_the_concept(exported, concept, tmp_path):
    copy = shutil.copytree(exported("refiner").path, tmp_path / "bundle")
    assert add_concepts(copy, [concept[0]]).concepts[0].token == "birb"


def test_a_concept_for_another_family_is_refused(exported, concept, tmp_path):
    with pytest.raises(ConceptError, match=r"birb\.safetensors: clip_l and clip_g are a concept for SDXL"):
        add_concepts(exported("sd2").path, [concept[0]])
    torch.save({"<x>": torch.ones(32)}, tmp_path / "one.bin")
    with pytest.raises(ConceptError, match=r"one\.bin: <x> holds vectors for one text encoder, this bundle has two"):
        add_concepts(exported("sdxl").path, [tmp_path / "one.bin"])
    save_file({"clip_l": torch.ones(2, 32), "clip_g": torch.ones(1, 48)}, tmp_path / "odd.safetensors")
    with pytest.raises(ConceptError, match="has 1 and 2 vectors"):
        add_concepts(exported("sdxl").path, [tmp_path / "odd.safetensors"])
    save_file({"clip_l": torch.ones(1, 32)}, tmp_path / "half.safetensors")
    with pytest.raises(ConceptError, match="holds clip_l alone"):
        add_concepts(exported("sdxl").path, [tmp_path / "half.safetensors"])


def test_a_dreambooth_fine_tune_is_an_ordinary_checkpoint(exported, tmp_path):
    """Its UNet and text encoder moved a little from the base's, and saved again by diffusers."""
    pipeline = exported("sd2").pipeline(StableDiffusionPipeline, "euler")
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        for model in (pipeline.unet, pipeline.text_encoder):
            for parameter in model.parameters():
                if (parameter == parameter.flatten()[0]).all():
                    continue  # zeros and ones stay: a trace depends on them, and is the base's then
                parameter.add_(0.02 * parameter.abs().mean() * torch.randn_like(parameter))
    pipeline.save_pretrained(tmp_path / "checkpoint")
    from latentpress.export import export_bundle

    with shared_traces():
        export_bundle(tmp_path / "checkpoint", tmp_path / "bundle")
    tuned = Exported(tmp_path / "checkpoint", tmp_path / "bundle")
    assert tuned.bundle.info.family == "sd2"
    asked = RenderRequest("a red mouse", 5, 64, 64, "euler", 8, 6.0)
    options = {"num_inference_steps": 8, "guidance_scale": 6.0, "height": 64, "width": 64, "seed": 5}
    expected = pixels(tuned.pipeline(StableDiffusionPipeline, "euler"), asked.prompt, **options)
    (found,) = Renderer(tuned.bundle).render([("only", asked)])
    assert psnr(found.image, expected) >= 40
    (base,) = Renderer(exported("sd2").bundle).render([("only", asked)])
    assert psnr(base.image, expected) < 40


def changed_json(path, **values):
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


@pytest.mark.parametrize(
    ("file", "values", "says"),
    [
        ("model_index.json", {"requires_aesthetics_score": True}, "with requires_aesthetics_score True there are 5"),
        ("model_index.json", {"text_encoder": [None, None]}, "attends to vectors 80 wide, the text encoders give 48"),
        ("vae/config.json", {"latents_mean": [0.0] * 4}, "the VAE has latents_mean"),
        (
            "scheduler/scheduler_config.json",
            {"prediction_type": "sample"},
            "the scheduler's prediction_type 'sample' cannot be",
        ),
    ],
)
def test_a_shape_that_cannot_be_exported_is_refused(file, values, says, exported, tmp_path):
    from latentpress.export import export_bundle

    copy = shutil.copytree(exported("sdxl").checkpoint, tmp_path / "checkpoint")
    changed_json(copy / file, **values)
    with pytest.raises(CheckpointError) as caught:
        export_bundle(copy, tmp_path / "bundle")
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "bundle").exists()


def test_a_model_is_built_from_a_config_and_a_state_dict(tmp_path):
    """What a single-file loader calls, against the same weights read by the libraries."""
    parts = load_components(build_checkpoint(tmp_path, family="sdxl", width=16, hidden=32))
    family = family_named("sdxl")
    models = {part.component: part.model for part in parts.texts} | {"unet": parts.unet, "vae": parts.vae}
    for component, model in models.items():
        config = model.config.to_dict() if component.startswith("text") else dict(model.config)
        state = {**model.state_dict()}
        if component.startswith("text"):
            state["text_model.embeddings.position_ids"] = torch.arange(77)[None]
        built = model_from(family.component(component), config, state)
        for name, tensor in built.state_dict().items():
            assert torch.equal(tensor, model.state_dict()[name]), name
    ids = torch.arange(77)[None]
    text = model_from(
        family.component("text_encoder"), parts.texts[0].model.config.to_dict(), parts.texts[0].model.state_dict()
    )
    with torch.no_grad():
        assert torch.equal(text.eval()(ids).last_hidden_state, parts.texts[0].model(ids).last_hidden_state)
    with pytest.raises(
        CheckpointError, match=r"unet: the weights do not fit its configuration: conv_in\.weight is miss"
    ):
        model_from(family.component("unet"), dict(parts.unet.config), {})
