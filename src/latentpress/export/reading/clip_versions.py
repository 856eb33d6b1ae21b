"""What transformers 4 and 5 do differently with CLIP: where the text model's modules are, and how a tokenizer is saved.

transformers 5 took away the level `text_model` of CLIPTextModel (not of CLIPTextModelWithProjection), its modules and the
names of its weights included, and writes a tokenizer as one tokenizer.json.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from latentpress.errors import CheckpointError
from latentpress.export.reading.whole_file import read_json

_LEVEL = "text_model."
# The file that holds all of a tokenizer, the only one that transformers 5 writes beside its config.
WHOLE = "tokenizer.json"


def text_model(model: Any) -> Any:
    """The module of a CLIP text encoder that has `embeddings`, `encoder` and `final_layer_norm`."""
    return getattr(model, "text_model", model)


def weights_for(model: Any, state: Mapping[str, Any]) -> dict[str, Any]:
    """`state` by the names that `model` has for its weights, whichever version of transformers wrote it."""
    if hasattr(model, "text_model"):
        inner = {name.split(".")[0] for name, _ in model.text_model.named_parameters()}
        return {_LEVEL + key if key.split(".")[0] in inner else key: value for key, value in state.items()}
    return {key.removeprefix(_LEVEL): value for key, value in state.items()}


def module_names(names: set[str]) -> dict[str, str]:
    """Names in files, with and without the level `text_model`, -> those of `names`, a model's own, they stand for."""
    others = {name.removeprefix(_LEVEL) if name.startswith(_LEVEL) else _LEVEL + name: name for name in names}
    return others | {name: name for name in names}


def save_tokenizer(tokenizer: Any, folder: Path) -> None:
    """Write the CLIPTokenizer as transformers 4 does: vocab.json, merges.txt, and a config that lists the added tokens."""
    tokenizer.save_pretrained(folder)
    whole = folder / WHOLE
    if (folder / "vocab.json").exists() or not whole.exists():
        return
    split_tokenizer(folder, folder)
    # Concepts are added to the files above; this one would not know of them, and transformers 5 would prefer it.
    whole.unlink()


def split_tokenizer(source: Path, folder: Path) -> None:
    """Write into `folder` the files of transformers 4 for the tokenizer.json and its config in `source`.

    Raises CheckpointError if that is no byte-pair tokenizer, as CLIP's is.
    """
    whole, settings = source / WHOLE, source / "tokenizer_config.json"
    data = read_json(whole)
    config = read_json(settings) if settings.is_file() else dict[str, Any]()
    try:
        vocabulary: dict[str, int] = data["model"]["vocab"]
        pairs = [merge if isinstance(merge, str) else " ".join(merge) for merge in data["model"]["merges"]]
        added = {str(entry["id"]): {k: v for k, v in entry.items() if k != "id"} for entry in data["added_tokens"]}
        merges = "\n".join(("#version: 0.2", *pairs)) + "\n"
    except (KeyError, TypeError, AttributeError):
        raise CheckpointError(
            f"{whole}: not a byte-pair tokenizer, as CLIP's is; save the checkpoint again with diffusers"
        ) from None
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False), encoding="utf-8")
    (folder / "merges.txt").write_text(merges, encoding="utf-8")
    text = json.dumps(config | {"added_tokens_decoder": added}, indent=2, ensure_ascii=False) + "\n"
    (folder / "tokenizer_config.json").write_text(text, encoding="utf-8")
