"""Builds CLIPTokenizer files whose byte-pair merges make whole words of a given list single tokens. No torch."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

BOS, EOS = "<|startoftext|>", "<|endoftext|>"

# The words of our own examples and of everyday prompts; others still work, spelled in bytes.
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


def write_clip_files(folder: Path, merges: Sequence[tuple[str, str]], *, max_length: int, pad: str) -> int:
    """Write the files of a CLIPTokenizer with these byte-pair `merges`; returns the vocabulary's size."""
    folder.mkdir(parents=True, exist_ok=True)
    letters = _byte_letters()
    tokens = [*letters, *(letter + "</w>" for letter in letters), *(a + b for a, b in merges), BOS, EOS]
    vocabulary = {token: index for index, token in enumerate(dict.fromkeys(tokens))}
    (folder / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False), encoding="utf-8")
    lines = ["#version: 0.2", *(f"{a} {b}" for a, b in merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    special = {"bos_token": BOS, "eos_token": EOS, "unk_token": EOS, "pad_token": pad}
    (folder / "special_tokens_map.json").write_text(json.dumps(special, indent=2))
    added = {
        str(vocabulary[token]): {
            "content": token,
            "lstrip": False,
            "normalized": True,
            "rstrip": False,
            "single_word": False,
            "special": True,
        }
        for token in (BOS, EOS)
    }
    config = {
        **special,
        "add_prefix_space": False,
        "added_tokens_decoder": added,
        "clean_up_tokenization_spaces": False,
        "do_lower_case": True,
        "errors": "replace",
        "model_max_length": max_length,
        "tokenizer_class": "CLIPTokenizer",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2))
    return len(vocabulary)


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


def _byte_letters() -> list[str]:
    """The 256 printable letters GPT-2 and CLIP write bytes with, in CLIP's order."""
    printable = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return [*map(chr, printable), *(chr(256 + index) for index in range(len(others)))]
