"""`latentpress sheet`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from latentpress.cli.ledger_option import LedgerOption
from latentpress.cli.manifests import for_each, to_stderr
from latentpress.cli.options import JsonOption, print_json
from latentpress.cli.sheet_options import (
    BorderOption,
    CaptionOption,
    ColumnsOption,
    DpiOption,
    FilesOption,
    FontOption,
    FontSizeOption,
    GutterOption,
    HeightOption,
    NameOption,
    OrderOption,
    PagesOption,
    PanelsOption,
    PlotsAgainstOption,
    PlotsByOption,
    PlotsOption,
    RowsOption,
    ScaleOption,
    SheetOnlyOption,
    SheetReplaceOption,
    TitleOption,
    WidthOption,
    figure,
    parted,
)
from latentpress.errors import UsageError, shown

if TYPE_CHECKING:
    from latentpress.batch.folder import OutputFolder
    from latentpress.batch.sheets import SheetsDrawn
    from latentpress.sheets.spec import Sheet


def sheet_command(
    targets: Annotated[list[str], typer.Argument(metavar="OUT|MANIFEST...", help="An output folder, or manifests.")],
    output: FilesOption = None,
    ledger: LedgerOption = None,
    rows: RowsOption = None,
    columns: ColumnsOption = None,
    pages: PagesOption = None,
    panels: PanelsOption = None,
    width: WidthOption = None,
    height: HeightOption = None,
    dpi: DpiOption = None,
    font: FontOption = None,
    font_size: FontSizeOption = None,
    gutter: GutterOption = None,
    border: BorderOption = None,
    title: TitleOption = None,
    caption: CaptionOption = None,
    scale: ScaleOption = None,
    order: OrderOption = None,
    only: SheetOnlyOption = None,
    name: NameOption = None,
    plots: PlotsOption = False,
    by: PlotsByOption = None,
    against: PlotsAgainstOption = None,
    replace: SheetReplaceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Draw the sheets of what was rendered, as far as it is, or a figure of your own."""
    asked = {"rows": rows, "columns": columns, "pages": pages, "panels": panels, "width": width, "height": height}
    asked |= {"dpi": dpi, "font": font, "font_size": font_size, "gutter": gutter, "border": border, "scale": scale}
    asked |= {"title": title, "caption": caption, "plots": "true" if plots else None}
    lists = {"only": only, "plots_by": _listed(by), "plots_against": against}
    files, folder = parted(output)
    _check_plots(plots, {"by": by, "against": against}, files)
    if not files:
        _refuse_idle({**asked, "order": order, "only": only, "name": name})
    if len(targets) == 1 and Path(targets[0]).is_dir():
        if folder is not None:
            raise UsageError(f"-o {folder}: is no file of a figure, and {targets[0]} is the output folder already")
        if not files:
            _tell(_drawn_folder(Path(targets[0]), ledger, replace), Path(targets[0]), as_json)
            return
        known = _known_sheets(Path(targets[0]), ledger)
        sheet = figure(asked, order, lists, files, _named(known, name))
        made = _figure(Path(targets[0]), _home(Path(targets[0]), ledger), sheet, files, replace)
        _tell(made, Path(targets[0]), as_json)
        return

    def draw(found: "OutputFolder", several: bool) -> None:
        if not files:
            _tell(found.sheets(replace=replace), found.path, as_json, several)
            return
        if several:
            raise UsageError("-o names a figure, and there are several manifests; draw one after another")
        sheet = figure(asked, order, lists, files, _named(found.manifest.sheets, name))
        _tell(_manifest_figure(found, sheet, files, replace), found.path, as_json)

    for_each(targets, folder, draw, as_json=as_json, ledger=ledger, latest=True)


def _refuse_idle(options: Mapping[str, object]) -> None:
    """Raise UsageError for an option of a figure where none is drawn."""
    given = next((key for key, value in options.items() if value), None)
    if given is not None:
        option = f"--{given.replace('_', '-')}"
        raise UsageError(f"{option} is of a figure; name its file, e.g. -o figure.pdf, or write it into the manifest")


def _check_plots(plots: bool, options: Mapping[str, object], files: Sequence[Path]) -> None:
    """Raise UsageError for options of plots without plots, and for plots without a PDF that could have them."""
    given = next((key for key, value in options.items() if value), None)
    if given is not None and not plots:
        raise UsageError(f"--{given} is of the plots; add --plots")
    if plots and all(path.suffix.lower() != ".pdf" for path in files):
        raise UsageError(
            "--plots adds pages to a PDF; name one, e.g. -o figure.pdf, or draw plots alone, by `latentpress measure --plot`"
        )


def _home(folder: Path, ledger: Path | None) -> Path:
    from latentpress.batch.place import home_of

    return home_of(folder, ledger)


def _drawn_folder(folder: Path, ledger: Path | None, replace: bool) -> "SheetsDrawn":
    from latentpress.batch.sheets import draw_folder

    return draw_folder(folder, _home(folder, ledger), None, None, replace=replace)


def _known_sheets(folder: Path, ledger: Path | None) -> "Sequence[Sheet]":
    from latentpress.batch.cells import folder_sheets

    return folder_sheets(folder, _home(folder, ledger))


def _manifest_figure(found: "OutputFolder", sheet: "Sheet", files: list[Path], replace: bool) -> "SheetsDrawn":
    from latentpress.batch.ledger.owners import manifest_key

    return _figure(found.path, found.home, sheet, files, replace, manifest_key(found.manifest.path, found.path))


def _figure(
    folder: Path, home: Path | None, sheet: "Sheet", files: list[Path], replace: bool, key: str | None = None
) -> "SheetsDrawn":
    from latentpress.batch.figures import draw_figure

    return draw_figure(folder, home, sheet, files, key=key, replace=replace)


def _listed(text: str | None) -> list[str]:
    return [one.strip() for one in (text or "").split(",") if one.strip()]


def _named(sheets: "Sequence[Sheet]", name: str | None) -> "Sheet | None":
    """The sheet called `name`, or without one the first."""
    if name is None:
        return sheets[0] if sheets else None
    found = [sheet for sheet in sheets if sheet.name == name]
    if not found:
        listed = ", ".join(sheet.name for sheet in sheets) or "none"
        raise UsageError(f"--name {shown(name)}: no sheet is called that; the manifest has {listed}")
    return found[0]


def _tell(made: "SheetsDrawn", folder: Path, as_json: bool, several: bool = False) -> None:
    for line in made.told:
        to_stderr(line)
    if as_json:
        print_json(made.data(folder), one_line=several)
        return
    for path in made.paths:
        typer.echo(path)
