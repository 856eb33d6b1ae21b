"""What each sheet of a folder was last drawn from, so that it is drawn again only where something of that has changed.

It is kept beside the facts of the plan in the ledger, which a render of another plan makes anew.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from latentpress.batch.ledger.ledger import Ledger
from latentpress.batch.pictures.intact import Found, look, stamp_of
from latentpress.batch.plan.database import Database
from latentpress.batch.plan.sheet_facts import has_facts
from latentpress.sheets.cells import DONE, Cells
from latentpress.sheets.spec import TABLES, Sheet
from latentpress.version import __version__

# Under this, and the sheet's name, the ledger has it.
_DRAWN = "drawn "
# What paints, and what is asked how wide text is.
_PAINTERS = ("pillow", "typst", "uharfbuzz")
_PLOTTERS = ("matplotlib", "scikit-image")


@dataclass(frozen=True)
class Drawing:
    """files: name -> sha256; said: as `Drawn.said`."""

    files: Mapping[str, str]
    said: Sequence[str]


def origin_of(cells: Cells, sheet: Sheet, folder: Path) -> str:
    """A hash of all that decides what a sheet's files hold: cells, the pictures' files, the sheet, fonts, programs."""
    found = hashlib.sha256()
    programs = [*_PAINTERS, *(_PLOTTERS if sheet.plots else ())]
    for part in (__version__, *map(_version, programs), sheet, cells.name, cells.plan_hash, cells.axes, cells.date):
        found.update(f"{part!r}\n".encode(errors="surrogatepass"))
    for cell in cells.cells:
        stamp = _stamp(folder / cell.output) if cell.state == DONE else ""
        found.update(f"{cell!r} {stamp}\n".encode(errors="surrogatepass"))
    if not set(sheet.formats) <= set(TABLES):
        from latentpress.sheets.text.fonts import fonts_of

        for faces in fonts_of(sheet.font).families:
            found.update("".join(f"{face.path} {face.index} {_stamp(face.path)}\n" for face in faces).encode())
    return found.hexdigest()


def kept_drawing(ledger: Ledger, sheet: Sheet, origin: str, folder: Path) -> Drawing | None:
    """The files of `sheet`, where they were drawn from `origin` and are what was written then; else None."""
    row = ledger.one("SELECT value FROM facts WHERE fact=?", (_fact(sheet),))
    said = json.loads(row[0]) if row else {}
    if said.get("origin") != origin:
        return None
    for name, digest in said["files"].items():
        if look(f"{folder}/{name}", digest).found is not Found.WHOLE:
            return None
    return Drawing(said["files"], said["said"])


def keep_drawing(ledger: Ledger, sheet: Sheet, origin: str, files: Mapping[str, bytes], said: Sequence[str]) -> None:
    """Remember what `files` were drawn from."""
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    ledger.run("DELETE FROM facts WHERE fact=?", (_fact(sheet),))
    kept = json.dumps({"origin": origin, "files": sums, "said": list(said)})
    ledger.run("INSERT INTO facts VALUES (?, ?)", (_fact(sheet), kept))


def drawn_files(table: Database) -> set[str]:
    """The files that were drawn of the plan in `table`; those of a plan before it are not among them."""
    rows = table.answers("SELECT value FROM facts WHERE fact LIKE ?", (f"{_DRAWN}%",)) if has_facts(table) else ()
    return {name for (value,) in rows for name in json.loads(value)["files"]}


def _fact(sheet: Sheet) -> str:
    return f"{_DRAWN}{sheet.name}"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _stamp(path: Path) -> str:
    """What the file system says of a file; "" of none."""
    try:
        return stamp_of(path.stat())
    except OSError:
        return ""
