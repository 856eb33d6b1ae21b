"""Writes the gallery of one or more output folders into a folder of its own, from their ledgers and pictures alone.

Nothing outside that folder is touched, and what lies in it is replaced whole, file by file; a render may be going on.
What has not changed since an earlier gallery is not written again. Pictures are linked, not copied.
"""

import contextlib
import fcntl
import os
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path

from latentpress.batch.cells import folder_cells
from latentpress.errors import OutputLocked, UsageError
from latentpress.files import OWN_FOLDER, make_folders, read_regular, write_durably
from latentpress.gallery.data import Source, gallery_script, what_differs
from latentpress.gallery.measures import NOTHING, PLOTS, Asked, Section, measures_section
from latentpress.gallery.thumbs import Wanted, make_thumbnails, remove_unused
from latentpress.sheets.cells import DONE, MISSING

PAGE = "index.html"
# By this a folder is known as a gallery's, in which a later one may write.
MARK = '<meta name="generator" content="latentpress gallery">'
# One classic script, for modules cannot be loaded from the disk; its parts, in this order.
_PARTS = ("start.js", "model.js", "loading.js", "cells.js", "grid.js", "zoom.js", "viewer.js", "controls.js", "main.js")
_MOST_BYTES = 1 << 30


@dataclass(frozen=True)
class Made:
    """A gallery that was written. page: its file; counts: state -> cells, `missing` with what cannot be shown;
    thumbnails: pictures made small now; removed: of earlier ones; faults: (file, why) of pictures that are done and cannot
    be shown; said: what to know of its plots, and of folders that differ, a sentence each."""

    page: Path
    counts: dict[str, int]
    thumbnails: int
    removed: int
    faults: list[tuple[Path, str]]
    said: tuple[str, ...] = ()

    def data(self) -> dict[str, object]:
        """The same for scripts; docs/schemas/gallery.json."""
        return {
            "page": str(self.page),
            "counts": self.counts,
            "thumbnails": self.thumbnails,
            "removed": self.removed,
            "faults": [{"file": str(path), "reason": why} for path, why in self.faults],
            "notes": self.said,
        }


def make_gallery(
    folders: Sequence[Path],
    home: Path | None = None,
    ledger: Path | None = None,
    report: Callable[[int, int], None] = lambda done, total: None,
    measures: Asked | None = None,
) -> Made:
    """Write the gallery of `folders` into `home`, by default `.latentpress/gallery` of the first.

    ledger: of the first folder, the file itself, where it lies elsewhere; report: told of thumbnails, as they are made,
    their count and how many there are to make; measures: what numbers stand above the grid, None for none. Raises UsageError
    where there is no plan to show or `home` is no gallery's, as measuring does, ModuleNotFoundError without matplotlib,
    OutputLocked where another process writes it, OSError where it cannot be written.
    """
    _check_folders(folders)
    home = home or folders[0] / OWN_FOLDER / "gallery"
    _check_home(home)
    sources = [
        _source(folder, name, ledger if number == 0 else None) for number, (folder, name) in enumerate(_named(folders))
    ]
    section = measures_section(_named(folders), measures, ledger) if measures else NOTHING
    make_folders(home)
    with _alone(home):
        return _written(sources, home, report, section)


def page_files(measures: str = "") -> dict[str, bytes]:
    """What a gallery has beside data and thumbnails, as the package holds it; measures: HTML that stands above the grid."""
    folder = files("latentpress.gallery") / "page"
    parts = "\n".join((folder / part).read_text("utf-8") for part in _PARTS)
    script = f'"use strict";\n(() => {{\n{parts}}})();\n'
    return {
        "gallery.css": (folder / "gallery.css").read_bytes(),
        "gallery.js": script.encode(),
        PAGE: (folder / PAGE)
        .read_bytes()
        .replace(b"<!-- MARK -->", MARK.encode())
        .replace(b"<!-- MEASURES -->", measures.encode(errors="replace")),
    }


def _written(sources: list[Source], home: Path, report: Callable[[int, int], None], section: Section) -> Made:
    wanted: dict[str, Wanted] = {}
    for source in sources:
        for cell in source.cells.cells:
            if cell.state == DONE and cell.pixel_sha256:
                one = wanted.setdefault(cell.pixel_sha256, Wanted(cell.pixel_sha256, cell.width, cell.height, []))
                one.paths.append(source.folder / cell.output)
    made, faults = make_thumbnails(wanted.values(), home, report)
    told = faults | {
        source.folder / cell.output: cell.reason
        for source in sources
        for cell in source.cells.cells
        if cell.state == MISSING and cell.reason
    }
    shown = [_with_faults(source, faults) for source in sources]
    for name, content in (section.files | page_files(section.html)).items():
        _write(home / name, content)
    _write(home / "data.js", gallery_script(shown, home))
    removed = remove_unused(wanted, home)
    for path in set(home.glob(PLOTS)) - {home / name for name in section.files}:
        path.unlink()
    differ = [f"note: {line}" for line in what_differs(sources).said]
    return Made(
        home / PAGE,
        _counts(shown),
        made,
        removed,
        [(path, f"the {why}") for path, why in sorted(told.items())],
        (*section.said, *differ),
    )


def _check_folders(folders: Sequence[Path]) -> None:
    resolved = [folder.resolve() for folder in folders]
    for number, folder in enumerate(resolved):
        if folder in resolved[:number]:
            raise UsageError(f"{folders[number]}: is named twice; a gallery shows different folders beside each other")


def _check_home(home: Path) -> None:
    """Raise UsageError where something else than an earlier gallery lies."""
    if not os.path.lexists(home):
        return
    if not home.is_dir():
        raise UsageError(f"{home}: is there, and is no folder; name another place with -o")
    if not any(home.iterdir()):
        return
    try:
        if MARK.encode() in read_regular(home / PAGE, _MOST_BYTES)[:4096]:
            return
    except OSError:
        pass
    # What a gallery that was killed before it had a page has written is this alone.
    if {entry.name for entry in home.iterdir()} == {"thumbs"} and (home / "thumbs").is_dir():
        return
    raise UsageError(f"{home}: holds something else than a gallery; name another folder with -o")


@contextlib.contextmanager
def _alone(home: Path) -> Generator[None]:
    """Within, no other process writes a gallery into `home`; where the file system knows no locks, that is hoped."""
    descriptor = os.open(home, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise OutputLocked(f"{home}: another process writes this gallery; wait for it to end") from None
    except OSError:
        pass
    try:
        yield
    finally:
        os.close(descriptor)


def _named(folders: Sequence[Path]) -> list[tuple[Path, str]]:
    """Each folder with what the page calls it: its name, or as much of its path as tells it apart."""
    paths = [folder.resolve() for folder in folders]
    depth = 1
    while len({path.parts[-depth:] for path in paths}) < len(paths):
        depth += 1
    return [(folder, "/".join(path.parts[-depth:])) for folder, path in zip(folders, paths, strict=True)]


def _source(folder: Path, name: str, ledger: Path | None) -> Source:
    found = folder_cells(folder, ledger)
    sheet = found.sheets[0] if found.sheets else None
    rows, columns = (sheet.rows[:1], sheet.columns[:1]) if sheet else ((), ())
    return Source(folder, name, found.cells, "".join(rows), "".join(columns))


def _with_faults(source: Source, faults: dict[Path, str]) -> Source:
    inside = {path: why for path, why in faults.items() if path.is_relative_to(source.folder)}
    return replace(source, faults={path.relative_to(source.folder).as_posix(): why for path, why in inside.items()})


def _counts(sources: Sequence[Source]) -> dict[str, int]:
    counts = {"done": 0, "failed": 0, "waiting": 0, "missing": 0}
    for source in sources:
        for cell in source.cells.cells:
            fault = cell.state == DONE and str(cell.output) in (source.faults or {})
            counts["missing" if fault else cell.state] += 1
    return counts


def _write(path: Path, content: bytes) -> None:
    """Write what is not there already."""
    try:
        if read_regular(path, _MOST_BYTES) == content:
            return
    except OSError:
        pass
    write_durably(path, content)
