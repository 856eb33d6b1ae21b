"""A sheet of the pairs that differ, the worst first: A, B, and their difference amplified. Same report, same bytes.

Its words are set as those of any sheet, in every script that a font here has.
"""

import io
import math
import os
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from PIL.Image import Resampling

from latentpress.compare.pair import Pair, pixels, same_channels
from latentpress.compare.report import Report, measured
from latentpress.errors import UsageError, one_line
from latentpress.files import read_regular, replacing
from latentpress.runtime.pictures.reading import MAX_PICTURE_BYTES, NotAPicture
from latentpress.sheets.lines import Typesetter
from latentpress.sheets.page import COLUMN, MM_PER_INCH, NOTE, ROW, Page, Rect, Text
from latentpress.sheets.png import raster
from latentpress.sheets.spec import SCREEN_DPI, SCREEN_POINTS
from latentpress.sheets.text.measure import Measure

# The largest side of a picture on the sheet, in pixels; smaller ones are enlarged by whole factors.
CELL = 256
# Pairs shown: that many stay below 13,500 pixels, which every viewer opens.
MOST = 50
_HEADS = ("A", "B", "difference")
# The frame of every picture, and what stands for one that cannot be read or a difference that cannot be had.
_NOTHING = "#dddddd"
# Pixels: between things, and the widest line of a label.
GAP, LABEL_MAX = 8, 320
_MM = MM_PER_INCH / SCREEN_DPI


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
    measure = Measure()
    setter = Typesetter(measure, SCREEN_POINTS)
    shown = report.unequal[:MOST]
    rows = [_tiles(report, pair) for pair in shown]
    labels = [
        [setter.wrapped(_line(part), LABEL_MAX * _MM) for part in _label(report, pair, factor)]
        for pair, (_, factor) in zip(shown, rows, strict=True)
    ]
    cell = max(
        CELL if any(tile.width > CELL // 2 for tiles, _ in rows for tile in tiles) else CELL // 2, LABEL_MAX // 3
    )
    sizes = [_pixels(setter, [line for part in label for line in part]) for label in labels]
    left = max(width for width, _ in sizes) + 2 * GAP
    top = _pixels(setter, [""])[1] + 2 * GAP
    heights = [
        max(high, *(tile.height for tile in tiles)) + GAP for (_, high), (tiles, _) in zip(sizes, rows, strict=True)
    ]
    more = len(report.unequal) - len(shown)
    foot = [f"and {more:,} more pairs that differ less"] if more else []
    below = _pixels(setter, foot)[1] + GAP if foot else 0
    wide = max(left + len(_HEADS) * (cell + GAP), _pixels(setter, foot)[0] + 2 * GAP)
    high = top + sum(heights) + below
    texts = [_text(setter, [head], left + number * (cell + GAP), GAP, COLUMN) for number, head in enumerate(_HEADS)]
    ends = [top + sum(heights[:number]) for number in range(len(heights) + 1)]
    for label, y in zip(labels, ends, strict=False):
        above = [sum(map(len, label[:number])) for number in range(len(label))]
        texts += [_text(setter, part, GAP, y, ROW, start) for part, start in zip(label, above, strict=True)]
    texts.append(_text(setter, foot, GAP, ends[-1], NOTE))
    page = Page(wide * _MM, high * _MM, tuple(texts))
    sheet = raster(page, report.a, SCREEN_DPI, measure.fonts).image
    pen = ImageDraw.Draw(sheet)
    for (tiles, _), y in zip(rows, ends, strict=False):
        for number, tile in enumerate(tiles):
            x = left + number * (cell + GAP)
            pen.rectangle((x - 1, y - 1, x + tile.width, y + tile.height), outline=_NOTHING)  # or white ends nowhere
            sheet.paste(tile, (x, y))
    return sheet


def fitted(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    """`picture` on white of `size` (width, height), as large as fits without changing its proportions."""
    factor = min(size[0] / picture.width, size[1] / picture.height)
    room = max(1, round(picture.width * factor)), max(1, round(picture.height * factor))
    # Enlarged pixels stay sharp squares: a blurred one would look like the model's doing.
    method = Resampling.NEAREST if factor >= 1 else Resampling.LANCZOS
    tile = Image.new("RGB", size, "white")
    tile.paste(picture.resize(room, method), ((size[0] - room[0]) // 2, (size[1] - room[1]) // 2))
    return tile


def _pixels(setter: Typesetter, lines: Sequence[str]) -> tuple[int, int]:
    """How wide and how high lines are, rounded up."""
    wide, high = setter.extent(lines)
    return math.ceil(wide / _MM), math.ceil(high / _MM)


def _text(setter: Typesetter, lines: Sequence[str], x: int, y: int, role: str, start: int = 0) -> Text:
    """Lines of one text, which share its direction; start: how many of others stand above."""
    wide, high = setter.extent(lines)
    rect = Rect(x * _MM, y * _MM + start * setter.line_height, wide, high)
    return setter.placed(lines, rect, role, " ".join(lines))


def _line(text: str) -> str:
    """`text` on one line: what breaks lines stands there as an escape, and joiners of letters and emoji are left."""
    return one_line(text) if any(unicodedata.category(char) in ("Cc", "Zl", "Zp") for char in text) else text


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
