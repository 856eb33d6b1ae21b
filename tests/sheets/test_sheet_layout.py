"""Layout: no two boxes overlap and every label is whole, whatever it says; where pages end, what is marked, what is said."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latentpress.errors import UsageError
from latentpress.sheets.cells import DONE, EXCLUDED, FAILED, MISSING, WAITING
from latentpress.sheets.layout import layout
from latentpress.sheets.look import LOOKS, strokes
from latentpress.sheets.options import made, parse_value
from latentpress.sheets.page import AXIS, CAPTION, COLUMN, GROUP, NOTE, PANEL, ROW, TITLE, Mark, Picture, Rect, Text
from latentpress.sheets.scale import Limits
from sheet_cells import FakeMeasure, made_cells

MEASURE = FakeMeasure()

# Letters of a dozen scripts, with marks, joiners and what lines break at.
SCRIPTS = "abcÉßñ½ λσ КиЖ 絵文字 한국 أسلوب हिन्दी ไทย 😀👩‍🚀 ∑≤∞ -/_.,()é"
LABELS = st.text(st.sampled_from(SCRIPTS), min_size=1, max_size=90).filter(lambda text: text.strip())
AXIS_VALUES = st.lists(LABELS, min_size=1, max_size=4, unique_by=lambda text: " ".join(text.split()))


def sheet(**said):
    return made({key: parse_value(key, value) if isinstance(value, str) else value for key, value in said.items()})


def bare(text):
    return "".join(text.split())


def rects(page):
    return [box.rect for box in page.boxes if isinstance(box, Text | Picture | Mark)]


def overlap(one, two, slack=1e-6):
    return (
        one.x < two.right - slack
        and two.x < one.right - slack
        and one.y < two.bottom - slack
        and two.y < one.bottom - slack
    )


def check(pages):
    """Nothing overlaps, nothing leaves its page, and lines keep to the rectangle of their text."""
    for page in pages:
        boxes = rects(page)
        for one, two in itertools.combinations(boxes, 2):
            assert not overlap(one, two), (one, two)
        for rect in boxes:
            assert rect.x >= -1e-6
            assert rect.y >= -1e-6
            assert rect.right <= page.width + 1e-6, (rect, page.width)
            assert rect.bottom <= page.height + 1e-6
        for text in page.texts:
            for line in text.lines:
                across, along = (line.y, line.x) if text.turned else (line.x, line.y)
                start = text.rect.bottom if text.turned else text.rect.x
                assert abs(across - start) <= (text.rect.height if text.turned else text.rect.width) + 1e-6
                room = text.rect.height if text.turned else text.rect.width
                assert line.width <= room + 1e-6, (line, text.rect)
                low, high = (text.rect.x, text.rect.right) if text.turned else (text.rect.y, text.rect.bottom)
                assert low - 1e-6 <= along <= high + 1e-6


def labels(pages, *roles):
    """The labels of these roles, as their lines have them and as they are."""
    found = [text for page in pages for text in page.texts if text.role in roles]
    for text in found:
        assert bare("".join(line.text for line in text.lines)) == bare(text.whole)
    return {bare(text.whole) for text in found}


@settings(max_examples=60, deadline=None)
@given(
    rows=AXIS_VALUES,
    columns=AXIS_VALUES,
    third=AXIS_VALUES,
    place=st.sampled_from(["rows", "columns", "panels", "pages"]),
    width=st.sampled_from([None, "nature column", "nature double", "400mm"]),
    gone=st.integers(0, 70),
    name=LABELS,
)
def test_no_two_boxes_overlap_and_every_label_is_whole(rows, columns, third, place, width, gone, name):
    def state(labels):
        return [(DONE, ""), (FAILED, labels["y"]), (WAITING, ""), (MISSING, "")][(hash_of(labels) + gone) % 4]

    cells = made_cells({"y": rows, "x": columns, "z": third}, state, lambda labels: hash_of(labels) % 71 == gone)
    sides = {"rows": ("y",), "columns": ("x",), "panels": (), "pages": ()}
    sides[place] = ("z", *sides[place])
    said = {"names": {"x": name, "y": name}} | ({"width": width} if width else {})
    if not cells.cells:
        return
    pages = layout(cells, sheet(**sides, **said, title="{name} 文", caption="of {y}"), MEASURE)
    check(pages)
    assert bare(name) in labels(pages, AXIS)
    shown = {key: {bare(cell.labels[key]) for cell in cells.cells} for key in "yxz"}
    assert shown["y"] <= labels(pages, ROW, GROUP)
    assert shown["x"] <= labels(pages, COLUMN, GROUP)
    if place in ("rows", "columns"):
        assert shown["z"] <= labels(pages, GROUP)
    else:
        assert {"z:" + text for text in shown["z"]} <= labels(pages, PANEL if place == "panels" else TITLE)
    placed = [cell.output for page in pages for cell in page.cells]
    assert sorted(placed) == sorted(cell.output for cell in cells.cells), "each cell once"


@pytest.mark.parametrize("name", ["seed", "guidance_scale", "number of inference steps", "a-word-without-a-blank" * 3])
@pytest.mark.parametrize("panels", ["k", "kl"])
@pytest.mark.parametrize("width", [10, 12, 20, 28, 40])
def test_a_name_of_columns_is_whole_on_a_narrow_sheet(width, panels, name):
    cells = made_cells({"y": ["a", "b"], "x": ["1", "2"][: 3 - len(panels)], "z": panels})
    pages = layout(cells, sheet(rows=("y",), columns=("x",), width=f"{width}mm", names={"x": name}), MEASURE)
    check(pages)
    assert bare(name) in labels(pages, AXIS)
    assert {page.width for page in pages} == {width}


def hash_of(labels):
    return sum(map(ord, "".join(labels.values())))


def test_a_place_says_what_has_become_of_it():
    def state(labels):
        return {"2": (FAILED, "the latents became NaN"), "3": (WAITING, ""), "4": (MISSING, "")}.get(
            labels["seed"], (DONE, "")
        )

    cells = made_cells(
        {"style": ["a", "b"], "seed": list("1234")}, state, lambda one: (one["style"], one["seed"]) == ("b", "1")
    )
    [page] = layout(cells, sheet(rows=("style",), columns=("seed",)), MEASURE)
    marks = {box.state: box.text.whole for box in page.boxes if isinstance(box, Mark)}
    assert marks == {
        FAILED: "failed: the latents became NaN",
        WAITING: "not rendered yet",
        MISSING: "file is gone",
        EXCLUDED: "not in the matrix",
    }
    [note] = [
        text.whole for text in page.texts if text.role == NOTE and "failed: the" in text.whole and ";" in text.whole
    ]
    assert note == (
        "2 failed: the latents became NaN; 2 not rendered yet; 2 rendered, but the file is gone; 1 not in the matrix."
    )
    assert page.alt == (
        "Generated pictures of lab: style in rows and seed in columns. 1 picture, 2 failed, 2 waiting, 2 missing."
    )
    # The excluded place shifts nothing: below a label stands what it is of.
    for box in page.boxes:
        if isinstance(box, Picture | Mark) and box.cell is not None:
            [head] = [t for t in page.texts if t.role == COLUMN and t.whole == box.cell.labels["seed"]]
            assert head.rect.x - 1e-6 <= box.rect.x <= box.rect.right <= head.rect.right + 1e-6


SHAPES = {
    FAILED: [(0, 0, 3, 3), (0, 3, 3, 0)],
    WAITING: [],
    MISSING: [(0, 3, 3, 0)],
    EXCLUDED: [(0.9, 1.5, 2.1, 1.5)],
}


def test_small_marks_are_told_apart_by_their_shape_and_a_key_says_which_is_which():
    states = dict(zip("2345", (FAILED, WAITING, MISSING, DONE), strict=True))

    def state(labels):
        become = states.get(labels["seed"], DONE)
        return become, "the latents became NaN" if become == FAILED else ""

    axes = {"style": list("ab"), "seed": [*map(str, range(60))]}
    cells = made_cells(axes, state, lambda one: (one["style"], one["seed"]) == ("b", "9"))
    pages = layout(cells, sheet(rows=("style",), columns=("seed",), width="nature double"), MEASURE)
    check(pages)
    [page] = pages
    marks = [box for box in page.boxes if isinstance(box, Mark)]
    assert {mark.text for mark in marks} == {None}
    assert [mark.state for mark in marks[-4:]] == [FAILED, WAITING, MISSING, EXCLUDED]
    words = [text for text in page.texts if text.role == NOTE][:4]
    assert [text.whole for text in words] == ["failed", "not rendered yet", "file is gone", "not in the matrix"]
    for mark, text in zip(marks[-4:], words, strict=True):
        assert mark.rect.right < text.rect.x < mark.rect.right + 2
        assert mark.cell is None
        assert mark.rect.y >= text.rect.y
        assert mark.rect.bottom <= text.rect.bottom
    assert sorted(cell.output for cell in page.cells) == sorted(cell.output for cell in cells.cells)
    for mark in (Mark(Rect(0, 0, 3, 3), one, None, None) for one in SHAPES):
        assert [tuple(round(value, 9) for value in one) for one in strokes(mark)] == SHAPES[mark.state]
    assert int(LOOKS[WAITING].fill[:2], 16) < 0.9 * min(
        int(LOOKS[one].fill[:2], 16) for one in SHAPES if one != WAITING
    )
    # With words in them there is no key.
    [page] = layout(cells, sheet(rows=("seed",), columns=("style",), only=("seed=[2349]",)), MEASURE)
    assert [box.state for box in page.boxes if isinstance(box, Mark)].count(EXCLUDED) == 1
    assert all(box.text is not None for box in page.boxes if isinstance(box, Mark))


@pytest.mark.parametrize("gone", [{("a", "1")}, {("a", "1"), ("b", "3")}, {("b", "2")}])
def test_what_is_left_out_moves_no_value(gone):
    """Of an axis 1, 2, 3 the first of the first row may be excluded: its column is the first all the same."""
    cells = made_cells({"style": list("ab"), "seed": list("123")}, skip=lambda one: (one["style"], one["seed"]) in gone)
    [page] = layout(cells, sheet(rows=("style",), columns=("seed",)), MEASURE)
    heads = sorted((text.rect.x, text.whole) for text in page.texts if text.role == COLUMN)
    assert [text for _, text in heads] == list("123")


def test_pictures_of_a_third_axis_get_panels_with_labels():
    cells = made_cells({"seed": list("123"), "guidance_scale": ["2", "4"], "steps": ["1", "2", "3"]})
    [page] = layout(cells, sheet(rows=("seed",), columns=("guidance_scale",)), MEASURE)
    assert labels([page], PANEL) == {"a", "b", "c", "steps:1", "steps:2", "steps:3"}
    [page] = layout(cells, sheet(), MEASURE)
    assert labels([page], AXIS) == {"seed", "guidancescale"}
    [page] = layout(cells, sheet(columns=("steps",), only=("guidance_scale=2",)), MEASURE)
    assert labels([page], ROW) == {"1", "2", "3"}
    assert len(list(page.cells)) == 9


def test_a_sheet_as_wide_as_asked_for_ends_where_the_journal_says():
    cells = made_cells({"seed": list("12345"), "style": [f"style {n}" for n in range(40)]})
    pages = layout(cells, sheet(rows=("style",), columns=("seed",), width="nature double"), MEASURE)
    assert len(pages) > 1
    assert {page.width for page in pages} == {183.0}
    assert max(page.height for page in pages) <= 170
    assert [(page.number, page.count) for page in pages] == [(n, len(pages)) for n in range(1, len(pages) + 1)]
    for page in pages:
        assert labels([page], COLUMN) == set("12345"), "headers on every page"
    # Pictures are as large on one page as on another, and one that would hold all, half as large, is one page.
    assert len({round(box.rect.width, 6) for page in pages for box in page.boxes if isinstance(box, Picture)}) == 1
    few = layout(
        cells, sheet(rows=("seed",), columns=("style",), width="nature double", only=("style=style 1*",)), MEASURE
    )
    assert len(few) == 1


def test_a_page_has_no_more_pixels_than_programs_open():
    cells = made_cells({"y": [*map(str, range(26))], "x": [*map(str, range(26))]}, size=lambda _: (512, 512))
    pages = layout(cells, sheet(rows=("y",), columns=("x",)), MEASURE)
    dots = [(page.width / 25.4 * 96) * (page.height / 25.4 * 96) for page in pages]
    assert len(pages) == 2
    assert max(dots) <= 178_956_970
    assert sum(len(list(page.cells)) for page in pages) == 26 * 26
    small = layout(cells, sheet(rows=("y",), columns=("x",)), MEASURE, Limits(10_000_000, 4000))
    assert len(small) > 10
    assert max(max(page.width, page.height) / 25.4 * 96 for page in small) <= 4000
    check(small)
    # Small pictures are shown smaller before they are parted.
    cells = made_cells({"y": [*map(str, range(100))], "x": [*map(str, range(100))]})
    [page] = layout(cells, sheet(rows=("y",), columns=("x",)), MEASURE)
    assert (page.width / 25.4 * 96) * (page.height / 25.4 * 96) <= 178_956_970
    heads = [text for text in page.texts if text.role == COLUMN]
    assert len(heads) > 300, "repeated, so that a label is never far"


def test_one_scale_holds_for_all_sizes_or_is_given_up_in_words():
    sizes = {"small": (64, 64), "wide": (256, 128)}
    cells = made_cells({"which": list(sizes), "seed": ["1", "2"]}, size=lambda labels: sizes[labels["which"]])
    [page] = layout(cells, sheet(rows=("seed",), columns=("which",), width="a4"), MEASURE)
    scales = {round(box.rect.width / box.cell.width, 9) for box in page.boxes if isinstance(box, Picture)}
    assert len(scales) == 1
    assert not [text for text in page.texts if text.role == NOTE]
    [page] = layout(cells, sheet(rows=("seed",), columns=("which",), width="a4", scale="fit"), MEASURE)
    assert [text.whole for text in page.texts if text.role == NOTE] == [
        "Pictures of different sizes are each fitted to their cells."
    ]


def test_captions_know_the_cells():
    cells = made_cells({"seed": list("123"), "style": ["flat", "toy"]})
    asked = sheet(
        rows=("seed",), columns=("style",), title="{name}", caption="{pictures} of “{prompt}”, {style}; {plan}"
    )
    [page] = layout(cells, asked, MEASURE)
    assert {text.whole for text in page.texts if text.role in (TITLE, CAPTION)} == {
        "lab",
        "6 of “a red kite”, flat, toy; efefefefefef",
    }


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"rows": ("stile",)}, "'stile' is no axis and no field of these pictures; did you mean 'style'?"),
        ({"only": ("style=x",)}, "chooses no cell; style is one of 'flat', 'toy'"),
        ({"only": ("style=flt",)}, "chooses no cell; did you mean 'flat'? style is one of 'flat', 'toy'"),
        ({"only": ("seed=9",)}, "chooses no cell; seed is '0'"),
        ({"order": {"style": ("flat", "tyo")}}, "names 'tyo', which no cell has; did you mean 'toy'?"),
        ({"caption": "{stile}"}, "the caption '{stile}' has {stile}; it may have {name}"),
        ({"width": "1000mm", "dpi": "2400"}, "is 94,488 pixels, and at most 16,383 are possible; lower the dpi"),
        ({"width": "10mm", "font_size": "30"}, "its row labels leave no room; make it wider"),
    ],
)
def test_what_cannot_be_is_refused_in_words(said, message):
    cells = made_cells({"a_long_axis_name": ["a value that is long", "b"], "style": ["flat", "toy"]})
    limits = Limits(side=16_383) if "dpi" in said else None
    with pytest.raises(UsageError) as refused:
        layout(cells, sheet(**{"rows": ("a_long_axis_name",), **said}), MEASURE, limits)
    assert message in str(refused.value)
