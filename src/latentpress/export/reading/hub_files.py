"""Which files of a repository an export reads, of the names that a hub lists or a snapshot holds. Asks no network."""

import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, Literal

from latentpress.errors import CheckpointError
from latentpress.export.families import FAMILIES
from latentpress.export.reading.weight_names import chosen_set, is_shard, weight_sets

Kind = Literal["checkpoint", "vae", "lora", "concept"]

INDEX = "model_index.json"
# The file each kind of repository is named for, if it has it; before any other.
_USUAL = {
    "lora": ("pytorch_lora_weights.safetensors", "pytorch_lora_weights.bin"),
    "concept": ("learned_embeds.safetensors", "learned_embeds.bin"),
}
_ENDINGS = {
    "checkpoint": (".safetensors", ".ckpt"),
    "vae": (".safetensors", ".pt", ".ckpt"),
    "lora": (".safetensors",),
    "concept": (".safetensors", ".bin", ".pt"),
}
# SDXL's other text encoder's vectors of a concept.
_SECOND = ("learned_embeds_2.safetensors", "learned_embeds_2.bin")
# What is read with a file beside it: small files that say what it does not.
_BESIDE = {"concept": ("token_identifier.txt", *_SECOND), "lora": ("adapter_config.json",)}
_SETTINGS = (".json", ".txt")


def wanted_files(
    where: str, names: Sequence[str], kind: Kind, file: str | None = None, variant: str | None = None
) -> list[str]:
    """Those of `names`, the files of a repository that errors call `where`, which an export reads.

    file: the one asked for, or a folder in it. Raises CheckpointError for a file that is not there, or if it is not clear
    which is meant.
    """
    if file is not None and file not in names:
        inside = [name for name in names if name.startswith(f"{file.rstrip('/')}/")]
        if not inside:
            raise CheckpointError(f"{where}: has no file {file}; it holds {_some(names)}")
        return _of_folder(f"{where}:{file}", names, file.rstrip("/"), variant) if kind == "vae" else inside
    if file is not None:
        return [file, *_companions(names, kind, file)]
    if kind == "checkpoint" and INDEX in names:
        parts = dict.fromkeys(part.name for family in FAMILIES.values() for part in family.components)
        found = [INDEX]
        for part in parts:
            found += _of_folder(f"{where}/{part}", names, part, variant)
        return found
    if kind == "vae" and (folder := _vae_folder(names)) is not None:
        return _of_folder(where, names, folder, variant)
    return _only(where, names, kind)


def main_file(names: Collection[str], kind: Kind, file: str | None) -> str | None:
    """The file or folder to read in a snapshot with these files; None for the snapshot as a whole.

    It is asked for after `wanted_files` has been content.
    """
    if file is not None:
        return file.rstrip("/")
    if kind == "checkpoint" and INDEX in names:
        return None
    if kind == "vae" and (folder := _vae_folder(names)) is not None:
        return folder or None
    return _only("", list(names), kind)[0]


def is_weights(name: str) -> bool:
    """Whether the file may be a large one."""
    return not name.endswith(_SETTINGS)


def is_whole(snapshot: Path, kind: Kind, file: str | None, variant: str | None) -> bool:
    """Whether the snapshot holds everything that `wanted_files` would name: it may be of an interrupted download."""
    if file is not None and (snapshot / file).is_file():
        return True
    if kind == "checkpoint" and file is None and (snapshot / INDEX).is_file():
        index: Any = json.loads((snapshot / INDEX).read_bytes())
        known = {part.name: part for family in FAMILIES.values() for part in family.components}
        named = [key for key, entry in index.items() if key in known and isinstance(entry, list) and entry[0]]
        return all(_whole_folder(snapshot / name, known[name].file == "config.json", variant) for name in named)
    if kind == "vae":
        names = [path.relative_to(snapshot).as_posix() for path in snapshot.rglob("*.json")]
        folder = file if file is not None else _vae_folder(names)
        if folder is not None:
            return _whole_folder(snapshot / folder, True, variant)
    # Another file of the repository may lie here alone: only its usual one is known to be what is meant.
    return file is None and any((snapshot / name).is_file() for name in _USUAL.get(kind, ()))


def _whole_folder(folder: Path, weights: bool, variant: str | None) -> bool:
    names = [path.name for path in folder.iterdir() if path.is_file()] if folder.is_dir() else []
    if not weights:
        return bool({"tokenizer.json", "scheduler_config.json"} & set(names)) or {"vocab.json", "merges.txt"} <= set(
            names
        )
    sets = [each for each in weight_sets(names) if variant in (None, each.variant)]
    if "config.json" not in names or not sets:
        return False
    chosen = chosen_set(str(folder), [each.name for each in sets], variant)
    if not chosen.is_index:
        return True
    shards: dict[str, str] = json.loads((folder / chosen.name).read_bytes())["weight_map"]
    return set(shards.values()) <= set(names)


def _of_folder(where: str, names: Sequence[str], folder: str, variant: str | None) -> list[str]:
    """The settings in `folder` ("" for the repository itself), and one set of its weights, if there are any."""
    start = f"{folder}/" if folder else ""
    own = [name.removeprefix(start) for name in names if name.startswith(start)]
    own = [name for name in own if "/" not in name]
    sets = {each.name for each in weight_sets(own)}
    found = [name for name in own if name.endswith(_SETTINGS) and name not in sets and not is_shard(name)]
    if sets:
        chosen = chosen_set(where, own, variant)
        found += [chosen.name, *chosen.shards(own)]
    return [start + name for name in found if name != INDEX]


def _vae_folder(names: Collection[str]) -> str | None:
    """Where a repository has the VAE: "" for itself, `vae`, or None for a file."""
    if INDEX not in names and "config.json" in names:
        return ""
    return "vae" if "vae/config.json" in names else None


def _only(where: str, names: Sequence[str], kind: Kind) -> list[str]:
    """The usual file of such a repository, or the only one of its endings, with what stands beside it."""
    usual = [name for name in _USUAL.get(kind, ()) if name in names]
    others = [name for name in names if "/" not in name and name.endswith(_ENDINGS[kind]) and name not in _SECOND]
    found = usual[:1] or others
    if len(found) != 1:
        what = f"which of {_some(others)}" if others else f"which file, it holds {_some(names)}"
        raise CheckpointError(f"{where}: does not say {what}; name one, {where}:FILE")
    return [found[0], *_companions(names, kind, found[0])]


def _companions(names: Sequence[str], kind: Kind, file: str) -> list[str]:
    folder = file.rpartition("/")[0]
    beside = [f"{folder}/{name}" if folder else name for name in _BESIDE.get(kind, ())]
    return [name for name in beside if name in names]


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:6]) + (" ..." if len(names) > 6 else "") if names else "nothing"
