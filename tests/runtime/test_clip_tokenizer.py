"""Our CLIP tokenizer against transformers' on CLIP's true vocabulary: the same ids for any text."""

import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import CLIPTokenizer

from cleaned import unassigned_kept, without_ftfy
from latentpress.errors import BundleError
from latentpress.export.concepts import add_tokens
from latentpress.export.families import family_named, write_clip_tokenizer
from latentpress.runtime.prompts.clip_tokenizer import ClipTokenizer

SAMPLES = (
    "a photo of the cat's DON'T I'll we've he'd l'été naïve ﬁne ½ ² 12345 3d x2 _under_score --dash-- (in:1.2) [x|y] "
    "!! ! !!! <|endoftext|> <|ENDOFTEXT|> <|startoftext|> <line-art> <Line-Art> <line-art>_1 xbirb birb birbs birb_1 "
    "café cafe\u0301 İstanbul STRASSE ẞ ǆ 北京 東京タワー 한국어 العربية हिन्दी ไทย 👩‍👩‍👧 🎨 "
    "\u200b \ufeff \u00ad \ufffd \x00 \x07 \ud7a3 … “quoted” ’s ‘t \u3000 \u2028 \u0085 \xa0 \t \n Ω ℃ ㍿ 𝒳 𠀀 "
    "\U0002f800 supercalifragilistic"
)
WORDS = SAMPLES.split(" ")
TEXT = st.lists(
    st.one_of(
        st.sampled_from(WORDS),
        st.text(max_size=8),
        st.text(alphabet=string.printable, max_size=12),
        st.sampled_from([" ", "  ", "\n"]),
    ),
    max_size=12,
).flatmap(lambda parts: st.sampled_from(["", " "]).map(lambda glue: glue.join(parts)))


@pytest.fixture(scope="module", params=[("sd1", "text_encoder"), ("sdxl", "text_encoder_2")], ids=["clip", "openclip"])
def pair(request, tmp_path_factory):
    """transformers' tokenizer and ours, of the same files, with concepts; padded with the end token, or with "!"."""
    folder = tmp_path_factory.mktemp("tokenizer")
    size = write_clip_tokenizer(folder, family_named(request.param[0]).text_encoder(request.param[1]))
    CLIPTokenizer.from_pretrained(folder).save_pretrained(folder)  # as an export saves it
    concepts = ("<line-art>", "<line-art>_1", "birb", "birb_1")
    add_tokens(folder, {token: size + index for index, token in enumerate(concepts)})
    theirs = without_ftfy(CLIPTokenizer.from_pretrained(folder))
    return theirs, ClipTokenizer(folder)


def assert_same(pair, text):
    theirs, ours = pair
    with unassigned_kept():
        expected = theirs(text, add_special_tokens=False, verbose=False).input_ids
    assert ours.encode(text) == expected
    assert ours.decode(expected) == theirs.decode(expected, clean_up_tokenization_spaces=False).strip()


def test_special_ids(pair):
    theirs, ours = pair
    for name in ("bos_token_id", "eos_token_id", "pad_token_id"):
        assert getattr(ours, name) == getattr(theirs, name)
    assert ours.pad_token_id in (0, 49407)


def test_words_that_are_special_somewhere(pair):
    for word in WORDS:
        for text in (word, f"a {word} b", f"a{word}b", f"{word}{word}"):
            assert_same(pair, text)
    assert_same(pair, " ".join(WORDS))


@settings(max_examples=400, deadline=None, derandomize=True)
@given(text=TEXT)
def test_any_text(pair, text):
    assert_same(pair, text)


def test_a_tokenizer_that_cannot_be_read_is_named(tmp_path):
    write_clip_tokenizer(tmp_path, family_named("sd1").text_encoder("text_encoder"))
    (tmp_path / "vocab.json").write_text("{}")
    with pytest.raises(BundleError, match="not a tokenizer that can be read"):
        ClipTokenizer(tmp_path)
