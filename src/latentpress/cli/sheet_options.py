"""The options of `latentpress sheet`, and the figure that they come to."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from latentpress.errors import UsageError, shown

if TYPE_CHECKING:
    from latentpress.sheets.spec import Sheet


def _axes(where: str) -> Any:
    return typer.Option(
        f"--{where}", metavar="AXIS[,AXIS]", help=f"The axes or fields of the {where}, the outer first."
    )


RowsOption = Annotated[str | None, _axes("rows")]
ColumnsOption = Annotated[str | None, _axes("columns")]
PagesOption = Annotated[str | None, _axes("pages")]
PanelsOption = Annotated[str | None, _axes("panels")]
WidthOption = Annotated[
    str | None, typer.Option("--width", help="Of a page: 183mm, 7.2in, or a venue's, such as 'nature column'.")
]
HeightOption = Annotated[str | None, typer.Option("--height", help="What a page is at most high, e.g. 170mm.")]
DpiOption = Annotated[
    str | None, typer.Option("--dpi", metavar="N", help="Dots an inch that pictures are painted with.")
]
FontOption = Annotated[str | None, typer.Option("--font", help="A family that is installed, or a font file.")]
FontSizeOption = Annotated[str | None, typer.Option("--font-size", metavar="PT", help="Of labels, in points.")]
GutterOption = Annotated[str | None, typer.Option("--gutter", metavar="MM", help="Between pictures.")]
BorderOption = Annotated[str | None, typer.Option("--border", metavar="PT", help="The line around cells; 0 is none.")]
TitleOption = Annotated[str | None, typer.Option("--title", help="Above, with {placeholders}.")]
CaptionOption = Annotated[str | None, typer.Option("--caption", help="Below, with {placeholders}.")]
ScaleOption = Annotated[
    str | None, typer.Option("--scale", help="one for pictures of all sizes, or fit, which fits each to its cell.")
]
OrderOption = Annotated[
    list[str] | None,
    typer.Option("--order", metavar="AXIS=A,B", help="The values to show, in this order; may be repeated."),
]
SheetOnlyOption = Annotated[
    list[str] | None,
    typer.Option("--only", metavar="KEY=VALUE", help="Only cells of this axis or field; may be repeated."),
]
NameOption = Annotated[str | None, typer.Option("--name", help="Which of the manifest's sheets to begin from.")]
PlotsOption = Annotated[
    bool, typer.Option("--plots", help="Add pages to a PDF with plots of the pictures' numbers, as `measure` has them.")
]
PlotsByOption = Annotated[
    str | None, typer.Option("--by", metavar="AXIS[,AXIS]", help="The rows of --plots; default the first axis.")
]
PlotsAgainstOption = Annotated[
    list[str] | None,
    typer.Option(
        "--against", metavar="AXIS=VALUE", help="Of --plots: compare each picture with the one that has this."
    ),
]
FilesOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE|DIR",
        help="Draw into this file, of a kind by its ending; may be repeated. For a manifest also its output folder.",
    ),
]
SheetReplaceOption = Annotated[bool, typer.Option("--replace", help="Write over FILE.")]


def parted(outputs: list[Path] | None) -> tuple[list[Path], Path | None]:
    """The files that -o names, and the folder. Raises UsageError for two folders, and for a file of another kind."""
    from latentpress.sheets.options import format_of
    from latentpress.sheets.spec import FORMATS

    kinds = ", ".join(f".{kind}" for kind in FORMATS)
    files = [path for path in outputs or () if format_of(path.suffix) is not None and not path.is_dir()]
    folders = [path for path in outputs or () if path not in files]
    for path in folders:
        # A folder of pictures is there already.
        if not path.is_dir() and (path.is_file() or re.fullmatch(r"\.[A-Za-z][A-Za-z0-9]{1,4}", path.suffix)):
            raise UsageError(f"-o {path}: is no file of a figure, whose name ends in one of {kinds}")
    if len(folders) > 1:
        raise UsageError(f"-o {folders[0]} and -o {folders[1]}: two folders; a figure's name ends in one of {kinds}")
    return files, folders[0] if folders else None


def figure(
    asked: Mapping[str, str | None],
    order: list[str] | None,
    lists: Mapping[str, list[str] | None],
    files: Sequence[Path],
    base: "Sheet | None",
) -> "Sheet":
    """The sheet for `files` that the options ask for, beginning from `base`; raises UsageError for one that is wrong.

    Where any side is given, the sides of `base` do not count; where no file is a PDF, its plots do not.
    """
    from dataclasses import replace

    from latentpress.sheets.options import SIDES, format_of, made, parse_value

    said: dict[str, Any] = {key: value for key, value in lists.items() if value}
    said["formats"] = [kind for path in files if (kind := format_of(path.suffix)) is not None]
    for key, text in asked.items():
        if text is None:
            continue
        try:
            if key in SIDES:
                said[key] = [one.strip() for one in text.split(",") if one.strip()]
            else:
                said[key] = parse_value(key, text)
        except ValueError as error:
            raise UsageError(f"--{key.replace('_', '-')} {shown(text)}: {error}") from None
    if order:
        said["order"] = dict(map(_ordered, order))
    if base is not None and said.keys() & SIDES.keys():
        base = replace(base, **dict.fromkeys(SIDES, ()))
    if base is not None and "pdf" not in said["formats"]:
        base = replace(base, plots=False, plots_by=(), plots_against=())
    try:
        return made(said, base)
    except ValueError as error:
        raise UsageError(str(error)) from None


def _ordered(term: str) -> tuple[str, tuple[str, ...]]:
    key, equals, values = term.partition("=")
    found = tuple(value.strip() for value in values.split(",") if value.strip())
    if not equals or not found:
        raise UsageError(f"--order {shown(term)}: write AXIS=VALUE,VALUE, e.g. style=flat,toy")
    return key.strip(), found
