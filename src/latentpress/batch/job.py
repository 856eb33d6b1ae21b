"""A job: one picture, its place in the output folder, and the hash of everything that decides its pixels."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import PurePosixPath

from latentpress.errors import short
from latentpress.runtime.request import RenderRequest


@dataclass(frozen=True)
class Job:
    """One picture to be. `labels` (placeholder -> text) feed names and sheets and stay outside `job_hash`."""

    index: int
    id: str
    request: RenderRequest
    labels: Mapping[str, str]
    output: PurePosixPath
    job_hash: str

    @property
    def title(self) -> str:
        """The job as people find it in their manifest."""
        return f"job {self.index} (id {short(self.id)}, seed {self.request.seed})"


def canonical_json(value: object) -> str:
    """The one JSON text of `value`: keys sorted, no spaces, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


# Fields that later releases added: left out while they change nothing, so that a job keeps the hash it always had.
_LATER = (
    *("guidance_rescale", "clip_skip", "eta", "init_image", "mask_image", "strength", "refiner", "micro"),
    *("prompt_weighting", "long_prompts", "guidance_stop"),
)
_ADDED = {field.name: field.default for field in fields(RenderRequest) if field.name in _LATER}


def request_data(request: RenderRequest) -> dict[str, object]:
    """`request` as plain JSON data: what decides its pixels, so of given pictures their sha256 and not their path."""
    data = asdict(request)
    for name, default in _ADDED.items():
        if getattr(request, name) == default:
            del data[name]
    for name in ("init_image", "mask_image"):
        if name in data:
            data[name] = data[name]["sha256"]
    return data


def hash_job(request: RenderRequest, bundle_hash: str) -> str:
    """Lowercase hex sha256 of everything that changes the pixels: the request and the bundle."""
    data = {"bundle": bundle_hash, "request": request_data(request)}
    return hashlib.sha256(canonical_json(data).encode()).hexdigest()
