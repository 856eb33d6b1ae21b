"""CLIP's byte-pair tokenizer from the files of a transformers CLIPTokenizer: the same ids, without importing torch.

Follows transformers 4.57 (tokenization_clip.py, Apache-2.0); `cleaning` says what becomes of characters before. It knows
nothing of concepts, which `tokens` takes out of a prompt first. The `tokenizers` package could merge the byte
pairs, but takes 20 ms to import and 37 ms to build for CLIP's vocabulary, where this class takes 35 ms to load; every
`plan` would wait for it.
"""

import json
import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from latentpress.bundle.taught import added_token
from latentpress.errors import BundleError
from latentpress.runtime.prompts.cleaning import cleaned, pieces

# Words whose byte pairs are remembered: some 10 MB.
_WORDS_KEPT = 1 << 16
# How many lines of merges.txt are used, as transformers counts them.
_MERGES = 49152 - 256 - 2


class ClipTokenizer:
    """Text -> ids and back; raises BundleError if `folder` lacks a CLIPTokenizer's files."""

    def __init__(self, folder: Path, more: Mapping[str, int] | None = None) -> None:
        """more: added tokens that are in none of its files -> their ids."""
        try:
            vocabulary: dict[str, int] = json.loads((folder / "vocab.json").read_bytes())
            lines = (folder / "merges.txt").read_text(encoding="utf-8").strip().split("\n")[1 : _MERGES + 1]
            config: Any = json.loads((folder / "tokenizer_config.json").read_bytes())
            self._ranks = {(first, second): rank for rank, (first, second) in enumerate(map(str.split, lines))}
            added = {entry["content"]: (int(key), entry) for key, entry in config["added_tokens_decoder"].items()}
            added |= {name: (index, added_token(name)) for name, index in (more or {}).items()}
            names = {role: _content(config[f"{role}_token"]) for role in ("bos", "eos", "pad", "unk")}
            for name in names.values():
                added.setdefault(name, (vocabulary[name], {"content": name}))
            self._ids = vocabulary | {name: index for name, (index, _) in added.items()}
            self.bos_token_id, self.eos_token_id, self.pad_token_id, self._unknown = map(
                self._ids.__getitem__, names.values()
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise BundleError(
                f"{folder}: not a tokenizer that can be read ({type(error).__name__}: {error}); export the bundle again"
            ) from None
        self._texts = {index: name for name, index in self._ids.items()}
        self._alone = {name for name, (_, entry) in added.items() if entry.get("single_word")}
        self._added = set(added)
        self._apart = self._added - set(names.values())  # when decoding
        longest_first = sorted(self._added, key=len, reverse=True)
        self._splitter = re.compile("(" + "|".join(map(re.escape, longest_first)) + ")")
        self._letters = dict(zip(_byte_order(), _byte_letters(), strict=True))
        self._bytes = {letter: byte for byte, letter in self._letters.items()}
        self._special = {"<|startoftext|>": ["<|startoftext|>"], "<|endoftext|>": ["<|endoftext|>"]}
        self._cache = dict(self._special)

    def encode(self, text: str, cleaning: str = "basic") -> list[int]:
        """The ids of `text`, cleaned by one of `cleaning`'s CLEANINGS, without start, end or padding."""
        tokens: list[str] = []
        for part in self._parts(text):
            tokens += [part] if part in self._added else self._tokens(part, cleaning)
        return [self._ids.get(token, self._unknown) for token in tokens]

    def is_word(self, text: str) -> bool:
        """Whether `text` is a word of the vocabulary that was there before any token was added."""
        return any(name in self._ids and name not in self._added for name in (text, f"{text.lower()}</w>"))

    def words(self, text: str) -> list[int]:
        """The ids of `text` where none of its words is an added token."""
        return [self._ids.get(token, self._unknown) for token in self._tokens(text, "basic")]

    @property
    def added(self) -> frozenset[str]:
        """The tokens that were added to the vocabulary, and the tokenizer's own."""
        return frozenset(self._added)

    def adds(self, text: str) -> bool:
        """Whether `text` is an added token: a concept's, or one of the tokenizer's own."""
        return text in self._added

    def decode(self, ids: Sequence[int]) -> str:
        """The text of `ids`, in small letters as the tokenizer sees it."""
        runs: list[list[str]] = [[]]
        for index in ids:
            if (name := self._texts[index]) in self._apart:
                runs += [[name], []]
            else:
                runs[-1].append(name)
        texts = [run[0] if run[:1] and run[0] in self._apart else self._joined(run) for run in runs]
        return " ".join(text for text in texts if text)

    def _joined(self, tokens: Sequence[str]) -> str:
        data = bytes(self._bytes[letter] for letter in "".join(tokens))
        return data.decode("utf-8", errors="replace").replace("</w>", " ").strip()

    def _parts(self, text: str) -> list[str]:
        """`text` cut at added tokens; a token that must stand alone and does not is joined to its neighbour."""
        parts = [part for part in self._splitter.split(text) if part]
        for index, part in enumerate(parts):
            if part in self._alone:
                if index > 0 and parts[index - 1] and parts[index - 1][-1] != " ":
                    parts[index - 1] += part
                    parts[index] = ""
                elif index + 1 < len(parts) and parts[index + 1][0] != " ":
                    parts[index + 1] = part + parts[index + 1]
                    parts[index] = ""
        return [part for part in parts if part]

    def _tokens(self, text: str, cleaning: str) -> list[str]:
        tokens: list[str] = []
        for piece in pieces(cleaned(text, cleaning)):
            tokens += self._pairs("".join(self._letters[byte] for byte in piece.encode()))
        return tokens

    def _pairs(self, word: str) -> list[str]:
        """Byte pairs merged in the order they were learned (Sennrich et al., arXiv 1508.07909)."""
        if word not in self._cache:
            if len(self._cache) >= _WORDS_KEPT:
                self._cache = dict(self._special)
            parts = [*word[:-1], word[-1] + "</w>"]
            while len(parts) > 1:
                best = min(pairwise(parts), key=lambda pair: self._ranks.get(pair, len(self._ranks)))
                if best not in self._ranks:
                    break
                merged: list[str] = []
                index = 0
                while index < len(parts):
                    if tuple(parts[index : index + 2]) == best:
                        merged.append(best[0] + best[1])
                        index += 2
                    else:
                        merged.append(parts[index])
                        index += 1
                parts = merged
            self._cache[word] = parts
        return self._cache[word]


def _content(token: Any) -> str:
    """Configurations name a special token by its text, or by a map that holds it."""
    return token["content"] if isinstance(token, dict) else str(token)


def _byte_order() -> list[int]:
    printable = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    return printable + [byte for byte in range(256) if byte not in printable]


def _byte_letters() -> list[str]:
    """A printable letter for each byte of `_byte_order`, as GPT-2 writes bytes."""
    printable = _byte_order()[:188]
    return [*map(chr, printable), *(chr(256 + index) for index in range(256 - len(printable)))]
