"""Paints a page as pixels: PNG, TIFF or WebP, by Pillow. The same pages and pictures give the same bytes.

Knows pages and a folder of pictures. Fonts and runs of text are those of sheets/text, by which the page was measured.
"""

import io
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, PngImagePlugin
from PIL.Image import Resampling

from latentpress.errors import UsageError, reason
from latentpress.files import check_regular
from latentpress.sheets.cells import MISSING
from latentpress.sheets.look import LINE, LOOKS, strokes
from latentpress.sheets.page import MM_PER_INCH, PT_PER_INCH, Frame, Line, Mark, Page, Picture, Rect, Rule, Text
from latentpress.sheets.record import KEYWORD
from latentpress.sheets.text.bidi import right_to_left
from latentpress.sheets.text.fonts import Font, Fonts
from latentpress.sheets.text.measure import advance
from latentpress.sheets.text.runs import Run, runs, visual

# Pixels along a side of a WebP: its format holds no more.
WEBP_SIDE = 16_383
SIDES = {"webp": WEBP_SIDE}
# The size of the pictures in a font of coloured bitmaps, in pixels: Noto Color Emoji has no other.
_BITMAP = 109
# What else of a PNG's texts a file browser shows.
_TITLE = "Title"
# Tags of TIFF, which are EXIF's too: ImageDescription, and Software, which holds the record.
_EXIF_DESCRIPTION, _EXIF_SOFTWARE = 270, 305


@dataclass
class Raster:
    """said: which pictures could not be read, a sentence each."""

    image: Image.Image
    said: list[str] = field(default_factory=list[str])


def raster(page: Page, folder: Path, dpi: float, fonts: Fonts) -> Raster:
    """The pixels of `page`, whose pictures lie below `folder`."""
    painter = _Painter(page, folder, dpi, fonts)
    for box in page.boxes:
        painter.paint(box)
    return Raster(painter.image, painter.said)


def encoded(image: Image.Image, kind: str, dpi: float, record: str, page: Page) -> bytes:
    """The file of an image; kind: png, tif or webp; record: JSON that it holds. Raises UsageError for what WebP cannot."""
    buffer = io.BytesIO()
    if kind == "png":
        info = PngImagePlugin.PngInfo()
        info.add_itxt(_TITLE, page.alt)
        info.add_itxt(KEYWORD, record)
        image.save(buffer, "PNG", pnginfo=info, dpi=(dpi, dpi))
    elif kind == "tif":
        tags = {_EXIF_DESCRIPTION: ascii_of(page.alt), _EXIF_SOFTWARE: json.dumps(json.loads(record))}
        image.save(buffer, "TIFF", compression="tiff_deflate", dpi=(dpi, dpi), tiffinfo=tags)
    else:
        if max(image.size) > WEBP_SIDE:
            raise UsageError(
                f"a WebP is at most {WEBP_SIDE:,} pixels wide and high; lower the dpi, or choose png or tif"
            )
        exif = Image.Exif()
        exif[_EXIF_DESCRIPTION] = ascii_of(page.alt)
        exif[_EXIF_SOFTWARE] = json.dumps(json.loads(record))
        image.save(buffer, "WEBP", lossless=True, exif=exif)
    return buffer.getvalue()


def ascii_of(text: str) -> str:
    """`text` as tags of TIFF and EXIF hold it, which know ASCII alone."""
    return text.encode("ascii", "backslashreplace").decode()


class _Painter:
    def __init__(self, page: Page, folder: Path, dpi: float, fonts: Fonts) -> None:
        self._folder, self._dpi, self._fonts = folder, dpi, fonts
        self._dots = dpi / MM_PER_INCH
        size = max(1, round(page.width * self._dots)), max(1, round(page.height * self._dots))
        self.image = Image.new("RGB", size, "white")
        self._pen = ImageDraw.Draw(self.image)
        self.said: list[str] = []

    def paint(self, box: object) -> None:
        if isinstance(box, Picture):
            self._picture(box)
        elif isinstance(box, Mark):
            self._mark(box)
        elif isinstance(box, Text):
            self._text(box)
        elif isinstance(box, Frame):
            self._outline(box.rect, box.width, "black")
        elif isinstance(box, Rule):
            ends = [self._at(box.x1, box.y1), self._at(box.x2, box.y2)]
            self._pen.line([(round(x), round(y)) for x, y in ends], "black", self._stroke(box.width))

    def _picture(self, box: Picture) -> None:
        try:
            picture = _read(self._folder / box.cell.output)
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:  # Pillow's for torn files
            self.said.append(f"{box.cell.output}: cannot be read for the sheet ({reason(error)}); its place is marked")
            self._mark(Mark(box.rect, MISSING, box.cell, None))
            return
        left, top, right, bottom = self._pixels(box.rect)
        self.image.paste(_sized(picture, (right - left, bottom - top)), (left, top))

    def _mark(self, box: Mark) -> None:
        look = LOOKS[box.state]
        left, top, right, bottom = self._pixels(box.rect)
        line, width = f"#{look.line}", self._stroke(LINE)
        self._pen.rectangle((left, top, right - 1, bottom - 1), f"#{look.fill}", line, width)
        for x1, y1, x2, y2 in strokes(box):
            ends = [self._at(x1, y1), self._at(x2, y2)]
            self._pen.line([(min(round(x), right - 1), min(round(y), bottom - 1)) for x, y in ends], line, width)
        if box.text is not None:
            self._text(box.text)

    def _text(self, box: Text) -> None:
        rtl = right_to_left(box.whole)
        size = box.size * self._dpi / PT_PER_INCH
        for line in box.lines:
            found = visual(runs(line.text, self._fonts, bold=box.bold, rtl=rtl))
            if box.turned:
                self._turned(found, line, size)
                continue
            x, y = self._at(line.x, line.y)
            for run in found:
                self._run(self.image, run, (x, y), size)
                x += advance(run) * size

    def _turned(self, found: Sequence[Run], line: Line, size: float) -> None:
        """One line written upwards: painted level beside, turned, and laid where its pen begins."""
        above, below = math.ceil(size * 1.6), math.ceil(size)
        level = Image.new("RGB", (math.ceil(line.width * self._dots) + 2 * below, above + below), "white")
        x = float(below)
        for run in found:
            self._run(level, run, (x, above), size)
            x += advance(run) * size
        turned = level.transpose(Image.Transpose.ROTATE_90)
        left, bottom = self._at(line.x, line.y)
        place = round(left) - above, round(bottom) + below - turned.height
        mask = turned.convert("L").point([255 - value for value in range(256)])
        self.image.paste(turned, place, mask)

    def _run(self, image: Image.Image, run: Run, pen: tuple[float, float], size: float) -> None:
        direction = "rtl" if run.rtl else "ltr"
        if run.font.coloured:
            _coloured(image, run, pen, size, direction)
            return
        drawing = ImageDraw.Draw(image)
        drawing.text(
            pen, run.text, "black", _font(run.font, size), anchor="ls", direction=direction if _shapes() else None
        )

    def _outline(self, rect: Rect, points: float, colour: str) -> None:
        left, top, right, bottom = self._pixels(rect)
        width = self._stroke(points)
        outside = width // 2
        self._pen.rectangle(
            (left - outside, top - outside, right - 1 + outside, bottom - 1 + outside), None, colour, width
        )

    def _at(self, x: float, y: float) -> tuple[float, float]:
        return x * self._dots, y * self._dots

    def _pixels(self, rect: Rect) -> tuple[int, int, int, int]:
        """Left, top, right, bottom: equal rects are equally large, wherever they are."""
        left, top = round(rect.x * self._dots), round(rect.y * self._dots)
        return left, top, left + max(1, round(rect.width * self._dots)), top + max(1, round(rect.height * self._dots))

    def _stroke(self, points: float) -> int:
        return max(1, round(points * self._dpi / PT_PER_INCH))


def _read(path: Path) -> Image.Image:
    """The picture at `path`, on white where it is transparent."""
    check_regular(path)
    with Image.open(path) as opened:
        if opened.mode in ("RGBA", "LA", "PA") or "transparency" in opened.info:
            clear = opened.convert("RGBA")
            return Image.alpha_composite(Image.new("RGBA", clear.size, "white"), clear).convert("RGB")
        return opened.convert("RGB")


def _sized(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    """`picture` at `size`. Enlarged pixels stay sharp squares, for a blurred one would look like the model's doing; by
    factors that are not whole, their edges are shared between two dots, so that all are equally wide."""
    if size == picture.size:
        return picture
    if size[0] < picture.width or size[1] < picture.height:
        return picture.resize(size, Resampling.LANCZOS)
    factor = math.ceil(max(size[0] / picture.width, size[1] / picture.height))
    enlarged = picture.resize((picture.width * factor, picture.height * factor), Resampling.NEAREST)
    return enlarged if enlarged.size == size else enlarged.resize(size, Resampling.BOX)


def _coloured(image: Image.Image, run: Run, pen: tuple[float, float], size: float, direction: str) -> None:
    """A run of emoji, painted at the one size that such fonts have and reduced."""
    try:
        font = _font(run.font, _BITMAP)
    except OSError:  # layers and paint instead of bitmaps: Pillow draws what it can of them
        font = _font(run.font, size)
    wide = max(1, math.ceil(advance(run) * _BITMAP) + 20)
    large = Image.new("RGBA", (wide, round(_BITMAP * 1.6)), (255, 255, 255, 0))
    ImageDraw.Draw(large).text(
        (0, round(_BITMAP * 1.2)),
        run.text,
        "black",
        font,
        anchor="ls",
        embedded_color=True,
        direction=direction if _shapes() else None,
    )
    factor = size / _BITMAP
    small = large.resize(
        (max(1, round(large.width * factor)), max(1, round(large.height * factor))), Resampling.LANCZOS
    )
    image.paste(small, (round(pen[0]), round(pen[1] - _BITMAP * 1.2 * factor)), small)


@lru_cache(512)
def _font(font: Font, size: float) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(font.path), size, font.index)


@lru_cache(1)
def _shapes() -> bool:
    """Whether Pillow shapes scripts by itself."""
    from PIL import features

    return bool(features.check_feature("raqm"))
