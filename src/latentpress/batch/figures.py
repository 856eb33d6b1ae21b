"""Draws a figure of a folder's pictures into files anywhere, and only reads the folder: also while a render goes on."""

import os
from collections.abc import Sequence
from dataclasses import replace as changed
from pathlib import Path

from latentpress.batch.cells import check_last, folder_cells
from latentpress.batch.measured import plates_of
from latentpress.batch.place import LEDGER
from latentpress.batch.sheets import SheetsDrawn
from latentpress.errors import UsageError
from latentpress.files import replacing
from latentpress.measures.cells import OPTIONS
from latentpress.sheets.draw import check_packages, drawn
from latentpress.sheets.options import format_of
from latentpress.sheets.spec import Sheet


def draw_figure(
    folder: Path,
    home: Path | None,
    sheet: Sheet,
    files: Sequence[Path],
    *,
    key: str | None = None,
    replace: bool = False,
) -> SheetsDrawn:
    """Draw `sheet` into `files`, each of a format by its ending; of several pages each has a file, but for documents.

    home: where the ledger lies, None for where the folder has it; key: the manifest whose plan it must be, None for any;
    replace: write over what is there. Raises UsageError for names that are taken and for another manifest's plan, and as
    `folder_cells`, `plates_of` and `drawn` do; nothing is written then.
    """
    if home is not None and not (home / LEDGER).exists():
        home = None
    found = folder_cells(folder, home / LEDGER if home else None)
    check_last(folder, found.manifest, key)
    cells = found.cells
    for path in files:
        _check(path, replace)
    plans = [changed(sheet, name=path.stem, formats=(format_of(path.suffix) or "png",)) for path in files]
    check_packages(plans)
    # Measured once, however many PDFs there are.
    more = plates_of(next((one for one in plans if "pdf" in one.formats), sheet), cells, folder, OPTIONS)
    paths: list[Path] = []
    said: list[str] = []
    for path, one in zip(files, plans, strict=True):
        made = drawn(cells, one, folder, path.parent, more)
        # As it was written: .tiff stays .tiff.
        contents = {path.with_name(Path(name).stem + path.suffix): content for name, content in made.files.items()}
        for target in contents:
            _check(target, replace)
        for target, content in contents.items():
            with replacing(target) as temporary:
                temporary.write_bytes(content)
                _check(target, replace)
            paths.append(target)
        said += [f"warning: {line}" for line in made.said]
    return SheetsDrawn(tuple(paths), tuple(dict.fromkeys(said)), cells)


def _check(path: Path, replace: bool) -> None:
    if os.path.lexists(path) and not (replace and path.is_file()):
        raise UsageError(f"-o {path}: exists already; give another name, or --replace to write over a file")
    if not path.parent.is_dir():
        raise UsageError(f"-o {path}: there is no folder {path.parent}; make it first")
