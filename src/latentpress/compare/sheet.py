"""A sheet of the pairs that differ, the worst first: A, B, and their difference amplified. Same report, same bytes."""

import io
import os
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from latentpress.compare.labels import FONT_SIZE, GAP, LABEL_MAX, fitted, text_size, wrapped
from latentpress.compare.pair import Pair, pixels, same_channels
from latentpress.compare.report import Report, measured
from latentpress.errors import UsageError, one_line
from latentpress.files import read_regular, replacing
from latentpress.runtime.pictures.reading import MAX_PICTURE_BYTES, NotAPicture

# The largest side of a picture on the sheet, in pixels; smaller ones are enlarged by whole factors.
CELL = 256
# Pairs shown: that many stay below 13,500 pixels, which every viewer opens.
MOST = 50
# The frame of every picture, and what stands for one that cannot be read or a difference that cannot be had.
_NOTHING = "#dddddd"


def check_free(path: Path) -> None:
    """Raise UsageError unless `path` is a .png that does not exist yet, in a folder that does."""
    if path.suffix.lower() != ".png":
        raise UsageError(f"--sheet {path}: the sheet is a PNG; give a name that ends in .png")
    if os.path.lexists(path):
        raise UsageError(f"--sheet {path}: exists already, and nothing is overwritten; give another name or remove it")
    if not path.parent.is_dir():
        raise UsageError(f"--sheet {path}: there is no folder {path.parent}; make it first")


def write_sheet(report: Report, path: Path) -> int:
    """Draw `report` into the new file `path`; returns how many pairs are on the sheet, of which there are MOST.

    Without a pair that differs nothing is written. Raises as `check_free` does.
    """
    check_free(path)
    if not report.unequal:
        return 0
    buffer = io.BytesIO()
    draw_pairs(report).save(buffer, "PNG")
    with replacing(path) as temporary:
        temporary.write_bytes(buffer.getvalue())
        check_free(path)
    return min(MOST, len(report.unequal))


def draw_pairs(report: Report) -> Image.Image:
    """The sheet as an image: a row for each pair, its name, dB and what differs in how it was made on the left."""
    font = ImageFont.load_default(FONT_SIZE)
    pen = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    shown = report.unequal[:MOST]
    rows = [_tiles(report, pair) for pair in shown]
    texts = [
        "\n".join(wrapped(one_line(line), font, LABEL_MAX, pen) for line in _label(report, pair, factor))
        for pair, (_, factor) in zip(shown, rows, strict=True)
    ]
    boxes = [text_size(text, font, pen) for text in texts]
    heads = ("A", "B", "difference")
    cell = max(
        CELL if any(tile.width > CELL // 2 for tiles, _ in rows for tile in tiles) else CELL // 2, LABEL_MAX // 3
    )
    left = max(box[0] for box in boxes) + 2 * GAP
    top = max(text_size(head, font, pen)[1] for head in heads) + 2 * GAP
    heights = [max(box[1], *(tile.height for tile in tiles)) + GAP for box, (tiles, _) in zip(boxes, rows, strict=True)]
    more = len(report.unequal) - len(shown)
    foot = f"and {more} more pairs that differ less" if more else ""
    foot_height = text_size(foot, font, pen)[1] + GAP if foot else 0
    sheet = Image.new("RGB", (left + len(heads) * (cell + GAP), top + sum(heights) + foot_height), "white")
    pen = ImageDraw.Draw(sheet)
    for number, head in enumerate(heads):
        pen.text((left + number * (cell + GAP), GAP), head, "black", font)
    y = top
    for text, (tiles, _), height in zip(texts, rows, heights, strict=True):
        pen.multiline_text((GAP, y), text, "black", font)
        for number, tile in enumerate(tiles):
            x = left + number * (cell + GAP)
            pen.rectangle((x - 1, y - 1, x + tile.width, y + tile.height), outline=_NOTHING)  # or white ends nowhere
            sheet.paste(tile, (x, y))
        y += height
    if foot:
        pen.text((GAP, y), foot, "black", font)
    return sheet


def _label(report: Report, pair: Pair, factor: int) -> list[str]:
    names = [pair.a] if pair.a == pair.b else [f"A {pair.a}", f"B {pair.b}"]
    amplified = [f"difference x{factor}"] if factor else []
    return [*names, measured(pair), *amplified, *([made] if (made := report.own(pair)) else [])]


def _tiles(report: Report, pair: Pair) -> tuple[list[Image.Image], int]:
    """A, B and their difference, and by how much that is multiplied; 0 where there is none."""
    single = report.a.is_file()
    paths = (Path(pair.a), Path(pair.b)) if single else (report.a / pair.a, report.b / pair.b)
    arrays = [_read(path) for path in paths]
    one, other = arrays
    difference, factor = None, 0
    if one is not None and other is not None and one.shape[:2] == other.shape[:2]:
        one, other = same_channels(one, other)
        apart = np.abs(one.astype(np.int16) - other)
        if apart.shape[2] == 4:  # a difference of transparency shows in every colour
            apart = np.maximum(apart[..., :3], apart[..., 3:])
        factor = 255 // max(1, int(apart.max()))
        difference = Image.fromarray((apart * factor).astype(np.uint8))
    # Both by one factor, so that a larger picture is the larger one on the sheet.
    longest = max((side for image in arrays if image is not None for side in image.shape[:2]), default=CELL)
    pictures = [image if image is None else Image.fromarray(image) for image in arrays]
    return [_tile(picture, longest) for picture in (*pictures, difference)], factor


def _read(path: Path) -> "np.ndarray[tuple[int, ...], np.dtype[np.uint8]] | None":
    try:
        return pixels(read_regular(path, MAX_PICTURE_BYTES))
    except (OSError, NotAPicture):
        return None


def _tile(picture: Image.Image | None, longest: int) -> Image.Image:
    if picture is None:
        return Image.new("RGB", (CELL // 2, CELL // 2), _NOTHING)
    if picture.mode == "RGBA":
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    factor = CELL // longest if longest <= CELL else CELL / longest
    size = max(1, round(picture.width * factor)), max(1, round(picture.height * factor))
    return fitted(picture.convert("RGB"), size)
