"""A picture to be made again: its pixels, and what its metadata says it was made of. Believes nothing, opens no bundle."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentpress.batch.pictures.chunks import claim_of, proved
from latentpress.batch.pictures.containers import lossy
from latentpress.batch.pictures.png import pixel_sha256
from latentpress.batch.plan.earlier_claims import source_of
from latentpress.batch.plan.identity import VERSION, Identity, JobHash, Model
from latentpress.batch.proof.provenance import provenance
from latentpress.compare.pair import pixels
from latentpress.engines.session import TORCH
from latentpress.errors import UsageError, shown
from latentpress.files import read_regular
from latentpress.runtime.pictures.reading import MAX_PICTURE_BYTES, NotAPicture


@dataclass(frozen=True)
class ClaimedBundle:
    """A bundle as a picture names it.

    content: as BundleFacts has it, "" in pictures of earlier releases, which do not say it; source: likewise; concepts:
    token -> sha256 of its vectors, or in those earlier pictures of its file.
    """

    name: str
    content: str
    source: str
    concepts: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def called(self) -> str:
        """The bundle in a message."""
        said = f"content {self.content[:12]}" if self.content else f"exported from {self.source[:12]}"
        return f"bundle {shown(self.name)} ({said})"

    @property
    def kind(self) -> str:
        """What the hashes of its concepts are of."""
        return "vectors" if self.content else "file"


@dataclass(frozen=True)
class Original:
    """A picture and its claims.

    image: (H, W, 3) or, of a retouched one, (H, W, 4); request: as `hashed_data`; rules: name -> number of those that it
    says touch it; engine: as on the command line; rows: its row rule, None where pixels depend on the job alone or nobody
    tested; gradient: what computed those of its losses, "" where it has none; pixel_sha256: of its pixels as it was saved,
    None in pictures of earlier releases; identity: how its job hash was made; encoded: whether the file is what was written,
    in a format that loses pixels, so that those before are known by their sum alone.
    """

    path: Path
    image: NDArray[np.uint8]
    job_hash: str
    identity: int
    request: Mapping[str, Any]
    rules: Mapping[str, int]
    engine: str
    rows: str | None
    gradient: str
    pixel_sha256: str | None
    bundle: ClaimedBundle
    refiner: ClaimedBundle | None
    encoded: bool = False

    @cached_property
    def found_sha256(self) -> str:
        """The `pixel_sha256` of the pixels that it has."""
        return pixel_sha256(self.image)

    @property
    def retouched(self) -> bool:
        """Whether its pixels are not those it was saved with."""
        return self.pixel_sha256 is not None and not self.encoded and self.pixel_sha256 != self.found_sha256

    @cached_property
    def computed_hash(self) -> str:
        """The job hash that the rest of the metadata comes to; another than `job_hash` where one of them was edited.

        Of pictures of earlier releases, whose hash was made otherwise, `job_hash` itself.
        """
        if self.identity != VERSION:
            return self.job_hash
        refiner = self.refiner and Model(self.refiner.content, self.refiner.concepts)
        identity = Identity(Model(self.bundle.content, self.bundle.concepts), refiner)
        return JobHash(self.request, identity, self.rules).of(self.request["seed"])


def read_original(path: Path) -> Original:
    """The picture at `path`; raises UsageError for one that cannot be read, or does not say how it was made."""
    try:
        content = read_regular(path, MAX_PICTURE_BYTES)
        image = pixels(content)
    except OSError as error:
        raise UsageError(
            f"{path}: cannot be read ({error.strerror or error}); give a picture that latentpress made"
        ) from None
    except NotAPicture as error:
        raise UsageError(f"{path}: no whole picture ({error}); give a picture that latentpress made") from None
    said = provenance(content)
    if said is None:
        raise UsageError(f"{path}: does not say how it was made; give a picture as latentpress saved it")
    identity = said.get("identity", 1)
    if type(identity) is not int or not 1 <= identity <= VERSION:
        raise UsageError(f"{path}: its metadata is of version {shown(str(identity))}; use the latentpress that made it")
    try:
        encoded = lossy(content) and (claim := claim_of(content)) is not None and proved(content, claim) is not None
        return replace(_original(path, image, said, identity), encoded=encoded)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UsageError(
            f"{path}: its metadata is damaged ({error!r:.80}); give the picture as latentpress saved it"
        ) from None


def _original(path: Path, image: NDArray[np.uint8], said: Mapping[str, Any], identity: int) -> Original:
    """Raises KeyError, TypeError, ValueError or AttributeError for what no latentpress writes."""
    request, refiner = said["request"], said.get("refiner")
    if type(request["seed"]) is not int or not 0 <= request["seed"] < 1 << 64:
        raise ValueError(f"seed {request['seed']}")
    if (refiner is None) != (request.get("refiner") is None):
        raise ValueError("refiner")
    return Original(
        path=path,
        image=image,
        job_hash=said["job_hash"],
        identity=identity,
        request=request,
        rules={name: _of(int, number) for name, number in _of(dict, said.get("rules", {})).items()},
        engine=_of(str, said["engine"]),
        rows=None if "rows" not in said else _of(str, said["rows"]),
        gradient=_of(str, said.get("gradient", TORCH.name)) if request.get("losses") else "",
        pixel_sha256=_of(str, said["pixel_sha256"]) if identity > 1 else None,
        bundle=_bundle(said["bundle"], said.get("concepts", {}), identity),
        refiner=None if refiner is None else _bundle(refiner, refiner.get("concepts", {}), identity),
    )


def _bundle(said: Mapping[str, Any], concepts: Any, identity: int) -> ClaimedBundle:
    return ClaimedBundle(
        name=_of(str, said["name"]),
        content=_of(str, said["content"]) if identity > 1 else "",
        source=source_of(said),
        concepts={token: _of(str, sha256) for token, sha256 in _of(dict, concepts).items()},
    )


def _of(kind: type, value: Any) -> Any:
    if type(value) is not kind:
        raise TypeError(f"{value!r:.40} is no {kind.__name__}")
    return value
