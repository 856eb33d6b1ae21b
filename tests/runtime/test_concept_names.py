"""Which concepts a prompt names: in A1111's dialect by the tokens of their names, and as facts for plans and pictures."""

import random
import shutil
from types import SimpleNamespace

import pytest
from transformers import CLIPTokenizer

from latentpress.export.concepts import add_tokens
from latentpress.export.families import family_named, write_clip_tokenizer
from latentpress.runtime.prompts import Reading
from latentpress.runtime.prompts.tokens import PromptTokenizer

A1111 = Reading("a1111")
CONCEPTS = {
    "EasyNegative": [60000, 60001],
    "bad-hands": [60002],
    "bad-hands-5": [60003, 60004],
    "art": [60005],
    "<line-art>": [60006],
    "<Some Artist>": [60007],
    "ng_deepnegative_v1_75t": [60008],
}


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """A folder with CLIP's own tokenizer, without concepts."""
    folder = tmp_path_factory.mktemp("clip") / "tokenizer"
    folder.mkdir()
    write_clip_tokenizer(folder, family_named("sd1").text_encoder("text_encoder"))
    CLIPTokenizer.from_pretrained(folder).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def tokenizer(clip, tmp_path_factory):
    """Ours, of a bundle with CLIP's vocabulary and CONCEPTS, two of them also added tokens, as an export has them."""
    root = tmp_path_factory.mktemp("bundle")
    shutil.copytree(clip, root / "tokenizer")
    add_tokens(root / "tokenizer", {"<line-art>": 60006, "art": 60005})
    concepts = [
        SimpleNamespace(token=token, source="sketchy.pt" if token == "<line-art>" else f"{token}.pt")
        for token in CONCEPTS
    ]
    encoder = SimpleNamespace(tokenizer="tokenizer", hides=True)
    info = SimpleNamespace(text_encoders=[encoder], max_tokens=77, concepts=concepts, name="b", any_prompt_length=True)
    bundle = SimpleNamespace(info=info, concept_ids=CONCEPTS, taught=None, file=lambda name: root / name)
    return PromptTokenizer(bundle)


def a1111s_own(tokenizer, text):
    """A1111's find_embedding_at_position over the tokens of one part: the longest of those that begin here."""
    ids = tokenizer(text, add_special_tokens=False).input_ids
    names = [(tokenizer(name, add_special_tokens=False).input_ids, vectors) for name, vectors in CONCEPTS.items()]
    found, place = [], 0
    while place < len(ids):
        here = [entry for entry in names if ids[place : place + len(entry[0])] == entry[0]]
        own = ids[place : place + 1]
        name, vectors = max(here, key=lambda entry: len(entry[0]), default=(own, own))
        found += vectors
        place += len(name)
    return found


def found(tokenizer, prompt, reading):
    return [token.id for section in tokenizer._sections(prompt, reading) for piece in section for token in piece]


@pytest.mark.parametrize(
    ("prompt", "plain", "concepts"),
    [
        ("easynegative", "easynegative", ("EasyNegative",)),
        ("(EASYNEGATIVE:1.2)", "EASYNEGATIVE", ("EasyNegative",)),
        ("a mouse, Bad-Hands-5, red", "a mouse, Bad-Hands-5, red", ("bad-hands-5",)),
        ("bad - hands", "bad - hands", ("bad-hands",)),
        ("EasyNegativeV2", "EasyNegativeV2", ()),
        ("a <some artist> mouse", "a <some artist> mouse", ("<Some Artist>",)),
        ("NG_DeepNegative_V1_75T", "NG_DeepNegative_V1_75T", ("ng_deepnegative_v1_75t",)),
        ("[ART] of art", None, ("art",)),
    ],
)
def test_a1111_finds_concepts_by_their_tokens(prompt, plain, concepts, tokenizer, clip):
    if plain:
        assert found(tokenizer, prompt, A1111) == a1111s_own(CLIPTokenizer.from_pretrained(clip), plain)
    assert tokenizer.check(prompt, A1111).concepts == concepts


def test_a1111_finds_them_in_any_mixture(tokenizer, clip):
    theirs = CLIPTokenizer.from_pretrained(clip)
    choose = random.Random(4)
    words = [
        "easynegative",
        "EasyNegative",
        "bad-hands-5",
        "BAD-HANDS",
        "bad hands",
        "Art",
        "lineart",
        "a",
        "red",
        "5",
        "-",
    ]
    hits = 0
    for _ in range(300):
        text = " ".join(choose.choice(words) for _ in range(choose.randint(1, 6)))
        expected = a1111s_own(theirs, text)
        assert found(tokenizer, text, A1111) == expected, text
        hits += any(index >= 60000 for index in expected)
    assert hits > 100


def test_a_concept_written_to_the_letter_stays_one_beside_other_brackets(tokenizer):
    """A1111 itself misses it, because `>,` is one token; jobs that had it keep it."""
    assert tokenizer.check("<line-art>, a mouse", A1111).concepts == ("<line-art>",)
    assert not tokenizer.found_otherwise("<line-art>, a mouse")
    assert not tokenizer.found_otherwise("bad-hands-5, EasyNegative")
    assert tokenizer.found_otherwise("bad-hands-5, (easynegative:1.2)")


def test_elsewhere_case_counts_and_a_near_miss_is_told(tokenizer):
    for reading in (Reading(), Reading("compel"), Reading(cleaning="clip")):
        checked = tokenizer.check("easynegative, BAD-hands-5, EasyNegative, sketchy", reading)
        assert checked.concepts == ("EasyNegative",)
        assert checked.near == (
            ("easynegative", "EasyNegative"),
            ("BAD-hands-5", "bad-hands-5"),
            ("sketchy", "<line-art>"),
        )
    assert tokenizer.check("concatenate an artist, EasyNegativeV2").near == ()
    assert tokenizer.check("easynegative", A1111).near == ()


def test_what_is_cut_off_is_not_used(tokenizer):
    prompt = "mouse " * 75 + "art"
    assert tokenizer.check(prompt).concepts == ()
    assert tokenizer.check(prompt, Reading(long_prompts="chunks")).concepts == ("art",)


@pytest.mark.parametrize("dialect", ["none", "a1111", "compel"])
@pytest.mark.parametrize(
    ("prompt", "characters"),
    [
        (r"a button saying \<OK\>, red", "a button saying <OK>, red"),
        ("A <-> B", "A <-> B"),
        (r"a \<line-art\> tag", "a <line-art> tag"),
        (r"\<|endoftext|\> red", "< |endoftext|> red"),
        ("<|endoftext|> red", "<|endoftext|> red"),
    ],
)
def test_brackets_can_be_meant_as_characters(prompt, characters, dialect, tokenizer, clip):
    checked = tokenizer.check(prompt, Reading(dialect))
    assert (checked.unknown, checked.fault, checked.concepts) == ((), None, ())
    expected = CLIPTokenizer.from_pretrained(clip)(characters, add_special_tokens=False).input_ids
    assert found(tokenizer, prompt, Reading(dialect)) == expected
