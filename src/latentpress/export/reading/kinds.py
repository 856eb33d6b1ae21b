"""The kinds of checkpoint an export can start from, in one table: a single file, a diffusers folder.

A kind recognises a path, opens it, and says what a bundle calls it; whoever asks sees components from there on.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from latentpress.bundle.info import file_sha256
from latentpress.export.families.family import Family
from latentpress.export.reading.checkpoint import load_components, source_sha256
from latentpress.export.reading.components import Components, with_prediction, with_vae
from latentpress.export.reading.hub_cache import called
from latentpress.export.reading.single_file import open_single_file
from latentpress.export.reading.vae_file import load_vae


@dataclass(frozen=True)
class Asked:
    """What a user says of a checkpoint. prediction_type: what its UNet predicts; variant: which of a folder's weights."""

    prediction_type: str | None = None
    variant: str | None = None


class Opened(Protocol):
    """A recognised checkpoint. note: one line, what it was found to be; scheduler: the configuration of its schedule."""

    @property
    def family(self) -> Family: ...
    @property
    def note(self) -> str: ...
    @property
    def scheduler(self) -> Mapping[str, Any]: ...

    def components(self, vae: Path | None = None, variant: str | None = None) -> Components:
        """Its parts in memory, its VAE replaced by the one at `vae`, of that variant; raises CheckpointError."""
        ...


@dataclass(frozen=True)
class Kind:
    """A kind of checkpoint.

    recognise: whether a path is one, from a look at it; open: raises CheckpointError; name: what a bundle of it is called;
    sha256: over all of it that an export reads.
    """

    recognise: Callable[[Path], bool]
    open: Callable[[Path, Asked], Opened]
    name: Callable[[Path], str]
    sha256: Callable[[Path, Asked], str]


@dataclass(frozen=True)
class OpenedFolder:
    """A diffusers folder whose parts are loaded."""

    path: Path
    parts: Components
    asked: Asked

    @property
    def family(self) -> Family:
        return self.parts.family

    @property
    def note(self) -> str:
        told = "its scheduler says so" if self.asked.prediction_type is None else "as asked for"
        prediction = self.asked.prediction_type or self.parts.scheduler.get("prediction_type", "epsilon")
        return f"{called(self.path)}: {self.family.title}, {prediction}: {told}"

    @property
    def scheduler(self) -> Mapping[str, Any]:
        return self.parts.scheduler

    def components(self, vae: Path | None = None, variant: str | None = None) -> Components:
        parts = self.parts
        if self.asked.prediction_type is not None:
            parts = with_prediction(str(self.path), parts, self.asked.prediction_type)
        return parts if vae is None else with_vae(str(vae), parts, load_vae(vae, self.family, variant))


def kind_of(path: Path) -> Kind:
    """The kind that recognises `path`; the last for a path of none, which then says what a checkpoint may be."""
    return next((kind for kind in KINDS if kind.recognise(path)), KINDS[-1])


_SINGLE_FILE = Kind(
    recognise=lambda path: path.exists() and not path.is_dir(),  # a pipe is refused by whoever opens it
    open=lambda path, asked: open_single_file(path, prediction_type=asked.prediction_type),
    name=lambda path: Path(called(path)).stem,
    sha256=lambda path, asked: file_sha256(path),
)
_FOLDER = Kind(
    recognise=Path.is_dir,
    open=lambda path, asked: OpenedFolder(path, load_components(path, asked.variant), asked),
    name=called,
    sha256=lambda path, asked: source_sha256(path, asked.variant),
)
KINDS = (_SINGLE_FILE, _FOLDER)
