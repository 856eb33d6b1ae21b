"""The weights of a model's folder: which of its files hold them, and their tensors. Knows nothing of what they are for."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from latentpress.errors import CheckpointError
from latentpress.export.reading.weight_names import WeightSet, chosen_set, is_shard, weight_sets
from latentpress.export.reading.weights import read_weights
from latentpress.export.reading.whole_file import read_json


@dataclass(frozen=True)
class WeightFile:
    """A set of weights in `folder`."""

    folder: Path
    set: WeightSet

    @property
    def path(self) -> Path:
        """The file, or the index of the shards."""
        return self.folder / self.set.name

    @property
    def files(self) -> list[Path]:
        """The files that hold the weights; raises CheckpointError for an index that cannot be read or names others."""
        if not self.set.is_index:
            return [self.path]
        shards = read_json(self.path).get("weight_map")
        if not isinstance(shards, dict) or not shards:
            raise CheckpointError(f"{self.path}: lists no shards; download it again")
        names = sorted({str(name) for name in shards.values()})
        for name in names:
            if Path(name).name != name or not (self.folder / name).is_file():
                raise CheckpointError(
                    f"{self.folder / name}: is missing, and {self.set.name} lists it; download the whole folder"
                )
        return [self.folder / name for name in names]


def weight_file(folder: Path, variant: str | None = None) -> WeightFile:
    """The weights to read of the model in `folder`: see `weight_names.chosen_set`."""
    return WeightFile(folder, chosen_set(str(folder), _names(folder), variant))


def read_state(weights: WeightFile) -> Mapping[str, Tensor]:
    """The tensors of all its files; raises CheckpointError."""
    return {key: value for file in weights.files for key, value in read_weights(file).tensors.items()}


def weights_in(folder: Path) -> set[Path]:
    """All files in the folder that hold weights, or list those that do: of every kind and variant, shards too."""
    names = _names(folder)
    return {folder / each.name for each in weight_sets(names)} | {folder / name for name in names if is_shard(name)}


def _names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()] if folder.is_dir() else []
