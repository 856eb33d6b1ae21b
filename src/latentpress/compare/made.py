"""In what two pictures were made differently, in short words, by what each says of itself. Knows no pixels."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, fields
from typing import Any

from latentpress.batch.plan.job import plain
from latentpress.errors import one_line, short
from latentpress.runtime.request import RenderRequest

# Of each attribute of a request its default, as JSON data: a picture leaves some of them out.
_DEFAULTS: dict[str, Any] = {
    one.name: plain(one.default) for one in fields(RenderRequest) if one.default is not MISSING
}
# What follows from the others.
_FOLLOWS = ("job_hash", "identity", "pixel_sha256", "image_data_sha256", "guided", "version")
# Hexadecimal digits of a sha256, and how many of them are shown.
_HASH, _SHOWN = 64, 12
# Characters that `short` shows of a text, and those shown before the first that differs.
_LONG, _BEFORE = 60, 12


def differences(a: Mapping[str, Any] | None, b: Mapping[str, Any] | None) -> tuple[str, ...]:
    """What differs between two pictures' provenances, each as `steps 20 -> 30`; of a side that says nothing, only that.

    a, b: as `batch.proof.provenance.provenance` gives them.
    """
    if a is None or b is None:
        silent = "A" if b is not None else "B" if a is not None else ""
        return (f"{silent} does not say how it was made",) if silent else ()
    return tuple(_differences(a, b))


def _differences(a: Mapping[str, Any], b: Mapping[str, Any]) -> Iterator[str]:
    # The request comes first: it is what people change.
    yield from _fields(_DEFAULTS | a["request"], _DEFAULTS | b["request"])
    yield from _bundle("bundle", a.get("bundle"), b.get("bundle"))
    yield from _bundle("refiner's bundle", a.get("refiner"), b.get("refiner"))
    # Earlier pictures have the hash of a concept's file, later ones that of its vectors.
    alike = a.get("identity") == b.get("identity")
    yield from _each("concept", *(one.get("concepts") if alike else _names(one.get("concepts")) for one in (a, b)))
    apart = ("request", "bundle", "refiner", "concepts", *_FOLLOWS)
    rest = [name for name in dict.fromkeys([*a, *b]) if name not in apart]
    yield from _fields({name: a.get(name) for name in rest}, {name: b.get(name) for name in rest})


def _fields(a: Mapping[str, Any], b: Mapping[str, Any]) -> Iterator[str]:
    for name in dict.fromkeys([*a, *b]):
        one, other = a.get(name), b.get(name)
        if isinstance(one, dict) and isinstance(other, dict):
            yield from (f"{name}.{said}" for said in _fields(one, other))
        elif one != other:
            yield _change(name, one, other)


def _bundle(what: str, a: Any, b: Any) -> Iterator[str]:
    """What differs of a bundle: its name and hash as one, and what was fused into it."""
    if not isinstance(a, dict) or not isinstance(b, dict):
        if a != b:
            yield _change(what, a, b)
        return
    # Earlier pictures name the hash of the bundle's folder and not its content: what both name is compared.
    known = next((key for key in ("content", "sha256") if key in a and key in b), "source_sha256")
    heads = [f"{_text(one.get('name'))} {_text(one.get(known))}" for one in (a, b)]
    if heads[0] != heads[1]:
        yield f"{what} {heads[0]} -> {heads[1]}"
    for part in ("loras", "vae", "base"):
        if a.get(part) != b.get(part):
            yield _change(f"{what}'s {part}", a.get(part), b.get(part))
    if "concepts" in a and "concepts" in b:
        yield from _each(f"{what}'s concept", a["concepts"], b["concepts"])


def _each(what: str, a: Any, b: Any) -> Iterator[str]:
    """What differs of two mappings from a name to a hash."""
    one, other = (side if isinstance(side, dict) else {} for side in (a, b))
    for name in dict.fromkeys([*one, *other]):
        if one.get(name) != other.get(name):
            yield _change(f"{what} {name}", one.get(name), other.get(name))


def _change(name: str, a: Any, b: Any) -> str:
    """`name a -> b`; of two long texts the part where they part ways."""
    if isinstance(a, str) and isinstance(b, str) and max(len(a), len(b)) > _LONG:
        # Where one begins the other, they part at its end.
        alike = next(
            (at for at, (one, other) in enumerate(zip(a, b, strict=False)) if one != other), min(len(a), len(b))
        )
        start = max(0, alike - _BEFORE)
        if start:
            a, b = (f"...{text[start:]}" for text in (a, b))
    return f"{one_line(name)} {_text(a)} -> {_text(b)}"


def _names(concepts: Any) -> dict[str, str]:
    return dict.fromkeys(concepts, "used") if isinstance(concepts, dict) else {}


def _text(value: Any) -> str:
    """A value in few characters, on one line; nothing there is `none`."""
    if value is None:
        return "none"
    if not isinstance(value, str):
        return one_line(short(json.dumps(value, ensure_ascii=False)))
    if len(value) == _HASH and not set(value) - set("0123456789abcdef"):
        return value[:_SHOWN]
    # Texts with spaces are quoted, names are not.
    return repr(short(value)) if " " in value or not value else one_line(short(value))
