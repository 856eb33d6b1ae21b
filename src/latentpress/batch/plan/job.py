"""A job: one picture and its place in the output folder; its request as data. What its hash is of: identity.py."""

import json
from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from latentpress.errors import one_line, short
from latentpress.manifest.fields import FIELDS, attributes_of
from latentpress.runtime.request import ImageFile, RenderRequest


@dataclass(frozen=True)
class Job:
    """One picture to be. `labels` (placeholder -> text) feed names and sheets and stay outside `job_hash`.

    bundle: the hash of the bundle it is rendered on.
    """

    index: int
    id: str
    request: RenderRequest
    labels: Mapping[str, str]
    output: PurePosixPath
    job_hash: str
    bundle: str

    @property
    def title(self) -> str:
        """The job as people find it in their manifest."""
        return title_of(self.index, self.id, self.request.seed)


def title_of(index: int, job_id: str, seed: int) -> str:
    """A job as people find it in their manifest."""
    return f"job {index} (id {one_line(short(job_id))}, seed {seed})"


_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
# What JSON holds as it is; a plan asks of a million values.
_PLAIN = (str, int, float, bool, type(None))


def canonical_json(value: object) -> str:
    """The one JSON text of `value`: keys sorted, no spaces, no NaN."""
    return _CANONICAL.encode(value)


# Attributes that later releases added: left out while they change nothing, so that a job keeps the hash it always had.
_LATER = {
    attribute.name: attribute.default
    for name, field in FIELDS.items()
    for attribute in fields(RenderRequest)
    if field.since > 1 and attribute.name in attributes_of(name) and attribute.default is not MISSING
}
_ATTRIBUTES = tuple(attribute.name for attribute in fields(RenderRequest))
_IMAGES = {name for name, kind in get_type_hints(RenderRequest).items() if ImageFile in (kind, *get_args(kind))}


def request_data(request: RenderRequest) -> dict[str, Any]:
    """`request` as plain JSON data: what decides its pixels, so of given pictures their sha256 and not their path."""
    data = {name: getattr(request, name) for name in _ATTRIBUTES}
    return {name: plain(value) for name, value in data.items() if name not in _LATER or value != _LATER[name]}


def stored(request: RenderRequest, data: Mapping[str, Any]) -> dict[str, Any]:
    """`request` as the plan's table keeps it: `data`, its `request_data`, with what else is known of given pictures."""
    images = {name: getattr(request, name) for name in data if isinstance(getattr(request, name), ImageFile)}
    found = {**data, **{name: _stored_image(image) for name, image in images.items()}}
    if any(loss.code or loss.files for loss in request.losses):
        found["losses"] = [plain(loss, whole=True) for loss in request.losses]
    return found


def data_of_stored(data: Mapping[str, Any]) -> dict[str, Any]:
    """The `request_data` of the request whose `stored` form is `data`."""
    found = {name: value["sha256"] if name in _IMAGES and value else value for name, value in data.items()}
    if any(loss.get("code") or loss.get("files") for loss in data["losses"]):
        found["losses"] = plain(request_from(data).losses)
    return found


def _stored_image(image: ImageFile) -> dict[str, Any]:
    kept = {"sha256": image.sha256, "path": str(image.path)}
    return {**kept, "otherwise": image.otherwise} if image.otherwise else kept


def plain(value: Any, *, whole: bool = False) -> Any:
    """Nested frozen data as JSON data: what it is and, with `whole`, where it lies too; of a given picture its sha256."""
    if type(value) in _PLAIN:
        return value
    if isinstance(value, ImageFile):
        return _stored_image(value) if whole else value.sha256
    if is_dataclass(value):
        held = {one: getattr(value, one.name) for one in fields(value) if whole or one.compare}
        return {
            one.name: plain(found, whole=whole)
            for one, found in held.items()
            if "later" not in one.metadata or found != _default(one)
        }
    if isinstance(value, tuple | list):
        return [plain(one, whole=whole) for one in value]
    if isinstance(value, Path):
        return str(value)
    assert isinstance(value, Mapping), f"a request holds a {type(value).__name__}"
    return {key: plain(one, whole=whole) for key, one in value.items()}


def request_from(data: Mapping[str, Any]) -> RenderRequest:
    """The request whose `stored` form is `data`."""
    return _built(RenderRequest, data)


def _built(kind: Any, data: Any) -> Any:
    """`data` as `kind`: numbers stay what they were, for an int and a float are hashed differently."""
    if data is None:
        return None
    origin = get_origin(kind)
    if origin in (Union, UnionType):
        kind = next(one for one in get_args(kind) if one is not type(None))
        return data if isinstance(data, int | float | str) and kind is not Path else _built(kind, data)
    if is_dataclass(kind):
        hints = _hints(kind)
        return kind(**{name: _built(hints[name], value) for name, value in data.items()})  # pyright: ignore[reportCallIssue]
    if origin is tuple:
        kinds = get_args(kind)
        return tuple(_built(kinds[0], one) for one in data)
    if origin is Mapping and is_dataclass(values := get_args(kind)[1]):
        return {name: _built(values, one) for name, one in data.items()}
    return Path(data) if kind is Path else data


def _default(one: Field[Any]) -> Any:
    return one.default if one.default_factory is MISSING else one.default_factory()


@cache
def _hints(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind)
