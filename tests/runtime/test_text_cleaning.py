"""What becomes of characters before the tokenizer: frozen Unicode data, and `text_cleaning: clip` as CLIP's own."""

import html
import random
import unicodedata
from types import SimpleNamespace

import pytest
import regex
from transformers import CLIPTokenizer, CLIPTokenizerFast

from cleaned import assigned_in_14, unassigned_kept, without_ftfy
from latentpress.export.families import family_named, write_clip_tokenizer
from latentpress.runtime.prompts import cleaning, unicode_tables
from latentpress.runtime.prompts.clip_tokenizer import ClipTokenizer

python_311 = pytest.mark.skipif(unicodedata.unidata_version != "14.0.0", reason="this Python's Unicode is a later one")
# Of every kind that some tokenizer treats apart: not assigned in Unicode 14, joined, composed, spaced, CJK, damaged.
AWKWARD = (
    *("a 🫨 mouse", "🫨", "a 🪿 and a 🫏", "👨‍👩‍👧", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "x\u200dy", "soft\u00adhyphen", "\ufeffa"),
    *("\ue000", "e\u0301🫨\u0301", "cafe\u0301", "ǅungla", "ΑΣ ΑΣ🫨 ΣΑ", "İzmir", "\u2126 \u212b \u212a"),
    *("ＦＵＬＬ", "ﬁne ﬂow", "½ Ⅳ ①", "北京 東京タワー", "\U00031350\U00031351", "a\u3000b", "a\u2028b"),
    *("a\u00a0b", "a\tb\nc\r\nd", "a\x00b\x07", "it’s “so”", "‘s ’t", "schÃ¶n", "â€œxâ€\x9d", "a\ufffdb"),
    *("&lt;3 &amp;amp; l&eacute;", "<b>&amp;</b>", "x\u0345y", "'ſ a'ſ", "\U0001e030\U0001df25", "\x1b[31mred"),
    "\U000105c9\U000105d2\u0307",
)


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory):
    """transformers' slow tokenizer, its fast one, and ours, of CLIP's vocabulary."""
    folder = tmp_path_factory.mktemp("tokenizer")
    write_clip_tokenizer(folder, family_named("sd1").text_encoder("text_encoder"))
    CLIPTokenizer.from_pretrained(folder).save_pretrained(folder)
    slow = CLIPTokenizer.from_pretrained(folder)
    return slow, CLIPTokenizerFast.from_pretrained(folder), ClipTokenizer(folder)


def ids(tokenizer, text):
    return tokenizer(text, add_special_tokens=False, verbose=False).input_ids


def texts(seed, count):
    """Awkward texts, and `count` mixtures of any characters."""
    choose = random.Random(seed)
    yield from AWKWARD
    starts = [choose.randrange(0x80, 0x32000) for _ in range(count)]
    for start in starts:
        near = [chr(code) for code in range(start, start + 16) if not 0xD800 <= code < 0xE000]
        yield "".join(choose.choice([*near, *" aBΣ's;#&é\u0301"]) for _ in range(choose.randint(2, 12)))


def test_an_emoji_younger_than_python_keeps_its_bytes(tokenizers):
    _, fast, ours = tokenizers
    assert ours.encode("🫨") == ids(fast, "🫨") == [558, 104, 357]
    assert ours.encode("a 🫨 mouse") == [320, 558, 104, 357, 9301]


@python_311
def test_basic_is_transformers_without_ftfy(tokenizers):
    slow, _, ours = tokenizers
    without_ftfy(slow)
    with unassigned_kept():
        wrong = [text for text in texts(1, 2000) if ours.encode(text) != ids(slow, text)]
    assert wrong == []


def test_clip_is_what_openai_and_open_clip_clean(tokenizers, monkeypatch):
    """Theirs: ftfy's fix_text, entities read twice, spaces joined, small letters (openai/CLIP, simple_tokenizer.py)."""
    ftfy = pytest.importorskip("ftfy")
    slow, _, ours = tokenizers
    monkeypatch.setattr(slow, "fix_text", lambda text: html.unescape(html.unescape(ftfy.fix_text(text))), raising=False)
    wrong = [text for text in texts(2, 2000) if ours.encode(text, "clip") != ids(slow, text)]
    assert wrong == []
    assert ours.encode("it’s “so” ﬁne", "clip") == ours.encode('it\'s "so" fine')
    assert ours.encode("👨‍👩‍👧", "clip") != ours.encode("👨👩👧", "clip")


def test_python_is_asked_of_no_character_that_a_later_one_has(monkeypatch):
    """So its version does not show: a later Python composes and lowers characters that Unicode 14 does not have."""

    def normalize(form, text):
        assert not cleaning.newer(text)
        return unicodedata.normalize(form, text)

    monkeypatch.setattr(cleaning, "unicodedata", SimpleNamespace(normalize=normalize))
    for text in texts(3, 500):
        cleaning.cleaned(text)
    # Garay's capital letter (Unicode 16) has a small one, Todhri's e a composition.
    assert cleaning.cleaned("\U00010d50A\U000105d2\u0307") == "\U00010d50a\U000105d2\u0307"
    assert cleaning.cleaned("ΑΣ\U00010d50") == "ας\U00010d50", "the end of a word, where the next letter is unknown"


@python_311
def test_the_frozen_tables_are_unicodes():
    later = cleaning._Ranges(unicode_tables.UNASSIGNED)
    for code in (*range(0x32400), *range(0xDFF00, 0xF0010), *range(0x10FFF0, 0x110000)):
        char = chr(code)
        assert (code in later) == (not assigned_in_14(char))
        if assigned_in_14(char):
            kind = unicodedata.category(char)
            out = (kind[0] == "C" and char not in "\t\n\r") or char == "\ufffd"
            assert (cleaning._plain[code] == "") == out, hex(code)


def test_letters_and_numbers_are_those_of_clips_pattern():
    """OpenAI's pattern needs the package regex, whose tables grow; what it knows today is frozen here."""
    openai = regex.compile(r"(?P<A>[\p{L}]+)|(?P<N>[\p{N}])|(?P<O>[^\s\p{L}\p{N}]+)", regex.IGNORECASE)
    for code in (*range(0x80, 0x3500), *range(0x9F00, 0xAD00), *range(0xF900, 0x20100), *range(0x31000, 0x32400)):
        char = chr(code)
        if char.isspace() or regex.match(r"\p{Cn}", char):
            continue
        match = openai.fullmatch(char)
        expected = {"A": "A", "N": "0", "O": "\x80", None: " "}[match and match.lastgroup]
        assert cleaning._kinds[code] == ("s" if char == "ſ" else expected), hex(code)
