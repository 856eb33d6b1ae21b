"""Prompts with concepts: spliced at token level, counted, cut and encoded as they should be."""

import numpy as np
import pytest

from latentpress.runtime.prompts import clip_tokenizer
from latentpress.runtime.prompts import tokens as text
from latentpress.runtime.prompts.clip_tokenizer import ClipTokenizer
from latentpress.runtime.prompts.concepts import Names
from latentpress.runtime.prompts.recent import Recent
from latentpress.runtime.prompts.tokens import PromptTokenizer, TextEncoder


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


class Fake:
    """A text encoder whose answer is its prompt's ids."""

    def __init__(self):
        self.calls = 0

    def run(self, inputs):
        self.calls += 1
        return {"hidden_states": np.repeat(inputs["input_ids"][:, None, :, None], 8, axis=3).astype(np.float32)}


def test_a_million_prompts_fit_into_memory_and_repeated_ones_stay(tokenizer, monkeypatch):
    each = 77 * 8 * 4
    monkeypatch.setattr(text, "KEPT_BYTES", 20 * each)
    session = Fake()
    encode = TextEncoder(tokenizer, session)
    in_flight = encode("number 0")
    kept = in_flight.hidden_states.copy()
    for index in range(1000):
        encode(f"number {index % 250}")
        encode("the negative prompt")
    assert encode._cache.bytes == 20 * each
    assert session.calls == 1 + 1 + 249 + 3 * 250, "the negative once, the others as often as they had long been unused"
    np.testing.assert_array_equal(in_flight.hidden_states, kept)
    again = encode("number 0")
    assert again is not in_flight
    np.testing.assert_array_equal(again.hidden_states, kept)
    recent = [encode(f"number {index}") for index in range(240, 250)]
    calls = session.calls
    assert [encode(f"number {index}") for index in range(240, 250)] == recent
    assert session.calls == calls


def test_one_that_is_larger_than_the_cache_is_kept_alone():
    made = []
    recent = Recent(10, len)
    for key in "aabbab":
        recent.get(key, lambda key=key: made.append(key) or b"x" * 11)
    assert made == ["a", "b", "a", "b"]
    assert recent.bytes == 11


def test_the_words_that_are_remembered_are_bounded(bundle, monkeypatch):
    words = ClipTokenizer(bundle.file("tokenizer"))
    expected = [words.encode(f"mouse{index} house") for index in range(50)]
    monkeypatch.setattr(clip_tokenizer, "_WORDS_KEPT", 10)
    few = ClipTokenizer(bundle.file("tokenizer"))
    assert [few.encode(f"mouse{index} house") for index in range(50)] == expected
    assert len(few._cache) <= 10
    assert few.encode("<|startoftext|> a") == words.encode("<|startoftext|> a")


def test_word_like_concepts_leave_longer_words_alone(tokenizer, monkeypatch):
    concepts = {"cat": [900], "bad": [901], "bad-hands": [902, 903]}
    monkeypatch.setattr(tokenizer, "_concepts", concepts)
    monkeypatch.setattr(tokenizer, "_names", Names(tuple(concepts), {}, tokenizer._tokenizer.words))
    assert 900 not in tokenizer.tokens("concatenate")
    assert tokenizer.tokens("cat") == [900]
    assert tokenizer.tokens("bad-hands bad") == [902, 903, 901]
    assert 900 not in tokenizer.tokens("Cat")
