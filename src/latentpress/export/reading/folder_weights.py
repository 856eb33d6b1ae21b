"""Which files of a model's folder hold its weights: one or shards, safetensors or torch's, plain or of a variant (fp16).

As diffusers and transformers name them when they save. Knows nothing of what the weights are for.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from latentpress.errors import CheckpointError, UsageError
from latentpress.export.reading.weights import read_weights
from latentpress.export.reading.whole_file import read_json

_STEM = r"(?:model|diffusion_pytorch_model|pytorch_model)"
_VARIANT = r"(?:\.(?P<variant>[\w-]+))?"
_SINGLE = re.compile(rf"{_STEM}{_VARIANT}\.(?P<kind>safetensors|bin)")
# diffusers has written the variant on either side of `index`.
_INDICES = (
    re.compile(rf"{_STEM}\.(?P<kind>safetensors|bin)\.index{_VARIANT}\.json"),
    re.compile(rf"{_STEM}\.(?P<kind>safetensors|bin){_VARIANT}\.index\.json"),
)
_SHARD = re.compile(r"-\d+-of-\d+\.(?:safetensors|bin)$")


@dataclass(frozen=True)
class WeightFile:
    """One whole set of weights in a folder: a file, or the index of its shards. variant: "" for the plain one."""

    path: Path
    variant: str
    kind: str

    @property
    def is_index(self) -> bool:
        return self.path.suffix == ".json"

    @property
    def files(self) -> list[Path]:
        """The files that hold the weights; raises CheckpointError for an index that cannot be read or names others."""
        if not self.is_index:
            return [self.path]
        shards = read_json(self.path).get("weight_map")
        if not isinstance(shards, dict) or not shards:
            raise CheckpointError(f"{self.path}: lists no shards; download it again")
        names: set[str] = {str(name) for name in shards.values()}
        files = [self.path.parent / name for name in sorted(names)]
        for name, file in zip(sorted(names), files, strict=True):
            if Path(name).name != name or not file.is_file():
                raise CheckpointError(f"{file}: is missing, and {self.path.name} lists it; download the whole folder")
        return files


def weights_in(folder: Path) -> set[Path]:
    """All files in the folder that hold weights, or list those that do: of every kind and variant, shards too."""
    found = {each.path for each in _found(folder)}
    return found | {path for path in folder.iterdir() if _SHARD.search(path.name)} if folder.is_dir() else found


def weight_file(folder: Path, variant: str | None = None) -> WeightFile:
    """The weights to read of the model in `folder`: plain ones, or else those of the one variant there is.

    variant: to be taken where the folder has it; a folder that lacks it gives its plain weights, as diffusers does.
    safetensors come before torch's files, one file before shards. Raises CheckpointError if there are none, and
    UsageError if there are several variants and none is asked for.
    """
    found = _found(folder)
    variants = {each.variant for each in found}
    if not found:
        raise CheckpointError(
            f"{folder}: holds no weights (.safetensors or .bin); download the whole folder, or save it with diffusers"
        )
    if variant is not None and variant in variants:
        chosen = variant
    elif "" in variants:
        chosen = ""
    elif len(variants) == 1 and variant is None:
        (chosen,) = variants
    else:
        there = ", ".join(sorted(variants))
        asked = "several variants" if variant is None else f"no variant {variant!r}"
        raise UsageError(f"{folder}: holds {asked}; name one of {there} with --variant")
    own = [each for each in found if each.variant == chosen]
    return min(own, key=lambda each: (each.kind != "safetensors", each.is_index, each.path.name))


def read_state(weights: WeightFile) -> Mapping[str, Tensor]:
    """The tensors of all its files; raises CheckpointError."""
    return {key: value for file in weights.files for key, value in read_weights(file).tensors.items()}


def _found(folder: Path) -> list[WeightFile]:
    found: list[WeightFile] = []
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if _SHARD.search(path.name):
            continue
        for pattern in (_SINGLE, *_INDICES):
            if (named := pattern.fullmatch(path.name)) is not None:
                found.append(WeightFile(path, named["variant"] or "", named["kind"]))
                break
    return found
