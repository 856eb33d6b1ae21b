"""A picture of an output folder made small, as the `src` of an <img>: pages that hold it need no other file."""

import base64
import io
from pathlib import Path

from PIL import Image

from latentpress.batch.pictures.opened import Unshowable, opened


def reduced(path: Path, side: int) -> str | None:
    """The picture at `path` as a data: URL, no side longer than `side` pixels; None where it cannot be shown."""
    try:
        picture = opened(path).convert("RGBA")
    except Unshowable:
        return None
    small = picture.width <= side >= picture.height
    picture.thumbnail((side, side), Image.Resampling.LANCZOS)
    paper = Image.new("RGB", picture.size, "white")
    paper.paste(picture, mask=picture)
    buffer = io.BytesIO()
    # What is shown as it is stays sharp; pictograms of 64x64 are smaller so, too.
    kind = "png" if small and picture.width * picture.height <= 128 * 128 else "jpeg"
    paper.save(buffer, kind, **({"optimize": True} if kind == "png" else {"quality": 85}))
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"
