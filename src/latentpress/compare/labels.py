"""Text and pictures on the sheet of a comparison: wrapped to a width, and fitted without changing their proportions."""

import math

from PIL import Image, ImageDraw, ImageFont
from PIL.Image import Resampling

# Pixels.
GAP = 8
FONT_SIZE = 16
LABEL_MAX = 320

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def fitted(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    """`picture` on white of `size` (width, height), as large as fits without changing its proportions."""
    factor = min(size[0] / picture.width, size[1] / picture.height)
    room = max(1, round(picture.width * factor)), max(1, round(picture.height * factor))
    # Enlarged pixels stay sharp squares: a blurred one would look like the model's doing.
    method = Resampling.NEAREST if factor >= 1 else Resampling.LANCZOS
    tile = Image.new("RGB", size, "white")
    tile.paste(picture.resize(room, method), ((size[0] - room[0]) // 2, (size[1] - room[1]) // 2))
    return tile


def wrapped(text: str, font: Font, width: int, pen: ImageDraw.ImageDraw) -> str:
    """`text` broken at spaces, or inside a word where one alone is wider than `width`."""
    lines: list[str] = []
    line = ""
    for word in text.split():
        joined = f"{line} {word}" if line else word
        if pen.textlength(joined, font) <= width:
            line = joined
            continue
        if line:
            lines.append(line)
        line = ""
        for char in word:
            if line and pen.textlength(line + char, font) > width:
                lines.append(line)
                line = ""
            line += char
    return "\n".join([*lines, line])


def text_size(text: str, font: Font, pen: ImageDraw.ImageDraw) -> tuple[int, int]:
    """Pixels that `text` takes from its origin, rounded up, with a pixel to spare for antialiasing."""
    if not text:
        return 0, 0
    box = pen.multiline_textbbox((0, 0), text, font, anchor="la")
    return math.ceil(box[2]) + 1, math.ceil(box[3]) + 1
