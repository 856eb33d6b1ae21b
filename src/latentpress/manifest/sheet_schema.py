"""The manifest's `sheet` as JSON Schema."""

from typing import Any

from latentpress.manifest.field_schemas import TEXT, Schema, a_map, or_null
from latentpress.sheets.options import KEYS, SCALES, SIDES
from latentpress.sheets.spec import FORMATS, VENUES

_NUMBERS = {"dpi": (30, 2400), "font_size": (3, 300), "border": (0, 20)}
_LENGTH = r"^\s*[0-9]{1,5}(\.[0-9]{1,4})?\s*(mm|cm|in|pt)?\s*$"
_SAID = {
    "rows": "The axes or fields down the sheet, the outer one first.",
    "columns": "The axes or fields along its top, the outer one first.",
    "pages": "The axes or fields that each have a page for every value.",
    "panels": "The axes or fields that each have a lettered panel for every value.",
    "name": "What the files are called; `sheet` without.",
    "formats": "Pictures of the sheet, documents and tables.",
    "width": "Of a page: 183mm, 7.2in, or a venue's, such as `nature column`.",
    "height": "What a page is at most high; more rows go to another page.",
    "dpi": "Dots per inch that pictures are painted with.",
    "font": "A family that is installed, or the path of a font file.",
    "font_size": "Of labels, in points.",
    "gutter": "Between pictures, in millimetres.",
    "border": "The line around cells, in points.",
    "title": "Above the sheet, with {placeholders}.",
    "caption": "Below the sheet, with {placeholders}.",
    "axis_names": "Whether the axes' own names are written.",
    "letters": "Whether panels are lettered a, b, c.",
    "scale": "One scale for pictures of all sizes, or each fitted to its cell.",
    "plots": "Whether the PDF has pages with plots of the pictures' numbers.",
    "plots_by": "The axes of the plots' rows.",
    "plots_against": "AXIS=VALUE: of the plots, what each picture is compared with.",
    "only": "KEY=VALUE: only cells that meet all of these.",
    "order": "For an axis or a field the values to show, in this order.",
    "names": "What the sheet calls an axis or a field.",
}


def sheet_schema() -> Schema:
    """The schema of one sheet."""
    return a_map({key: {"description": _SAID[key], **or_null(_value(key))} for key in KEYS})


def _value(key: str) -> Schema:
    if key in SIDES:
        return _some(TEXT, SIDES[key])
    if key == "formats":
        return _some({"enum": list(FORMATS)})
    if key in _NUMBERS:
        low, high = _NUMBERS[key]
        return _number(low, high)
    special: dict[str, Schema] = {
        "only": _some(TEXT),
        "gutter": {"anyOf": [_number(0, 100), {"type": "string", "pattern": r"^[0-9.]+\s*mm$"}]},
        "width": _length(rf"^({'|'.join(VENUES)})([ -]\w+)?$"),
        "height": _length(),
        "axis_names": {"type": "boolean"},
        "letters": {"type": "boolean"},
        "plots": {"type": "boolean"},
        "plots_by": _some(TEXT),
        "plots_against": _some(TEXT),
        "scale": {"enum": list(SCALES)},
        "order": {"type": "object", "additionalProperties": _some(TEXT)},
        "names": {"type": "object", "additionalProperties": TEXT},
    }
    return special.get(key, TEXT)


def _number(low: float, high: float) -> Schema:
    return {"type": "number", "minimum": low, "maximum": high}


def _length(also: str = "") -> Schema:
    words: list[Any] = [{"type": "string", "pattern": one} for one in (_LENGTH, also) if one]
    return {"anyOf": [{"type": "number", "minimum": 10, "maximum": 5080}, *words]}


def _some(one: Schema, most: int | None = None) -> Schema:
    """One, or a list of them."""
    many: Schema = {"type": "array", "items": one} | ({"maxItems": most} if most else {})
    return {"anyOf": [one, many]}
