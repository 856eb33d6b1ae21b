"""Labels that are hard to set: long, of every script, mixed; and pages to set them on."""

from pathlib import PurePosixPath

from hypothesis import strategies as st
from PIL import Image

from latentpress.sheets.cells import DONE, FAILED, Cell
from latentpress.sheets.page import AXIS, NOTE, ROW, TITLE, Frame, Line, Mark, Page, Picture, Rect, Rule, Text
from latentpress.sheets.text.measure import Measure

MEASURE = Measure()


def _words(letters, most=9):
    return st.text(letters, min_size=1, max_size=most)


def _letters(low, high):
    return st.characters(min_codepoint=low, max_codepoint=high, categories=("L", "Nd"))


LATIN = _words(st.sampled_from("abcdefghijklmnopqrstuvwxyzABCXYZ0123456789") | _letters(0xC0, 0x17F)) | st.sampled_from(
    [
        "Größe",
        "café",
        "naïve",
        "e\u0301tude",
        "x\u0302",
        "512×512",
        "CFG–7.5",
        "½",
        "a_b-c",
        "(a)",
        "“q”",
        "½°",
        "office",
    ]
)
GREEK = _words(st.characters(min_codepoint=0x391, max_codepoint=0x3C9, categories=("Lu", "Ll")))
CYRILLIC = _words(_letters(0x410, 0x45F))
CJK = _words(
    _letters(0x4E00, 0x9FA5) | _letters(0x3042, 0x3093) | _letters(0x30A2, 0x30F3) | _letters(0xAC00, 0xD7A3), 6
)
ARABIC = _words(st.sampled_from("ابتثجحخدذرزسشصضطظعغفقكلمنهويأإآؤئءىة"))
# Syllables as they are written: a random order of letters and vowel signs would be drawn with dotted circles.
DEVANAGARI = st.lists(
    st.builds(
        "{}{}{}".format,
        st.sampled_from("कखगघचछजझटठडढतथदधनपफबभमयरलवशषसह"),
        st.sampled_from(["", "", "", "्र", "्य"]),
        st.sampled_from(["", "ा", "ि", "ी", "ु", "ू", "े", "ै", "ो", "ौ", "ां"]),
    ),
    min_size=1,
    max_size=5,
).map("".join)
EMOJI = st.sampled_from(["😀", "🎨", "👩‍🚀", "🇩🇪", "👍🏽", "❤️", "🦊", "🪁", "1️⃣"])
MATH = _words(st.sampled_from("∑∫√∞≤≥≈≠→←±∂∇∈ℝ𝛼𝜎𝑥"), 4)
LEFT_TO_RIGHT = LATIN | GREEK | CYRILLIC | CJK | DEVANAGARI | MATH


def lines_of(words):
    return st.lists(words, min_size=1, max_size=12).map(" ".join)


def text(label, x, y, role=ROW, *, size=7.0, width=None, bold=False):
    """`label` set at (x, y) in lines no wider than `width` mm, broken at blanks."""
    rows = [""]
    for word in label.split(" "):
        longer = f"{rows[-1]} {word}".strip()
        if width and rows[-1] and MEASURE.width(longer, size, bold=bold) > width:
            rows.append(word)
        else:
            rows[-1] = longer
    rows = [MEASURE.shown(row) for row in rows]
    high, ascent = MEASURE.line_height(size), MEASURE.ascent(size)
    lines = tuple(
        Line(row, x, y + number * high + ascent, MEASURE.width(row, size, bold=bold)) for number, row in enumerate(rows)
    )
    rect = Rect(x, y, max(line.width for line in lines), len(rows) * high)
    return Text(rect, lines, size, role, label, bold=bold)


def page_of(labels, width=180.0):
    """A page with nothing but `labels`, one below the other with a gap of two lines, so that none is taken for another's."""
    y, boxes = 5.0, []
    for label in labels:
        boxes.append(text(label, 5, y, width=width - 10))
        y = boxes[-1].rect.bottom + 6
    return Page(width, y + 5, tuple(boxes))


def figure(folder, *, count=3, pixels=64, side=25.0, seed=0):
    """A page with a title, `count` pictures of noise in `folder`, a failed cell, a frame, a rule, and a turned label."""
    boxes = [text("Größe & style – λ", 5, 2, TITLE, bold=True)]
    for number in range(count):
        cell = noise(folder, number, pixels)
        rect = Rect(5 + number * (side + 1), 10, side, side)
        boxes += [text(f"seed {number}", rect.x, 6), Picture(rect, cell), Frame(rect, 0.5)]
    failed = Cell({"seed": "9"}, FAILED, PurePosixPath("failed.png"), pixels, pixels, reason="latents became NaN")
    rect = Rect(5, 11 + side, side, side)
    boxes.append(Mark(rect, FAILED, failed, text("failed: latents became NaN", 6, 12 + side, NOTE, width=side - 2)))
    line = Line("style", 3.5, 30, MEASURE.width("style", 7))
    boxes.append(Text(Rect(1, 30 - line.width, 3, line.width), (line,), 7, AXIS, "style", turned=True))
    boxes.append(Rule(5, 37 + side, 80, 37 + side, 0.5))
    return Page(5 + count * (side + 1) + 4, 12 + 2 * side + 4, tuple(boxes))


def noise(folder, number, pixels):
    path = PurePosixPath(f"seeds/{number}.png")
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    Image.linear_gradient("L").resize((pixels, pixels)).rotate(number * 7).convert("RGB").save(folder / path)
    alt = f'a red kite, seed {number}, style "flat"'
    return Cell({"seed": str(number)}, DONE, path, pixels, pixels, job_hash="ab" * 32, pixel_sha256="cd" * 32, alt=alt)
