"""From what a manifest or a command line says of a sheet to a Sheet: each value read from its text, then held together.

Knows no YAML and no options' names: whoever asks puts the place in front of the rule that ValueError brings.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from string import Formatter
from typing import Any

from latentpress.sheets.spec import FORMATS, VENUES, Sheet, Venue, parse_length, parse_width

# Axes or fields; how many may stand on each.
SIDES = {"rows": 2, "columns": 2, "pages": 4, "panels": 4}
PLOTS = ("plots_by", "plots_against")
LISTS = (*SIDES, "formats", "only", *PLOTS)
# Whose values are axes or fields.
AXES = (*SIDES, "plots_by")
TEXTS = ("name", "font", "title", "caption")
SCALES = ("one", "fit")
# What a title and a caption may name beside axes and fields.
PLACEHOLDERS = (
    *("name", "pictures", "done", "failed", "waiting", "missing", "excluded"),
    *("plan", "date", "page", "pages"),
)
_PLAIN = re.compile(r"[\w][\w .+-]{0,79}")


def _number(low: float, high: float, unit: str) -> Callable[[str], float]:
    def parse(text: str) -> float:
        try:
            found = float(text)
        except ValueError:
            found = float("nan")
        if not low <= found <= high:
            raise ValueError(f"must be from {low:g} to {high:g}{unit}")
        return found

    return parse


def _gutter(text: str) -> float:
    return _number(0, 100, " mm")(text.strip().removesuffix("mm"))


def _scale(text: str) -> bool:
    if text not in SCALES:
        raise ValueError("must be `one` for all pictures, or `fit`, which fits each to its cell")
    return text == "one"


def _truth(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError("must be true or false")
    return text == "true"


def _plain(text: str) -> str:
    if not _PLAIN.fullmatch(text) or text.endswith((".", " ")):
        raise ValueError("names the files of the sheet, so it must be a plain word")
    return text


def format_of(text: str) -> str | None:
    """The format that a word or a file's ending means; None where it is none of a sheet's."""
    found = text.lower().lstrip(".")
    found = {"tiff": "tif", "latex": "tex"}.get(found, found)
    return found if found in FORMATS else None


def _format(text: str) -> str:
    found = format_of(text)
    if found is None:
        raise ValueError(f"must be one of {', '.join(FORMATS)}")
    return found


# Each key whose value is one text -> what reads it.
_SCALARS: Mapping[str, Callable[[str], Any]] = {
    "name": _plain,
    "font": str,
    "title": str,
    "caption": str,
    "width": parse_width,
    "height": parse_length,
    "dpi": _number(30, 2400, " dots per inch"),
    "font_size": _number(3, 300, " points"),
    "gutter": _gutter,
    "border": _number(0, 20, " points"),
    "axis_names": _truth,
    "letters": _truth,
    "scale": _scale,
    "plots": _truth,
}
MAPS = ("order", "names")
TRUTHS = ("axis_names", "letters", "plots")
KEYS = (*SIDES, "name", "formats", *(key for key in _SCALARS if key != "name"), *PLOTS, "only", *MAPS)


def parse_value(key: str, text: str) -> Any:
    """The value that `text` is for `key`, of a list the value of one entry; raises ValueError with the rule."""
    if key == "formats":
        return _format(text)
    return _SCALARS[key](text) if key in _SCALARS else text


def made(values: Mapping[str, Any], base: Sheet | None = None) -> Sheet:
    """The sheet that `values` of `parse_value` come to, lists as sequences; base: gives what they leave out.

    Raises ValueError for what does not go together.
    """
    said = dict(values)
    venue: Venue | None = None
    if "width" in said:
        said["width"], venue = said["width"]
    if venue is not None:
        said.setdefault("height", float(venue.height))
        low, high = venue.points
        if not low <= said.setdefault("font_size", float(high)) <= high:
            name = next(name for name, one in VENUES.items() if one is venue)
            raise ValueError(
                f"font_size is {said['font_size']:g}, and text in figures of {name} is {low:g} to {high:g} pt"
            )
    if "scale" in said:
        said["one_scale"] = said.pop("scale")
    for key in LISTS:
        if key in said:
            said[key] = tuple(dict.fromkeys(said[key]))
    for key, most in SIDES.items():
        if len(said.get(key, ())) > most:
            raise ValueError(f"{key} names {len(said[key])} axes; at most {most} go there")
    sheet = Sheet(**({**_fields(base), **said} if base else said))
    idle = next((key for key in PLOTS if getattr(sheet, key)), None)
    if idle is not None and not sheet.plots:
        raise ValueError(f"{idle} is of the plots; add plots: true")
    if sheet.plots and "pdf" not in sheet.formats:
        raise ValueError("plots adds pages to a PDF; add pdf to the formats")
    twice = next((key for key in sheet.keys if sheet.keys.count(key) > 1), None)
    if twice is not None:
        sides = " and ".join(side for side in SIDES if twice in getattr(sheet, side))
        raise ValueError(f"{twice!r} stands on {sides}; give each axis one side")
    return sheet


def placeholder_problem(text: str, known: Sequence[str]) -> str | None:
    """What is wrong with the placeholders of a title or a caption, None where nothing is."""
    try:
        parts = list(Formatter().parse(text))
    except ValueError:
        return "has a brace without its other one; write {{ for the character"
    for _, name, form, conversion in parts:
        if name is not None and (name not in {*known, *PLACEHOLDERS} or form or conversion):
            return f"has {{{name}}}; it may have {', '.join(f'{{{one}}}' for one in PLACEHOLDERS)}, an axis or a field"
    return None


def _fields(sheet: Sheet) -> dict[str, Any]:
    return {name: getattr(sheet, name) for name in Sheet.__dataclass_fields__}
