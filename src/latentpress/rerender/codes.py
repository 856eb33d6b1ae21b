"""Finds the code of people's own losses for pictures that are made again, by its hash; runs none of it."""

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from latentpress.batch.codes import source_of
from latentpress.errors import LatentpressError, UsageError
from latentpress.manifest.losses import LOSS_KEYS
from latentpress.manifest.manifest import Manifest
from latentpress.manifest.own_losses import LOSS, KnownLosses
from latentpress.rerender.ledgers import KnownHere
from latentpress.rerender.original import Original
from latentpress.runtime.guidance.loss import Loss
from latentpress.runtime.guidance.own.packages import package_loss, package_losses
from latentpress.runtime.guidance.own.run import own_loss
from latentpress.runtime.guidance.own.source import LossSource, read_source, source_from
from latentpress.runtime.request import LossCode

SUFFIX = ".py"


@dataclass(frozen=True)
class FoundLoss:
    """A loss that a picture names. source: its code; file: where that is, None where the ledger alone has it."""

    loss: Loss
    source: LossSource
    file: Path | None

    @property
    def of_package(self) -> bool:
        """Whether it is run as it is installed."""
        return self.loss.code is not None and bool(self.loss.code.package)


def codes_of_manifest(manifest: Manifest) -> list[LossSource]:
    """The code of the losses of a manifest's jobs."""
    codes = {loss.code for draft, *_ in manifest.drafts() for loss in draft.values["loss"] if loss.code is not None}
    return [source_of(code) for code in codes]


def read_codes(paths: Iterable[Path]) -> list[LossSource]:
    """The code of losses in files that the caller names; raises UsageError."""
    return [read_source(path) for path in paths if path.suffix == SUFFIX]


def losses_of(
    original: Original, given: Iterable[LossSource], known: KnownHere, problems: list[str]
) -> Iterator[FoundLoss]:
    """The losses with code of their own that `original` names; of those that are not found `problems` hears.

    given: code that the caller names.
    """
    for named in _named(original.request):
        name, code = str(named["name"]), named["code"]
        sha256, function = str(code["sha256"]), str(code.get("function", LOSS))
        found = _found(sha256, given, known)
        if found is not None:
            source, file = found
            held = LossCode(sha256, file or Path(source.modules[source.entry].path), function)
            yield FoundLoss(own_loss(name, source, function, held), source, file)
        elif (package := _package(name, sha256)) is not None:
            yield package
        else:
            what = f"the code of its loss {name} with sha256 {sha256[:12]}"
            problems.append(f"{original.path}: {what} is not found; name its file with --input FILE")


def known_losses(found: Iterable[FoundLoss]) -> KnownLosses:
    """What a picture's losses are read with."""
    return KnownLosses({one.loss.name: one.loss for one in found}, LOSS_KEYS)


def _named(request: Mapping[str, Any]) -> list[Any]:
    losses = request.get("losses") or []
    return [one for one in losses if isinstance(one, dict) and isinstance(one.get("code"), dict)]


def _found(sha256: str, given: Iterable[LossSource], known: KnownHere) -> tuple[LossSource, Path | None] | None:
    for source in given:
        if source.sha256 == sha256:
            return source, source.path
    for path in known.code_files(sha256):
        with contextlib.suppress(UsageError):
            if (source := read_source(path)).sha256 == sha256:
                return source, path
    if (data := known.code(sha256)) is None:
        return None
    try:
        source = source_from(data, Path())
        return (source, None) if source.sha256 == sha256 else None
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def _package(name: str, sha256: str) -> FoundLoss | None:
    with contextlib.suppress(LatentpressError):
        if name in package_losses() and (code := package_loss(name).code) is not None and code.sha256 == sha256:
            return FoundLoss(package_loss(name), source_of(code), None)
    return None
