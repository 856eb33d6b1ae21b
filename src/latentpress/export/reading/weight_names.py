"""How diffusers and transformers name the files of a model's weights: one or shards, safetensors or torch's, variants.

Knows names alone: of a folder's files, or of those that a hub lists.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from latentpress.errors import CheckpointError, UsageError

_STEM = r"(?P<stem>model|diffusion_pytorch_model|pytorch_model)"
_VARIANT = r"(?:\.(?P<variant>[\w-]+))?"
_SINGLE = re.compile(rf"{_STEM}{_VARIANT}\.(?P<kind>safetensors|bin)")
# diffusers has written the variant on either side of `index`.
_INDICES = (
    re.compile(rf"{_STEM}\.(?P<kind>safetensors|bin)\.index{_VARIANT}\.json"),
    re.compile(rf"{_STEM}\.(?P<kind>safetensors|bin){_VARIANT}\.index\.json"),
)
_SHARD = re.compile(rf"{_STEM}{_VARIANT}-\d+-of-\d+\.(?P<kind>safetensors|bin)")


@dataclass(frozen=True)
class WeightSet:
    """One whole set of weights: the file, or the index of the shards, called `name`. variant: "" for the plain one."""

    name: str
    stem: str
    variant: str
    kind: str

    @property
    def is_index(self) -> bool:
        return self.name.endswith(".json")

    def shards(self, names: Iterable[str]) -> list[str]:
        """Those of `names` that look like shards of this set."""
        found = ((name, _SHARD.fullmatch(name)) for name in names)
        own = (self.stem, self.variant, self.kind)
        return [name for name, match in found if match and own == _parts(match)] if self.is_index else []


def weight_sets(names: Iterable[str]) -> list[WeightSet]:
    """Every set of weights among the files of a folder."""
    found: list[WeightSet] = []
    for name in sorted(names):
        if not is_shard(name) and (match := next(filter(None, _matches(name)), None)):
            found.append(WeightSet(name, *_parts(match)))
    return found


def is_shard(name: str) -> bool:
    return _SHARD.fullmatch(name) is not None


def chosen_set(where: str, names: Iterable[str], variant: str | None = None) -> WeightSet:
    """The weights to read of a model whose files have these names: plain ones, or else those of the one variant there is.

    variant: to be taken where there is such; without it there the plain weights are, as diffusers does. safetensors come
    before torch's files, one file before shards. Raises CheckpointError if there are none, and UsageError if there are
    several variants and none is asked for; `where` is what errors call the folder.
    """
    found = weight_sets(names)
    variants = {each.variant for each in found}
    if not found:
        raise CheckpointError(
            f"{where}: holds no weights (.safetensors or .bin); download the whole folder, or save it with diffusers"
        )
    if variant is not None and variant in variants:
        chosen = variant
    elif "" in variants:
        chosen = ""
    elif len(variants) == 1 and variant is None:
        (chosen,) = variants
    else:
        asked = "several variants" if variant is None else f"no variant {variant!r}"
        raise UsageError(f"{where}: holds {asked}; name one of {', '.join(sorted(variants))} with --variant")
    own = [each for each in found if each.variant == chosen]
    return min(own, key=lambda each: (each.kind != "safetensors", each.is_index, each.name))


def _matches(name: str) -> Iterable[re.Match[str] | None]:
    return (pattern.fullmatch(name) for pattern in (_SINGLE, *_INDICES))


def _parts(match: re.Match[str]) -> tuple[str, str, str]:
    return match["stem"], match["variant"] or "", match["kind"]
