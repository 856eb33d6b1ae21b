"""The numbers of a folder's pictures: which there are says its ledger, what they are the measures."""

from collections.abc import Sequence
from pathlib import Path

from latentpress.batch.cells import folder_cells
from latentpress.measures.cells import Measured, Options, measure_cells
from latentpress.sheets.cells import Cells
from latentpress.sheets.plate import Plate
from latentpress.sheets.spec import Sheet


def measure_folder(
    folder: Path | str,
    *,
    ledger: Path | None = None,
    against: Sequence[str] = (),
    by: Sequence[str] = (),
    only: Sequence[str] = (),
    threads: int | None = None,
) -> Measured:
    """Measure the pictures of the last plan that was rendered into `folder`; ledger: itself, by default the folder's.

    Raises as `folder_cells` and `measure_cells` do, which says what the others are.
    """
    folder = Path(folder)
    cells = folder_cells(folder, ledger).cells
    return measure_cells(cells, folder, against=against, by=by, only=only, threads=threads)


def plates_of(sheet: Sheet, cells: Cells, folder: Path, options: Options) -> Sequence[Plate]:
    """The pages with plots that `sheet` asks for, in its PDF alone; options: what its `plots_by` and `plots_against` are
    called. Raises as `measure_cells` does, and UsageError where nothing can be plotted."""
    if not sheet.plots or "pdf" not in sheet.formats:
        return ()
    from latentpress.measures.plot_plates import sheet_plates

    against, by = sheet.plots_against, sheet.plots_by
    return sheet_plates(measure_cells(cells, folder, against=against, by=by, only=sheet.only, options=options), sheet)
