"""What transformers 4 and 5 do differently with CLIP: where the text model's modules are, and how a tokenizer is saved.

transformers 5 took away the level `text_model` of CLIPTextModel (not of CLIPTextModelWithProjection), its modules and the
names of its weights included, and writes a tokenizer as one tokenizer.json.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_LEVEL = "text_model."


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
    whole = folder / "tokenizer.json"
    if (folder / "vocab.json").exists() or not whole.exists():
        return
    data: Any = json.loads(whole.read_bytes())
    (folder / "vocab.json").write_text(json.dumps(data["model"]["vocab"], ensure_ascii=False), encoding="utf-8")
    pairs = (merge if isinstance(merge, str) else " ".join(merge) for merge in data["model"]["merges"])
    (folder / "merges.txt").write_text("\n".join(("#version: 0.2", *pairs)) + "\n", encoding="utf-8")
    path = folder / "tokenizer_config.json"
    config: Any = json.loads(path.read_bytes())
    config["added_tokens_decoder"] = {
        str(entry["id"]): {key: value for key, value in entry.items() if key != "id"} for entry in data["added_tokens"]
    }
    path.write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    # Concepts are added to the files above; this one would not know of them, and transformers 5 would prefer it.
    whole.unlink()
