"""transformers' slow CLIP tokenizer with either of its two cleanings, whether or not ftfy is installed."""

import contextlib
import unicodedata

from transformers import tokenization_utils
from transformers.models.clip import tokenization_clip


def without_ftfy(tokenizer):
    """`tokenizer` as where ftfy is not installed."""
    tokenizer.fix_text = None
    tokenizer.nlp = tokenization_clip.BasicTokenizer(strip_accents=False, do_split_on_punc=False)
    return tokenizer


def assigned_in_14(char):
    """Whether Unicode 14 has `char` or never will, by the tables of a Python that has that version."""
    code = ord(char)
    never = 0xFDD0 <= code <= 0xFDEF or code & 0xFFFF in (0xFFFE, 0xFFFF)
    return never or unicodedata.category(char) != "Cn"


class _Kept:
    """`unicodedata` for transformers: what is not assigned is a symbol, and not a control character."""

    normalize = staticmethod(unicodedata.normalize)

    @staticmethod
    def category(char):
        return unicodedata.category(char) if assigned_in_14(char) else "So"


@contextlib.contextmanager
def unassigned_kept():
    """transformers keeps characters that this Python's Unicode does not have, as CLIP itself does."""
    modules = (tokenization_utils, tokenization_clip)
    for module in modules:
        module.unicodedata = _Kept
    try:
        yield
    finally:
        for module in modules:
            module.unicodedata = unicodedata
