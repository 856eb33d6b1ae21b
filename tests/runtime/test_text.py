"""Prompts with concepts: spliced at token level, counted, cut and encoded as they should be."""

import numpy as np
import pytest

from latentpress.runtime.text import PromptTokenizer, TextEncoder


@pytest.fixture(scope="module")
def tokenizer(bundle):
    return PromptTokenizer(bundle)


def test_a_concept_is_one_token_per_vector(tokenizer, bundle):
    ids = bundle.concept_ids
    assert len(ids["<moeb-style>"]) == 2
    plain = tokenizer.tokens("a mouse")
    assert tokenizer.tokens("a mouse <moeb-style>") == plain + ids["<moeb-style>"]
    assert tokenizer.tokens("<line-art>, a mouse")[:1] == ids["<line-art>"]


def test_ids_equal_the_tokenizers_own_padding(tokenizer, bundle):
    from transformers import CLIPTokenizer

    own = CLIPTokenizer.from_pretrained(str(bundle.file("tokenizer")))
    for prompt in ("", "a red mouse", "a mouse <line-art> !", "a house " * 90):
        expected = own(prompt, padding="max_length", max_length=77, truncation=True).input_ids
        assert tokenizer.ids(prompt).tolist() == expected


def test_check_names_what_is_cut_and_what_is_unknown(tokenizer):
    fine = tokenizer.check("a mouse in the style of <line-art>")
    assert (fine.limit, fine.cut, fine.unknown) == (75, "", ())
    long = tokenizer.check(" ".join(["mouse"] * 75) + " zebra")
    assert long.tokens > long.limit
    assert long.cut
    assert tokenizer.check("a <lime-art> mouse <Line-Art>").unknown == ("<lime-art>", "<Line-Art>")


def test_each_distinct_prompt_is_encoded_once(tokenizer):
    calls = []

    class Counting:
        provider = "fake"

        def run(self, inputs):
            calls.append(inputs["input_ids"])
            return {"hidden_states": np.zeros((1, 3, 77, 8), dtype=np.float32)}

    encode = TextEncoder(tokenizer, Counting())
    for prompt in ("a", "b", "a", "", "", "b"):
        encode(prompt)
    assert len(calls) == 3
    encode("a", clip_skip=1)
    encode("a", clip_skip=1)
    assert len(calls) == 4


def test_word_like_concepts_leave_longer_words_alone(tokenizer, monkeypatch):
    import re

    from latentpress.runtime import text

    concepts = {"cat": [900], "bad": [901], "bad-hands": [902, 903]}
    monkeypatch.setattr(tokenizer, "_concepts", concepts)
    longest_first = sorted(concepts, key=len, reverse=True)
    monkeypatch.setattr(tokenizer, "_splitter", re.compile("|".join(text._word(token) for token in longest_first)))
    assert 900 not in tokenizer.tokens("concatenate")
    assert tokenizer.tokens("cat") == [900]
    assert tokenizer.tokens("bad-hands bad") == [902, 903, 901]
    assert 900 not in tokenizer.tokens("Cat")
