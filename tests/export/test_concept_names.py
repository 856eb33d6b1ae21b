"""What concepts are called, by the command line and by manifests; every refusal's way out is followed."""

import re
import shutil

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from safetensors.torch import save_file

from concept_files import read_concept, saved
from latentpress.bundle.info import open_bundle
from latentpress.cli import run_cli
from latentpress.errors import ConceptError
from latentpress.export.concepts import VECTORS
from latentpress.export.reading.concept_paths import AskedConcept, concepts_asked, parse_concept
from latentpress.runtime.prompts.tokens import PromptTokenizer

WIDTH = 64  # of the shared bundle's text encoder


def vectors(seed: int, count: int = 1) -> torch.Tensor:
    return torch.randn(count, WIDTH, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def copy(assets, tmp_path, monkeypatch):
    """A copy of the shared bundle, in an empty current directory."""
    monkeypatch.chdir(tmp_path)
    return shutil.copytree(assets / "bundle", tmp_path / "bundle")


@pytest.fixture
def add(copy, capsys):
    """add(*arguments): `concepts add` -> its exit code and what it said."""

    def run(*arguments):
        code = run_cli(["concepts", "add", "bundle", *arguments])
        said = capsys.readouterr()
        return code, said.out + said.err

    return run


def test_steps_of_one_training_are_baked_side_by_side(add, copy, capsys):
    steps = {f"step-{step}.bin": vectors(step) for step in (500, 1000)}
    for name, tensor in steps.items():
        saved(copy.parent / name, {"<person>": tensor})
    code, said = add(*steps)
    assert (code, "claimed by step-500.bin too" in said) == (2, True)
    way_out = re.search(r"ask for another token: (\S+)=FILE", said)[1]
    code, said = add("step-500.bin", f"{way_out}=step-1000.bin")
    assert (code, way_out) == (0, "<person-2>")
    held = load_file(copy / VECTORS)
    for token, name in zip(("<person>", way_out), steps, strict=True):
        np.testing.assert_array_equal(held[f"text_encoder.{token}"], steps[name].numpy())
    # And in a manifest, whose token always wins, also over the one in the bundle.
    manifest = copy.parent / "m.yaml"
    text = "version: 1\nmodel: bundle\nconcepts: {<s5>: step-500.bin, <s10>: step-1000.bin}\n"
    manifest.write_text(text + "defaults: {prompt: a <s5> and a <s10>, steps: 2}\n")
    assert run_cli(["plan", "m.yaml"]) == 0, capsys.readouterr().err


def test_an_a1111_file_is_called_by_its_own_name(add, copy):
    inner = {"string_to_token": {"*": 265}, "string_to_param": {"*": vectors(1)}, "name": "badhandv3", "step": 9}
    saved(copy.parent / "badhandv4.pt", inner)
    code, said = add("badhandv4.pt")
    assert code == 0
    assert "concept badhandv4: 1 vector from badhandv4.pt (it calls itself 'badhandv3')" in said
    assert len(PromptTokenizer(open_bundle(copy)).tokens("badhandv4")) == 1
    # Nine files of one author have one name within.
    for name in ("x1", "x2"):
        saved(copy.parent / f"{name}.pt", {**inner, "name": "_EmbeddingMerge_temp"})
    assert add("x1.pt", "x2.pt")[0] == 0


def test_an_ordinary_word_is_taken_where_it_is_asked_for(add, copy, capsys):
    from transformers import CLIPTokenizer

    before = PromptTokenizer(open_bundle(copy))
    saved(copy.parent / "cat.pt", vectors(2, 2))
    code, said = add("cat.pt")
    assert (code, "cat is already a word of the tokenizer's vocabulary" in said) == (2, True)
    code, said = add(re.search(r"for this one by name, (\S+)=FILE", said)[1] + "=cat.pt", "<cat-style>=cat.pt")
    assert (code, "warning: cat is an ordinary word too" in said) == (0, True)
    bundle = open_bundle(copy)
    tokenizer = PromptTokenizer(bundle)
    assert tokenizer.tokens("a cat, <cat-style>") == [
        *before.tokens("a"),
        *bundle.concept_ids["cat"],
        *before.tokens(","),
        *bundle.concept_ids["<cat-style>"],
    ]
    for text in ("concatenate", "cats", "Cat", "catcat", "wildcat"):
        assert tokenizer.tokens(text) == before.tokens(text)
        assert tokenizer.tokens(text) == CLIPTokenizer.from_pretrained(copy / "tokenizer")(text).input_ids[1:-1]
    # The tokenizer's own marks are no words.
    assert "already a word" in add("<|endoftext|>=cat.pt")[1]
    manifest = (
        "version: 1\nmodel: bundle\nconcepts: {dog: cat.pt, <fine>: cat.pt}\ndefaults: {prompt: a dog, steps: 2}\n"
    )
    (copy.parent / "m.yaml").write_text(manifest)
    assert run_cli(["plan", "m.yaml"]) == 0
    said = capsys.readouterr()
    assert "m.yaml:3:17: warning: dog is an ordinary word too" in said.out + said.err
    assert "fine> is an ordinary" not in said.out + said.err


def test_tokens_and_files_with_a_space(add, copy):
    before = PromptTokenizer(open_bundle(copy))
    saved(copy.parent / "artist.bin", {"<Some Artist>": vectors(3)})
    saved(copy.parent / "moon.bin", {"<A Book-moon >": vectors(4)})
    saved(copy.parent / "Qsian Less Neg.pt", vectors(5, 3))
    saved(copy.parent / "Qsian.pt", vectors(6))
    assert add("artist.bin", "moon.bin", "Qsian Less Neg.pt", "Qsian.pt")[0] == 0
    bundle = open_bundle(copy)
    ids = bundle.concept_ids
    tokenizer = PromptTokenizer(bundle)
    a = before.tokens("a")
    found = tokenizer.tokens("a <Some Artist> a Qsian Less Neg a Qsian a <A Book-moon >")
    assert found == [
        *a, *ids["<Some Artist>"], *a, *ids["Qsian Less Neg"], *a, *ids["Qsian"], *a, *ids["<A Book-moon >"],
    ]  # fmt: skip
    assert tokenizer.check("a <Some Artist>").unknown == ()
    text = "version: 1\nmodel: bundle\nconcepts: {<Other Artist>: artist.bin}\ndefaults: {prompt: '<Other Artist>'}\n"
    (copy.parent / "m.yaml").write_text(text)
    assert run_cli(["plan", "m.yaml"]) == 0


def test_one_file_teaches_as_many_tokens_as_are_asked_for(add, copy, capsys):
    tensor = vectors(7, 2)
    save_file({"text_encoders_0": tensor}, copy.parent / "emb.safetensors")
    assert "<s0><s1><s2> is 3 tokens, the file has 2 vectors" in add("<s0><s1><s2>=emb.safetensors")[1]
    assert add("<s0><s1>=emb.safetensors", "TOK=emb.safetensors")[0] == 0
    bundle = open_bundle(copy)
    tokenizer, ids = PromptTokenizer(bundle), bundle.concept_ids
    both = [*ids["<s0>"], *ids["<s1>"]]
    assert tokenizer.tokens("<s0><s1>") == tokenizer.tokens("<s0> <s1>") == both
    assert tokenizer.check("a photo of <s0><s1>").unknown == ()
    assert len(ids["TOK"]) == 2
    held = load_file(copy / VECTORS)
    for row, token in enumerate(("<s0>", "<s1>")):
        np.testing.assert_array_equal(held[f"text_encoder.{token}"], tensor[row : row + 1].numpy())
    text = "version: 1\nmodel: bundle\nconcepts: {<a><b>: emb.safetensors}\ndefaults: {prompt: '<a><b> <s0>'}\n"
    (copy.parent / "m.yaml").write_text(text)
    for _ in range(2):  # the second time the derived bundle is there
        assert run_cli(["plan", "m.yaml"]) == 0, capsys.readouterr().err


def test_onetrainers_key_is_no_token(tmp_path):
    for name in ("one", "two"):
        save_file({"emp_params": vectors(8)}, tmp_path / f"{name}.safetensors")
        assert read_concept(tmp_path / f"{name}.safetensors").token == name


def test_how_a_token_and_a_file_are_told_apart(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a=b.bin", "b.bin", "c.bin"):
        (tmp_path / name).touch()
    asked = {text: parse_concept(text) for text in ("c.bin", "a=b.bin", "x=a=b.bin", "<x=y>=c.bin", "<x>=gone.bin")}
    assert [(each.token, each.source) for each in asked.values()] == [
        (None, "c.bin"),
        (None, "a=b.bin"),
        ("x", "a=b.bin"),
        ("<x=y>", "c.bin"),
        ("<x>", "gone.bin"),
    ]
    for text in ("=c.bin", "<x>="):
        with pytest.raises(ConceptError, match="write TOKEN=FILE"):
            parse_concept(text)
    assert concepts_asked({"<x>": tmp_path / "c.bin"}) == [AskedConcept((tmp_path / "c.bin",), "<x>")]
