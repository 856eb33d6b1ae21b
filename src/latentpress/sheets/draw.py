"""A sheet as files: laid out once for pixels and once for documents, and painted in each format that it asks for."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from latentpress.sheets.cells import MISSING, Cells
from latentpress.sheets.grid import select
from latentpress.sheets.layout import layout
from latentpress.sheets.page import TITLE, Page, Text
from latentpress.sheets.plate import Plate
from latentpress.sheets.record import record
from latentpress.sheets.scale import Limits
from latentpress.sheets.spec import RASTER, TABLES, Sheet

# Files that are told of each.
_TOLD = 5


@dataclass(frozen=True)
class Drawn:
    """files: name -> content, in the order of the formats; pages: how many the sheet has; said: what whoever prints it
    should know, a sentence each."""

    files: dict[str, bytes]
    pages: int
    said: tuple[str, ...]


def drawn(cells: Cells, sheet: Sheet, folder: Path, target: Path | None = None, plates: Sequence[Plate] = ()) -> Drawn:
    """The files of `sheet`: `NAME.png`, or `NAME-page-1.png` and so on of several pages.

    folder: where its pictures lie; target: where the files are to lie, by default there too; plates: pages that follow in a
    PDF.

    Raises as `layout` does, and ModuleNotFoundError for a format whose package is missing.
    """
    files: dict[str, bytes] = {}
    said: dict[str, None] = dict.fromkeys(_faults(cells, folder))
    most = 0
    chosen = select(cells, sheet)
    for kind in sheet.formats:
        if kind in TABLES:
            from latentpress.sheets.table import table_bytes

            files[f"{sheet.name}.{kind}"] = table_bytes(cells, chosen, kind)
            continue
        if kind in RASTER:
            pages, found = _raster(cells, sheet, folder, kind, said)
        else:
            pages, found = _document(cells, sheet, folder, kind, said, target or folder, plates)
        most = max(most, pages)
        files |= found
    return Drawn(files, most, tuple(said))


def check_packages(sheets: Sequence[Sheet]) -> None:
    """Raise ModuleNotFoundError where a format needs a package that is missing: before anything is rendered."""
    formats = {kind for sheet in sheets for kind in sheet.formats}
    if "parquet" in formats:
        import pyarrow  # noqa: F401  # pyright: ignore[reportUnusedImport]
    if formats & {"pdf", "typ"}:
        import typst  # noqa: F401  # pyright: ignore[reportUnusedImport]
    if any(sheet.plots and "pdf" in sheet.formats for sheet in sheets):
        import matplotlib  # noqa: F401  # pyright: ignore[reportUnusedImport]


def file_names(sheet: Sheet, kind: str, count: int) -> list[str]:
    """The names of a sheet's files of one format, of which there are `count`."""
    if count == 1:
        return [f"{sheet.name}.{kind}"]
    digits = len(str(count))
    return [f"{sheet.name}-page-{number:0{digits}}.{kind}" for number in range(1, count + 1)]


def _laid_out(cells: Cells, sheet: Sheet, limits: Limits) -> list[Page]:
    from latentpress.sheets.text.measure import Measure

    return layout(cells, sheet, Measure(sheet.font), limits)


def _faults(cells: Cells, folder: Path) -> list[str]:
    """What is to be said of files that are there and not what was rendered."""
    found = [cell for cell in cells.cells if cell.state == MISSING and cell.reason]
    said = [f"{folder / cell.output}: the {cell.reason}; its place is marked" for cell in found[:_TOLD]]
    more = [f"the same holds of {len(found) - _TOLD:,} more pictures; `latentpress verify` names them"]
    return said + (more if len(found) > _TOLD else [])


def _raster(cells: Cells, sheet: Sheet, folder: Path, kind: str, said: dict[str, None]) -> tuple[int, dict[str, bytes]]:
    from latentpress.sheets.png import SIDES, encoded, raster
    from latentpress.sheets.text.fonts import fonts_of

    pages = _laid_out(cells, sheet, Limits(side=SIDES.get(kind)))
    said |= dict.fromkeys(_told(pages, sheet, sheet.resolution if sheet.width is not None else None))
    files: dict[str, bytes] = {}
    for page, name in zip(pages, file_names(sheet, kind, len(pages)), strict=True):
        painted = raster(page, folder, sheet.resolution, fonts_of(sheet.font))
        said |= dict.fromkeys(painted.said)
        files[name] = encoded(painted.image, kind, sheet.resolution, record(cells, sheet, [page]), page)
    return len(pages), files


def _document(
    cells: Cells, sheet: Sheet, folder: Path, kind: str, said: dict[str, None], target: Path, plates: Sequence[Plate]
) -> tuple[int, dict[str, bytes]]:
    """PDF, its Typst source, SVG and LaTeX. Pictures keep their own dots, unless the sheet names how many."""
    from latentpress.sheets.typ import About

    beside = os.path.relpath(folder, target)
    if kind == "tex":
        from latentpress.sheets.latex.figure import latex_source

        latex = latex_source(cells, sheet, pictures=beside)
        said |= dict.fromkeys(latex.said)
        return 1, {f"{sheet.name}.tex": latex.tex.encode(errors="replace")}
    pages = _laid_out(cells, sheet, Limits(pixels=None))
    dpi = sheet.dpi or (sheet.resolution if sheet.width is not None else None)
    hashes = (f"plan {cells.plan_hash}", f"pictures {len(cells.cells)}")
    title = _title(pages) if sheet.title else cells.name
    about = About(title, " ".join(dict.fromkeys(page.alt for page in pages)), hashes, cells.date)
    if kind == "svg":
        from latentpress.sheets.svg import svg_drawing

        said |= dict.fromkeys(_told(pages, sheet, dpi))
        files: dict[str, bytes] = {}
        for page, name in zip(pages, file_names(sheet, kind, len(pages)), strict=True):
            text = record(cells, sheet, [page])
            drawing = svg_drawing(page, folder, about, record=text, font=sheet.font, dpi=dpi)
            said |= dict.fromkeys(drawing.said)
            files[name] = drawing.svg.encode()
        return len(pages), files
    from latentpress.sheets.pdf import pdf_document

    more = plates if kind == "pdf" else ()
    text = record(cells, sheet, pages)
    made = pdf_document(pages, folder, about, record=text, font=sheet.font, dpi=dpi, pictures=beside, plates=more)
    said |= dict.fromkeys(made.said)
    return len(pages), {f"{sheet.name}.{kind}": made.pdf if kind == "pdf" else made.typ.encode()}


def _told(pages: Sequence[Page], sheet: Sheet, dpi: float | None) -> list[str]:
    """What is to be said of all pages together, as pdf_document says it of a PDF; dpi: asked for, None where none is."""
    from latentpress.sheets.reduced import too_coarse
    from latentpress.sheets.text.fonts import fonts_of
    from latentpress.sheets.text.told import lost

    return [*(too_coarse(pages, dpi) if dpi else ()), *lost(pages, fonts_of(sheet.font))]


def _title(pages: Sequence[Page]) -> str:
    """The title that the first page shows, its placeholders filled: what it says of its own page stands apart."""
    return next((box.whole for box in pages[0].boxes if isinstance(box, Text) and box.role == TITLE), "")
