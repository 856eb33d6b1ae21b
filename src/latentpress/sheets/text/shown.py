"""What is set of a text: the same in every painter, and measured as it is painted. Alt text and tables keep the original.

Characters that nobody sees are left out, among them those that force a direction or nest one text in another. Blanks of
every kind, tabs too, are blanks. What no font has is replaced by U+FFFD, which the bundled font has.
"""

import regex

from latentpress.sheets.text.fonts import Fonts, clusters

LOST = "\ufffd"
# What joins letters, chooses a form of the character before it, or tells a flag stays; so do LRM, RLM and ALM, which are
# letters without a shape that settle the direction of what stands beside them.
_LEFT_OUT = regex.compile(
    r"[[\p{Default_Ignorable_Code_Point}\p{Cc}\ufff9-\ufffb]--[\s\u034f\u061c\u115f\u1160\u200c-\u200f\p{Variation_Selector}"
    r"\U000e0020-\U000e007f]]",
    regex.VERSION1,
)
_BLANK = regex.compile(r"\s")
_UNWRITABLE = regex.compile(r"[\p{Surrogate}\p{Noncharacter_Code_Point}]")


def visible(text: str) -> str:
    """`text` without what nobody sees, its blanks all alike; the same of `visible(text)`."""
    return text if text.isascii() and text.isprintable() else _BLANK.sub(" ", _LEFT_OUT.sub("", text))


def shown(text: str, fonts: Fonts) -> str:
    """What painters set of one line of `text`: visible, each character that no font has replaced."""
    seen = visible(text)
    if seen.isascii():
        return seen
    seen = _UNWRITABLE.sub(LOST, seen)
    return "".join(one if fonts.pick(one) is not None else _replaced(one, fonts) for one in clusters(seen))


def _replaced(cluster: str, fonts: Fonts) -> str:
    """A cluster that no font has whole: what the font of its first character has, and replacements for the rest."""
    font = fonts.pick(cluster[0])
    return LOST * (font is None) + "".join(
        char if font is not None and font.has(char) else LOST for char in cluster[font is None :]
    )
