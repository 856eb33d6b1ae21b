"""Concept formats against diffusers' own reader where it reads them, and what a pair, a LoRA and a picture may be."""

import numpy as np
import pytest
import torch
from diffusers.loaders import TextualInversionLoaderMixin
from safetensors.torch import save_file
from transformers import CLIPTokenizer

from concept_files import read_concept, saved
from latentpress.bundle.info import TextEncoderInfo, file_sha256
from latentpress.errors import ConceptError
from latentpress.export.reading.concept_file import fitted, read_concepts
from latentpress.export.reading.concept_paths import concept_sha256, concepts_asked, parse_concept
from latentpress.testing.corpus import KINDS
from latentpress.testing.corpus.concepts import WIDER, WIDTH, vectors
from latentpress.testing.ldm_names import text_encoder
from latentpress.testing.words import write_tokenizer

FIRST = TextEncoderInfo(component="text_encoder", tokenizer="tokenizer", hidden_size=WIDTH, layers=1, pooled_size=None)
SECOND = FIRST.model_copy(update={"component": "text_encoder_2", "hidden_size": WIDER, "pooled_size": WIDER})
# Kind -> the token that diffusers must be given for it, None where it takes the file's own.
DIFFUSERS = {
    "concept-library": None,
    "concept-folder": "<line-art>",
    "concept-diffusers": None,
    "concept-bare": "sketch",
    "concept-a1111": "badhandv4",
    "concept-kohya": "sketch",
    "concept-onetrainer": "sketch",
    "concept-sdxl-pair": None,
}


class Loader(TextualInversionLoaderMixin):
    """What of a pipeline `load_textual_inversion` asks for."""

    hf_device_map = None

    def __init__(self, tokenizer, text_encoder):
        self.tokenizer, self.text_encoder = tokenizer, text_encoder
        self.components = {}


def loaded_by_diffusers(folder, path, token, width=WIDTH):
    """What the text encoder's embedding has at the ids of the file's tokens, once diffusers has loaded it: (n, width)."""
    size = write_tokenizer(folder / "tokenizer")
    tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer")
    loader = Loader(tokenizer, text_encoder(size, width, 1, "quick_gelu", False))
    before = len(loader.tokenizer)
    weight_name = {} if path.is_dir() else {"weight_name": path.name}
    loader.load_textual_inversion(str(path if path.is_dir() else path.parent), token=token, **weight_name)
    rows = loader.text_encoder.get_input_embeddings().weight.detach()[before:]
    return loader.tokenizer.convert_ids_to_tokens(list(range(before, before + len(rows)))), rows


@pytest.mark.parametrize("name", DIFFUSERS)
def test_a_file_reads_as_diffusers_reads_it(name, tmp_path):
    kind = KINDS[name]
    (tmp_path / "files").mkdir()
    path = kind.build(tmp_path / "files")
    pair = name == "concept-sdxl-pair"
    found = read_concept(path, encoders=[FIRST, SECOND] if pair else [FIRST])
    halves = {"text_encoder": ("learned_embeds", WIDTH), "text_encoder_2": ("learned_embeds_2", WIDER)}
    for encoder in found.vectors:
        stem, width = halves[encoder]
        file = path / f"{stem}.safetensors" if pair else path
        tokens, rows = loaded_by_diffusers(tmp_path, file, DIFFUSERS[name], width)
        assert found.tokens == tokens
        np.testing.assert_array_equal(found.vectors[encoder], rows.numpy())


def test_the_first_trainers_files_read_as_torch_reads_them(tmp_path):
    path = KINDS["concept-rinongal"].build(tmp_path)
    expected = torch.load(path, weights_only=False)["string_to_param"]["*"].detach()
    np.testing.assert_array_equal(read_concept(path).vectors[""], expected.numpy())
    # torch before 1.12 kept nothing but `_parameters`, and later versions keep plain tensors beside them.
    plain = torch.nn.ParameterDict()
    plain["*"] = torch.nn.Buffer(expected)
    held = {"string_to_token": {"*": torch.tensor([265], dtype=torch.int32)}, "string_to_param": plain}
    np.testing.assert_array_equal(read_concept(saved(tmp_path / "x.pt", held)).vectors[""], expected.numpy())


def test_two_files_are_one_concept_however_they_are_given(tmp_path, monkeypatch):
    folder = KINDS["concept-sdxl-pair"].build(tmp_path)
    monkeypatch.chdir(folder)
    names = ["learned_embeds.safetensors", "learned_embeds_2.safetensors"]
    digest = concept_sha256([folder / name for name in names])
    for arguments in ([str(folder)], names, names[::-1], [f"<mine>={names[1]}", f"<mine>={names[0]}"]):
        (asked,) = concepts_asked([parse_concept(text) for text in arguments])
        (found,) = [fitted(concept, [FIRST, SECOND]) for concept in read_concepts(asked)]
        assert found.token == ("<mine>" if "=" in arguments[0] else "<line-art>")
        assert found.sha256 == digest
        for encoder in (FIRST, SECOND):
            expected = vectors(width=encoder.hidden_size).numpy()
            np.testing.assert_array_equal(found.vectors[encoder.component], expected)
    # A step of the training, with the other half beside it; and what the message says then works.
    for stem in ("learned_embeds", "learned_embeds_2"):
        (folder / f"{stem}.safetensors").rename(folder / f"{stem}-steps-500.safetensors")
    steps = [name.replace(".", "-steps-500.") for name in names]
    with pytest.raises(ConceptError, match=f"give {steps[1]} beside it too") as caught:
        read_concept(folder / steps[0], encoders=[FIRST, SECOND])
    assert "\n" not in str(caught.value)
    assert len(concepts_asked([parse_concept(text) for text in steps])) == 1
    with pytest.raises(ConceptError, match="one concept, but '<a>' and '<b>' are asked for"):
        concepts_asked([parse_concept(f"<{token}>={name}") for token, name in zip("ab", steps, strict=True)])


def test_the_sum_of_two_files_is_what_the_documentation_says(tmp_path):
    import subprocess

    folder = KINDS["concept-sdxl-pair"].build(tmp_path)
    files = sorted(folder.glob("*.safetensors"))
    shell = "sha256sum learned_embeds.safetensors learned_embeds_2.safetensors | cut -c-64 | sort | sha256sum"
    expected = subprocess.run(shell, shell=True, cwd=folder, capture_output=True, text=True, check=True).stdout[:64]
    assert concept_sha256(files) == concept_sha256(files[::-1]) == expected
    assert concept_sha256(files[:1]) == file_sha256(files[0])


def test_a_lora_may_hold_several_concepts(tmp_path):
    state = {"lora_unet_x.lora_down.weight": torch.ones(3000, 2000, dtype=torch.float16)}  # 12 MB, and as much again
    state["lora_unet_x.lora_up.weight"] = torch.ones(3000, 2000, dtype=torch.float16)
    state |= {f"bundle_emb.{name}.emb_params": vectors(count) for name, count in {"hero": 1, "villain": 3}.items()}
    save_file(state, tmp_path / "both.safetensors")
    found = read_concepts(parse_concept(str(tmp_path / "both.safetensors")))
    assert [(concept.token, concept.count) for concept in found] == [("hero", 1), ("villain", 3)]
    assert {concept.sha256 for concept in found} == {file_sha256(tmp_path / "both.safetensors")}
    assert read_concept(tmp_path / "both.safetensors", token="villain").count == 3
    with pytest.raises(ConceptError, match="holds 2 concepts, none called 'x'; ask for one of: hero, villain"):
        read_concept(tmp_path / "both.safetensors", token="x")


def test_what_is_for_another_family_is_named(tmp_path):
    for width, says in {1024: "Stable Diffusion 2", 768: "Stable Diffusion 1"}.items():
        save_file({"<x>": torch.ones(width)}, tmp_path / "x.safetensors")
        with pytest.raises(ConceptError, match=f"<x> is {width} wide, as concepts for {says} are, the text encoder 64"):
            read_concept(tmp_path / "x.safetensors", encoders=[FIRST])
    lone = {"clip_l": vectors(), "clip_l_out": vectors()}
    save_file(lone, tmp_path / "lone.safetensors")
    assert read_concept(tmp_path / "lone.safetensors", encoders=[FIRST]).notes == ("without its clip_l_out",)


def test_a_token_that_reads_like_a_lora_is_a_token(tmp_path):
    for token in ("lora_style", "<a:up>", "decoder.x"):
        save_file({token: vectors()}, tmp_path / "x.safetensors")
        assert read_concept(tmp_path / "x.safetensors").token == token


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if kind.argument == "lora" and not kind.refused])
def test_a_lora_is_not_taken_for_a_concept(name, tmp_path):
    path = KINDS[name].build(tmp_path)
    for file in path.rglob("*.safetensors") if path.is_dir() else [path]:
        if "bundle" not in name:  # which holds a concept too
            with pytest.raises(
                ConceptError, match="a LoRA, not a concept; give it to `latentpress export` with --lora"
            ):
                read_concept(file)


def test_a_pipelines_folder_is_not_taken_for_a_concept(tmp_path):
    (tmp_path / "model_index.json").write_text("{}")
    with pytest.raises(ConceptError, match="a checkpoint, not a concept; export it"):
        read_concept(tmp_path)


def test_what_is_no_regular_file_is_not_waited_for(tmp_path):
    import os

    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", "/dev/zero"):
        with pytest.raises(ConceptError, match="not a regular file"):
            read_concept(path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConceptError, match=r"no learned_embeds\.safetensors or \.bin in this folder"):
        read_concept(tmp_path / "empty")
    assert read_concept(saved(tmp_path / "empty/only.pt", torch.ones(8)).parent).token == "only"
