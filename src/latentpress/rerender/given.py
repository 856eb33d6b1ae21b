"""The given pictures of a request as data, in a picture's metadata or in a plan's table, each by what it is called."""

from collections.abc import Mapping
from typing import Any

IMAGES = ("init_image", "mask_image")


def given_in(request: Mapping[str, Any]) -> dict[str, Any]:
    """What `request` says of each: `init_image`, `mask_image`, `picture of loss 1`; a sha256, or that and a path."""
    found = {name: request[name] for name in IMAGES if request.get(name) is not None}
    losses: Any = request.get("losses")
    for place, loss in enumerate(losses if isinstance(losses, list) else []):
        files = loss.get("files") if isinstance(loss, dict) else None
        if isinstance(files, dict):
            found |= {loss_picture(place, name): file for name, file in files.items()}
    return found


def loss_picture(place: int, name: object) -> str:
    """What the picture `name` of the loss at `place`, from 0, is called."""
    return f"{name} of loss {place + 1}"
