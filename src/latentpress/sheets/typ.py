"""Pages as the source of a Typst document: every line, picture and rule at its place. Reads no file.

The source is what the PDF is made of, and what a co-author may go on from: see the comment at its top.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from latentpress.sheets.look import LINE, LOOKS, strokes
from latentpress.sheets.page import TITLE, Box, Frame, Line, Mark, Page, Picture, Rect, Rule, Text
from latentpress.sheets.text.bidi import right_to_left
from latentpress.sheets.text.fonts import Font, Fonts
from latentpress.sheets.text.runs import runs
from latentpress.sheets.text.shown import LOST

_DATE = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2}) ([0-9]{2})-([0-9]{2})")
_DATETIME = "datetime(year: {}, month: {}, day: {}, hour: {}, minute: {}, second: 0)"

_TOP = """\
// A sheet of latentpress, laid out: every line, picture and rule at its place, in millimetres.
// It is compiled with `typst compile --root / --font-path FONTS THIS.typ`, where FONTS is a folder with the fonts below;
// `pictures` is where the pictures lie, seen from here.
#let pictures = {pictures}
#set document(title: {title}, description: {description}, keywords: {keywords}, date: {date})
#set page(margin: 0mm)
#set text(font: {font}, lang: "en", hyphenate: false, fallback: false, top-edge: "baseline", bottom-edge: "baseline")
#show heading: it => it.body

#let line-of(x, y, width, size, body, bold: false, turned: false, dir: ltr, title: false) = {{
  let runs = if type(body) == str {{ (body,) }} else {{ body }}
  let shown = text(size: size * 1pt, weight: if bold {{ 700 }} else {{ 400 }}, for run in runs {{
    if type(run) == str {{ text(run) }} else {{ text(font: run.at(0), run.at(1)) }}
  }})
  // The direction is the paragraph's: of a text within it, Typst would write marks of embedding, which readers copy.
  set text(dir: dir)
  set align(left)
  let held = box(width: width * 1mm, if title {{ heading(level: 1, shown) }} else {{ par(shown) }})
  place(top + left, dx: x * 1mm, dy: y * 1mm, if turned {{ rotate(-90deg, origin: top + left, held) }} else {{ held }})
}}
#let picture(x, y, width, height, file, alt) = place(
  top + left, dx: x * 1mm, dy: y * 1mm,
  image(pictures + "/" + file, width: width * 1mm, height: height * 1mm, fit: "stretch", alt: alt),
)
#let rectangle(x, y, width, height, fill: none, stroke: none) = place(
  top + left, dx: x * 1mm, dy: y * 1mm,
  pdf.artifact(rect(width: width * 1mm, height: height * 1mm, fill: fill, stroke: stroke)),
)
#let rule(x1, y1, x2, y2, stroke) = place(
  top + left,
  pdf.artifact(line(start: (x1 * 1mm, y1 * 1mm), end: (x2 * 1mm, y2 * 1mm), stroke: stroke)),
)
"""


@dataclass(frozen=True)
class About:
    """What the document says of itself. keywords: facts such as hashes; date: the plan's, `2026-11-27 22-00`, or ""."""

    title: str
    description: str = ""
    keywords: tuple[str, ...] = ()
    date: str = ""


def source(
    pages: Sequence[Page],
    fonts: Fonts,
    families: Mapping[Font, str],
    about: About,
    *,
    pictures: str = ".",
    attached: str | None = None,
) -> str:
    """The Typst source of `pages`. families: what Typst calls each font, which need not be what others call it.

    pictures: the folder of the pictures; attached: a file to embed, beside them.
    """
    date = _DATE.match(about.date)
    parts = [
        _TOP.format(
            pictures=quoted(pictures),
            title=quoted(about.title or "Sheet"),
            description=quoted(about.description),
            keywords=_array(quoted(word) for word in about.keywords),
            date=_DATETIME.format(*map(int, date.groups())) if date else "none",
            font=quoted(families[fonts.first]),
        )
    ]
    if attached:
        parts.append(
            f'#pdf.attach({quoted(attached)}, relationship: "supplement", mime-type: "application/json",\n'
            '  description: "What each picture is: its job and the sha256 of its pixels")\n'
        )
    for page in pages:
        parts.append(f"\n#page(width: {number(page.width)}mm, height: {number(page.height)}mm)[\n")
        parts += (f"  #{call}\n" for box in page.boxes for call in _calls(box, fonts, families))
        parts.append("]\n")
    return "".join(parts)


def quoted(text: str) -> str:
    """`text` as a string of Typst's: what cannot stand in a line is left out, or shown as lost."""
    kept = "".join(
        char if char.isprintable() or char == " " else LOST if 0xD800 <= ord(char) < 0xE000 else rf"\u{{{ord(char):x}}}"
        for char in text.replace("\\", "\\\\").replace('"', '\\"')
    )
    return f'"{kept}"'


def number(value: float) -> str:
    """Millimetres to a ten-thousandth, the shortest way."""
    return f"{value:.4f}".rstrip("0").rstrip(".") or "0"


def _calls(box: Box, fonts: Fonts, families: Mapping[Font, str]) -> Iterator[str]:
    match box:
        case Text():
            rtl = right_to_left(box.whole)
            yield from (_line(box, line, fonts, families, rtl) for line in box.lines if line.text.strip())
        case Picture():
            file, alt = str(box.cell.output), box.cell.alt or str(box.cell.output)
            yield f"picture({_rect(box.rect)}, {quoted(file)}, {quoted(alt)})"
        case Mark():
            look = LOOKS[box.state]
            stroke = f'{number(LINE)}pt + rgb("{look.line}")'
            yield f'rectangle({_rect(box.rect)}, fill: rgb("{look.fill}"), stroke: {stroke})'
            for ends in strokes(box):
                yield f"rule({', '.join(map(number, ends))}, {stroke})"
            if box.text is not None:
                yield from _calls(box.text, fonts, families)
        case Frame():
            yield f"rectangle({_rect(box.rect)}, stroke: {number(box.width)}pt)"
        case Rule():
            yield f"rule({', '.join(map(number, (box.x1, box.y1, box.x2, box.y2)))}, {number(box.width)}pt)"


def _line(box: Text, line: Line, fonts: Fonts, families: Mapping[Font, str], rtl: bool) -> str:
    pieces = [
        quoted(run.text)
        if families[run.font] == families[fonts.first]
        else f"({quoted(families[run.font])}, {quoted(run.text)})"
        for run in runs(line.text, fonts, bold=box.bold, rtl=rtl)
    ]
    body = pieces[0] if len(pieces) == 1 and pieces[0].startswith('"') else _array(pieces)
    # Room beyond the measured width, so that nothing is broken twice.
    place = ", ".join(map(number, (line.x, line.y, 2 * line.width + 10, box.size)))
    named = {"bold": box.bold, "turned": box.turned, "dir": rtl, "title": box.role == TITLE}
    more = "".join(f", {name}: {'rtl' if name == 'dir' else 'true'}" for name, value in named.items() if value)
    return f"line-of({place}, {body}{more})"


def _rect(rect: Rect) -> str:
    return ", ".join(map(number, (rect.x, rect.y, rect.width, rect.height)))


def _array(parts: Sequence[str] | Iterator[str]) -> str:
    return f"({''.join(f'{part}, ' for part in parts).rstrip()})"
