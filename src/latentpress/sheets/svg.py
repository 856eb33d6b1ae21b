"""A page as SVG with live text: words that can be searched, edited and set in another font. Knows a folder of pictures.

The fonts are named, not embedded. Where one is missing another takes its place, and a line of one font keeps its width.
"""

import base64
import re
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from latentpress.errors import reason
from latentpress.sheets.cells import MISSING
from latentpress.sheets.look import LINE, LOOKS, strokes
from latentpress.sheets.page import MM_PER_PT, Frame, Line, Mark, Page, Picture, Rect, Rule, Text
from latentpress.sheets.reduced import reduced_bytes
from latentpress.sheets.text.bidi import right_to_left
from latentpress.sheets.text.fonts import Font, Fonts, fonts_of
from latentpress.sheets.text.runs import runs
from latentpress.sheets.typ import About

_NAMESPACE = "http://www.w3.org/2000/svg"
# XML 1.0 has no way to write these.
_UNWRITABLE = re.compile(r"[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True)
class Drawing:
    """said: which pictures could not be read, a sentence each."""

    svg: str
    said: tuple[str, ...]


def svg_drawing(
    page: Page,
    folder: Path,
    about: About,
    *,
    record: str = "",
    font: str | None = None,
    dpi: float | None = None,
    pictures: str | None = None,
) -> Drawing:
    """The SVG of `page`; the same pages and pictures give the same text.

    folder: where the pictures lie; pictures: the same as seen from where the SVG will lie, to link to them there, None to
    hold them in it; record: JSON that it holds as metadata; dpi: held pictures with more dots than that get fewer.
    """
    said: list[str] = []
    size = f"{_number(page.width)} {_number(page.height)}"
    root = ET.Element(
        "svg",
        {
            "xmlns": _NAMESPACE,
            "width": f"{_number(page.width)}mm",
            "height": f"{_number(page.height)}mm",
            "viewBox": f"0 0 {size}",
            "role": "img",
        },
    )
    _held(root, "title", about.title)
    _held(root, "desc", page.alt or about.description)
    if record:
        _held(root, "metadata", record)
    _held(root, "rect", "", {"width": _number(page.width), "height": _number(page.height), "fill": "#ffffff"})
    painter = _Painter(root, folder, fonts_of(font), dpi, pictures, said)
    for box in page.boxes:
        painter.paint(box)
    return Drawing(f"{ET.tostring(root, encoding='unicode')}\n", tuple(said))


@dataclass
class _Painter:
    root: ET.Element
    folder: Path
    fonts: Fonts
    dpi: float | None
    pictures: str | None
    said: list[str]

    def paint(self, box: object) -> None:
        match box:
            case Text():
                rtl = right_to_left(box.whole)
                for line in box.lines:
                    self._line(box, line, rtl)
            case Picture():
                self._picture(box)
            case Mark():
                self._mark(box)
            case Frame():
                outline = {"fill": "none", "stroke": "#000000", "stroke-width": _number(box.width * MM_PER_PT)}
                _held(self.root, "rect", "", _rect(box.rect) | outline)
            case Rule():
                ends = {"x1": box.x1, "y1": box.y1, "x2": box.x2, "y2": box.y2, "stroke-width": box.width * MM_PER_PT}
                _held(
                    self.root, "line", "", {key: _number(value) for key, value in ends.items()} | {"stroke": "#000000"}
                )
            case _:
                raise TypeError(f"no box of a page: {box!r}")

    def _line(self, box: Text, line: Line, rtl: bool) -> None:
        if not line.text.strip():
            return
        line_runs = runs(line.text, self.fonts, bold=box.bold, rtl=rtl)
        how = {
            "x": _number(line.x),
            "y": _number(line.y),
            "font-family": _families(self.fonts.first),
            "font-size": _number(box.size * MM_PER_PT),
            "class": box.role,
            "style": "white-space: pre",
        }
        if len(line_runs) == 1:  # not every program stretches a line of several fonts rightly
            how |= {"textLength": _number(line.width), "lengthAdjust": "spacingAndGlyphs"}
        if box.bold:
            how["font-weight"] = "bold"
        if rtl and len({run.level for run in line_runs}) > 1:
            # A line of both directions begins at its right end; the pen's place is its left one.
            how |= {"direction": "rtl", "text-anchor": "end"}
        if box.turned:
            how["transform"] = f"rotate(-90 {how['x']} {how['y']})"
        element = _held(self.root, "text", "", how)
        for run in line_runs:
            if run.font.family == self.fonts.first.family:
                _append(element, run.text)
            else:
                _held(element, "tspan", run.text, {"font-family": _families(run.font)})

    def _picture(self, box: Picture) -> None:
        file = self.folder / box.cell.output
        try:
            content, kind = reduced_bytes(box, file, self.dpi)
        except (OSError, SyntaxError, ValueError) as error:  # Pillow's for files that are torn
            self.said.append(f"{box.cell.output}: cannot be read for the sheet ({reason(error)}); its place is marked")
            self._mark(Mark(box.rect, MISSING, box.cell, None))
            return
        if self.pictures is None:
            link = f"data:{kind};base64,{base64.b64encode(content).decode()}"
        else:
            link = quote(f"{self.pictures}/{box.cell.output}")
        how = {"href": link, "preserveAspectRatio": "none", "role": "img"}
        if self.dpi is None or box.rect.width / 25.4 * self.dpi > box.cell.width:
            how["style"] = "image-rendering: pixelated"  # enlarged pixels stay sharp squares
        image = _held(self.root, "image", "", _rect(box.rect) | how)
        _held(image, "title", box.cell.alt or str(box.cell.output))

    def _mark(self, box: Mark) -> None:
        look = LOOKS[box.state]
        line = {"stroke": f"#{look.line}", "stroke-width": _number(LINE * MM_PER_PT)}
        rect = _held(self.root, "rect", "", _rect(box.rect) | {"fill": f"#{look.fill}"} | line)
        _held(rect, "title", box.state)
        for x1, y1, x2, y2 in strokes(box):
            ends = {"x1": _number(x1), "y1": _number(y1), "x2": _number(x2), "y2": _number(y2)}
            _held(self.root, "line", "", ends | line)
        if box.text is not None:
            self.paint(box.text)


def _families(font: Font) -> str:
    return f"'{font.family}', sans-serif"


def _held(parent: ET.Element, tag: str, text: str, attributes: dict[str, str] | None = None) -> ET.Element:
    clean = {key: _UNWRITABLE.sub("\ufffd", value) for key, value in (attributes or {}).items()}
    element = ET.SubElement(parent, tag, clean)
    if text:
        element.text = _UNWRITABLE.sub("\ufffd", text)
    return element


def _append(element: ET.Element, text: str) -> None:
    """`text` behind whatever `element` holds."""
    clean = _UNWRITABLE.sub("\ufffd", text)
    if len(element):
        element[-1].tail = (element[-1].tail or "") + clean
    else:
        element.text = (element.text or "") + clean


def _rect(rect: Rect) -> dict[str, str]:
    values = {"x": rect.x, "y": rect.y, "width": rect.width, "height": rect.height}
    return {key: _number(value) for key, value in values.items()}


def _number(value: float) -> str:
    return f"{value:.4f}".rstrip("0").rstrip(".") or "0"
