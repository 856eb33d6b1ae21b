"""A manifest's `sheet` and `sheets`: what they come to, and where each mistake is told; the schema agrees."""

import jsonschema
import pytest

from latentpress.errors import ManifestError
from latentpress.manifest.manifest import read_manifest
from latentpress.manifest.schema import manifest_schema
from latentpress.sheets.spec import Sheet

HEAD = "version: 1\nmodel: demo\ndefaults: {prompt: a}\nmatrix: {style: [x, y], seed: 1..3}\n"


@pytest.fixture
def sheets(tmp_path):
    def read(body):
        (tmp_path / "m.yaml").write_text(HEAD + body, encoding="utf-8")
        return read_manifest(tmp_path / "m.yaml").sheets

    return read


def test_what_old_manifests_say_means_what_it_did(sheets):
    assert sheets("sheet: {rows: seed, columns: style}\n") == (Sheet(rows=("seed",), columns=("style",)),)
    assert sheets("") == ()


def test_a_figure_of_a_journal(sheets):
    [one, two] = sheets(
        "sheets:\n- {name: a, rows: [style, seed], width: nature column, formats: [pdf, tiff], order: {style: [y]}}\n"
        "- {name: b, columns: style, width: 7.2in, dpi: 600, letters: false, scale: fit, names: {style: Stil}}\n"
    )
    assert (one.rows, one.width, one.height, one.font_size) == (("style", "seed"), 89.0, 170.0, 7.0)
    assert (one.formats, one.order) == (("pdf", "tif"), {"style": ("y",)})
    [one] = sheets("sheet: {formats: [pdf], plots: true, plots_by: style, plots_against: [seed=1, style=x]}\n")
    assert (one.plots, one.plots_by, one.plots_against) == (True, ("style",), ("seed=1", "style=x"))
    assert (round(two.width, 2), two.resolution, two.letters, two.one_scale) == (182.88, 600, False, False)


@pytest.mark.parametrize(
    ("body", "place", "message"),
    [
        ("sheet: {rows: stile}", "5:15", "sheet rows is 'stile'; did you mean 'style'?"),
        ("sheet: {rows: style, columns: style}", "5:8", "sheet: 'style' stands on rows and columns"),
        ("sheet: {rows: [style, seed, steps]}", "5:8", "sheet: rows names 3 axes; at most 2 go there"),
        ("sheet: {rows: style, wdth: 1}", "5:22", "unknown key"),
        ("sheet: {rows: style, width: 3 miles}", "5:29", "sheet width is '3 miles'; it must be a length such as 183mm"),
        ("sheet: {rows: style, width: nature wide}", "5:29", "must be one of `nature column` (89 mm)"),
        ("sheet: {rows: style, width: nature, font_size: 9}", "5:8", "text in figures of nature is 5 to 7 pt"),
        ("sheet: {rows: style, dpi: 5}", "5:27", "sheet dpi is '5'; it must be from 30 to 2400 dots per inch"),
        ("sheet: {rows: style, formats: [gif]}", "5:32", "sheet formats is 'gif'; it must be one of png"),
        ("sheet: {rows: style, caption: '{stile}'}", "5:31", "sheet caption has {stile}; it may have {name}"),
        ("sheet: {rows: style, name: a/b}", "5:28", "names the files of the sheet, so it must be a plain word"),
        ("sheet: {rows: style, order: [x]}", "5:29", "it must be a map such as {style: [flat, toy]}"),
        ("sheet: {rows: style, plots: true}", "5:8", "plots adds pages to a PDF; add pdf to the formats"),
        ("sheet: {rows: style, plots_by: seed}", "5:8", "plots_by is of the plots; add plots: true"),
        ("sheet: {formats: pdf, plots: true, plots_by: stile}", "5:46", "plots_by is 'stile'; did you mean 'style'?"),
        ("sheets: {rows: style}", "5:9", "it must be a list of 1 to 100 maps"),
        ("sheets: [{rows: style}, {rows: seed}]", "5:25", "two sheets are called 'sheet'; give each a name"),
        ("sheet: {rows: style}\nsheets: [{rows: seed}]", "6:9", "sheets stands beside sheet"),
    ],
)
def test_mistakes_are_told_with_their_place(body, place, message, sheets):
    with pytest.raises(ManifestError) as refused:
        sheets(body + "\n")
    said = str(refused.value)
    assert f"m.yaml:{place}: " in said
    assert message in said


def test_the_schema_takes_what_the_parser_takes():
    sheet = {"rows": ["style"], "width": "nature column", "dpi": 300, "formats": ["pdf"], "order": {"style": ["x"]}}
    manifest = {"version": 1, "model": "demo", "matrix": {"style": ["x"]}, "defaults": {"prompt": "a"}}
    jsonschema.validate(manifest | {"sheet": sheet}, manifest_schema())
    jsonschema.validate(
        manifest | {"sheets": [sheet | {"name": "a"}, {"gutter": "2mm", "letters": True}]}, manifest_schema()
    )
    for wrong in ({"dpi": 5}, {"formats": "gif"}, {"wdth": 1}, {"width": "nature-"}, {"rows": ["a", "b", "c"]}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(manifest | {"sheet": sheet | wrong}, manifest_schema())
