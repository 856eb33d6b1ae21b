"""Builds CLIPTokenizer files whose byte-pair merges make whole words of a given list single tokens. No torch."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from latentpress.export.families.clip_files import EOS, write_clip_files

# The words that random checkpoints have as single tokens; others still work, spelled in bytes.
WORDS = (
    "a an the of in on at with and by to from over under for as is high low one two three old new small big "
    "photo picture painting drawing sketch portrait landscape style art digital oil watercolor ink pencil "
    "illustration anime comic poster print sculpture render concept detailed intricate sharp blurry soft "
    "focus light dark bright color colour colorful red green blue yellow orange purple black white grey gold "
    "silver cat dog horse bird fish fox bear wolf lion tiger dragon owl man woman child person people face "
    "hand hands eye eyes hair castle house tower bridge city street village temple church ship boat car train "
    "robot astronaut knight wizard queen king warrior forest tree trees flower flowers mountain mountains "
    "river lake sea ocean beach desert island sky cloud clouds sun moon star stars night day morning evening "
    "sunset sunrise storm rain snow fog fire water ice stone glass metal wood paper background scene view "
    "close up wide angle shot masterpiece best quality worst bad ugly deformed extra fingers text watermark "
    "signature low quality trending realistic photorealistic cinematic dramatic lighting fantasy magic "
    "ancient modern future space planet garden window door table chair book tea cup apple bowl fruit bottle "
    "riding standing sitting walking flying holding wearing looking hat coat dress armor sword shield crown"
)


def write_tokenizer(
    folder: Path, words: Iterable[str] = tuple(WORDS.split()), *, max_length: int = 77, pad: str = EOS
) -> int:
    """Write vocab.json, merges.txt and the configs of a CLIPTokenizer into `folder`; returns the vocabulary's size.

    pad: the token that fills a prompt up, "!" in SDXL's second tokenizer. The order of ids is CLIP's: bytes, bytes at a
    word's end, merges, start of text, end of text.
    """
    merges: list[tuple[str, str]] = []
    for word in dict.fromkeys(words):
        _learn(word, merges)
    return write_clip_files(folder, merges, max_length=max_length, pad=pad)


def _learn(word: str, merges: list[tuple[str, str]]) -> None:
    """Append the merges that make `word` one token.

    They rank after all earlier ones, so the words learned before keep their way to one token.
    """
    pieces = [*word[:-1], word[-1] + "</w>"]
    for pair in merges:
        pieces = _apply(pieces, pair)
    while len(pieces) > 1:
        pair = (pieces[0], pieces[1])
        merges.append(pair)
        pieces = _apply(pieces, pair)


def _apply(pieces: Sequence[str], pair: tuple[str, str]) -> list[str]:
    merged: list[str] = []
    for piece in pieces:
        if merged and (merged[-1], piece) == pair:
            merged[-1] += piece
        else:
            merged.append(piece)
    return merged
