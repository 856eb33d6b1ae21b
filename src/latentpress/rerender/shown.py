"""What a picture says of itself, for people and programs, and whether it is still what was written."""

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from latentpress.batch.pictures.chunks import claim_of, parameters_in, proved
from latentpress.batch.pictures.guided import guided_claimed, guided_lines
from latentpress.batch.proof.provenance import provenance
from latentpress.errors import UsageError, one_line
from latentpress.files import read_regular
from latentpress.runtime.pictures.reading import MAX_PICTURE_BYTES

_WIDTH = 15


@dataclass(frozen=True)
class Shown:
    """A picture and what it says: format, as Pillow calls it; said: its `latentpress` text, None where it has none;
    parameters: as A1111 writes them; intact: whether its pixels are those it was saved with, None where nobody can tell."""

    path: Path
    format: str
    size: tuple[int, int]
    said: Mapping[str, Any] | None
    parameters: str | None
    intact: bool | None

    def lines(self) -> Iterator[str]:
        """What there is to tell, a line each."""
        kept = {True: "as it was saved", False: "changed since it was saved", None: "of an unknown program"}[
            self.intact
        ]
        yield f"{self.path}: {self.format}, {self.size[0]}x{self.size[1]}, {kept}"
        if self.said is None:
            yield from (f"  {one_line(line)}" for line in (self.parameters or "").splitlines())
            return
        for name, value in told(self.said):
            yield f"  {name:<{_WIDTH}}  {one_line(value)}"

    def data(self) -> dict[str, Any]:
        """As JSON data."""
        return {
            "picture": str(self.path),
            "format": self.format,
            "width": self.size[0],
            "height": self.size[1],
            "intact": self.intact,
            "parameters": self.parameters,
            "latentpress": self.said,
        }


def show_picture(path: Path) -> Shown:
    """The picture at `path`, and what it says. Raises UsageError for one that cannot be read, or says nothing."""
    try:
        content = read_regular(path, MAX_PICTURE_BYTES)
        with Image.open(io.BytesIO(content)) as picture:
            kind, size = picture.format or "?", picture.size
    except OSError as error:
        why = error.strerror or "of no format that is known"
        raise UsageError(f"{path}: cannot be read ({why}); give a picture that latentpress made") from None
    except Exception as error:  # a damaged file can fail anywhere in Pillow's readers
        raise UsageError(f"{path}: no picture that can be read ({one_line(str(error))}); give one") from None
    claim, said, parameters = claim_of(content), provenance(content), parameters_in(content)
    if claim is None and parameters is None:
        raise UsageError(f"{path}: does not say how it was made; give a picture as latentpress saved it")
    intact = None if claim is None else proved(content, claim) is not None
    return Shown(path, kind, size, said, parameters, intact)


def told(said: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """(name, value) of everything that a picture says of how it was made, as people read it."""
    request = dict(said["request"])
    yield "prompt", str(request.pop("prompt", ""))
    yield "negative prompt", str(request.pop("negative_prompt", None) or "none")
    size = f"{request.pop('width', '?')}x{request.pop('height', '?')}"
    for name in ("seed", "sampler", "steps", "guidance_scale"):
        yield name, _plain(request.pop(name, "?"))
    yield "size", size
    for name, value in request.items():
        if value not in (None, [], {}):
            yield name, _plain(value)
    for name in ("bundle", "refiner"):
        if isinstance(held := said.get(name), dict):
            yield name, _bundle(held)
    if (guided := guided_claimed(said.get("guided"))) is not None:
        for name, value in guided_lines(guided):
            yield "guided by", f"{name}: {value}"
    rest = ("concepts", "rules", "engine", "rows", "job_hash", "pixel_sha256")
    yield from ((name, _plain(said[name])) for name in rest if said.get(name))


def _bundle(held: Mapping[str, Any]) -> str:
    parts = [str(held.get("name", "?")), f"content {str(held.get('content', '?'))[:12]}"]
    parts.append(f"checkpoint {str(held.get('source_sha256', '?'))[:12]}")
    for one in held.get("loras") or ():
        parts.append(f"LoRA {one.get('source')} at {one.get('scale')}")
    parts += [f"VAE {held['vae'].get('source')}"] if isinstance(held.get("vae"), dict) else []
    return ", ".join(parts)


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        held = sorted(value.items(), key=lambda one: one[0] != "name")
        return " ".join(f"{key} {_plain(one)}" for key, one in held if one not in (None, [], {}))
    if isinstance(value, list):
        return ", ".join(map(_plain, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
