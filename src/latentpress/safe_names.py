"""A text as part of a file name, on any system. Pure."""

import re

UNSAFE = re.compile(r'[/\\:*?"<>|\x00-\x1f\x7f-\x9f]')
# Unicode's categories Cf, Zl and Zp, but for joiners and the letters of flags: what is not seen and turns text around.
_HIDDEN = (
    "\xad\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u2064\u2066-\u206f"
    "\ufeff\ufff9-\ufffb\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0001"
)
UNSEEN = re.compile(f"[{_HIDDEN}]")
# Joiners within emoji or a script that needs them, and the letters on a black flag, are part of what is seen.
_PART_OF_TEXT = r"(?<=[^\x00-\x7f])[\u200c\u200d](?=[^\x00-\x7f])|\U0001f3f4[\U000e0020-\U000e007e]+\U000e007f"
_UNSEEN_OR_PART = re.compile(f"(?P<part>{_PART_OF_TEXT})|[{_HIDDEN}\u200c\u200d\U000e0020-\U000e007f]")


def safe(text: str) -> str:
    """A placeholder's value as part of a file name: <line-art> becomes line-art, separators and what is not seen -."""
    if text.startswith("<") and text.endswith(">"):
        text = text[1:-1]
    text = UNSAFE.sub("-", text)
    if text.isascii():
        return text
    return _UNSEEN_OR_PART.sub(lambda found: found["part"] or "-", text)
