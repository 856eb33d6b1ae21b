"""The files of a CLIP model that a person names for a loss: which they are, and their content. Imports no torch."""

import hashlib
from pathlib import Path

from latentpress.bundle.info import file_sha256
from latentpress.errors import UsageError
from latentpress.files import unread

CONFIG = "config.json"
# What decides what a model gives, as transformers saves it; of these a folder has some.
_WEIGHTS = ("model.safetensors", "pytorch_model.bin")
_TOKENIZER = ("vocab.json", "merges.txt")
_OTHERS = ("added_tokens.json", "special_tokens_map.json", "tokenizer_config.json", "preprocessor_config.json")


def clip_files(folder: Path) -> list[Path]:
    """The files of the CLIPModel in `folder`; raises UsageError where it is none.

    Weights in several files, as of the largest models, are not read.
    """
    try:
        there = {path.name: path for path in folder.iterdir()}
    except OSError as error:
        raise UsageError(f"{folder} {unread(folder, error)}; give the folder of a CLIP model") from None
    weights = [name for name in _WEIGHTS if name in there][:1]
    missing = [name for name in (CONFIG, *_TOKENIZER) if name not in there] + ([] if weights else [_WEIGHTS[0]])
    if missing:
        raise UsageError(
            f"{folder} has no {missing[0]}; give a folder that transformers' CLIPModel and CLIPTokenizer were saved in"
        )
    return [there[name] for name in (CONFIG, *weights, *_TOKENIZER, *_OTHERS) if name in there]


def clip_sha256(folder: Path) -> str:
    """sha256 of what is in the model's files, by their names; raises UsageError as `clip_files` does."""
    found = hashlib.sha256()
    for path in clip_files(folder):
        try:
            found.update(f"{path.name} {file_sha256(path)}\n".encode())
        except OSError as error:
            raise UsageError(f"{path} {unread(path, error)}; give a CLIP model whose files can be read") from None
    return found.hexdigest()
