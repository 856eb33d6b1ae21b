"""Pages as one PDF with selectable text, through Typst: tagged, archivable, the same bytes every time.

It needs the package typst, the extra `figures`. Knows pages and a folder of pictures.
"""

import itertools
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from latentpress.errors import EnvironmentFailure, reason
from latentpress.sheets.cells import MISSING
from latentpress.sheets.page import Box, Mark, Page, Picture
from latentpress.sheets.plate import Plate
from latentpress.sheets.reduced import kept_suffix, place_reduced, too_coarse
from latentpress.sheets.text.fonts import Font, Fonts, bundled, fonts_of
from latentpress.sheets.text.runs import runs
from latentpress.sheets.text.told import coloured, lost, unusable
from latentpress.sheets.typ import About, source

# For archives and for screen readers. PDF/A-3b is PDF/A-2b that may hold any file: the record of the pictures is one.
# A document of no known date is for no archive.
PLAIN, WITH_RECORD, UNDATED = ("a-2b", "ua-1"), ("a-3b", "ua-1"), ("ua-1",)
RECORD = "latentpress.json"


@dataclass(frozen=True)
class Document:
    """said: what whoever prints or submits it should know, a sentence each."""

    pdf: bytes
    typ: str
    said: tuple[str, ...]


def pdf_document(
    pages: Sequence[Page],
    folder: Path,
    about: About,
    *,
    record: str = "",
    font: str | None = None,
    dpi: float | None = None,
    pictures: str = ".",
    standards: Sequence[str] | None = None,
    plates: Sequence[Plate] = (),
) -> Document:
    """The PDF of `pages` and its Typst source. ModuleNotFoundError without typst.

    folder: where the pictures lie; pictures: the same as seen from where the source will lie; record: JSON that the PDF
    embeds as a file; dpi: pictures with more dots than that get fewer; standards: by typst's names, None for PDF/A
    and PDF/UA; plates: drawings that follow in the PDF, and not in the source.
    """
    import typst

    if standards is None:
        standards = (WITH_RECORD if record else PLAIN) if about.date else UNDATED
    fonts = fonts_of(font)
    with tempfile.TemporaryDirectory(prefix="latentpress-") as kept:
        root = Path(kept)
        shown, said = _placed(pages, folder, root / "pictures", dpi)
        for count, plate in enumerate(plates):
            name = f"plate-{count}.svg"
            (root / "pictures" / name).write_bytes(plate.svg)
            shown.append(plate.with_drawing(name))
        if record:
            (root / RECORD).write_text(record, encoding="utf-8")
        used = _used([*pages, *shown], fonts)
        faces, families = _fonts(typst, list(used), root / "fonts")
        if unknown := [font for font in used if font not in families]:
            faces, families = _fonts(typst, list(dict.fromkeys([*families, *bundled()])), root / "more-fonts")
            families |= dict.fromkeys(unknown, families[bundled()[0]])
            said += (line for font in unknown if (line := unusable(font, used[font])))
        attached = RECORD if record else None
        text = source(shown, fonts, families, about, pictures="pictures", attached=attached)
        compiler = typst.Compiler(root=str(root), font_paths=faces, ignore_system_fonts=True)
        try:
            pdf = _compiled(compiler, text, standards)
        except typst.TypstError as error:
            # A standard forbids something that a label or a font has: the figure is worth more without than not at all.
            said.append(f"the PDF keeps to no standard of {', '.join(standards)}: {reason(error)}")
            try:
                pdf = _compiled(compiler, text, ())
            except typst.TypstError as worse:
                raise EnvironmentFailure(f"typst makes no PDF of the sheet ({reason(worse)})") from None
    beside = source(pages, fonts, families, about, pictures=pictures)
    return Document(pdf, beside, (*said, *_warnings([*pages, *(plate.page for plate in plates)], fonts, dpi)))


def _compiled(compiler: Any, text: str, standards: Sequence[str]) -> bytes:
    return compiler.compile(input=text.encode(), format="pdf", pdf_standards=list(standards), timestamp=0)


def _placed(pages: Sequence[Page], folder: Path, root: Path, dpi: float | None) -> tuple[list[Page], list[str]]:
    """Every picture below `root`, reduced; pages that name it there, and mark what cannot be read; what is said of that.

    Names are numbers there: a folder's may hold what Typst takes for something else, such as a backslash.
    """
    root.mkdir()
    said: list[str] = []
    count = itertools.count()

    def placed(box: Box) -> Box:
        if not isinstance(box, Picture):
            return box
        output = box.cell.output
        # A picture that stands at two places may be of two sizes.
        name = f"{next(count)}{kept_suffix(output)}"
        try:
            place_reduced(box, folder / output, root / name, dpi)
        except (OSError, SyntaxError, ValueError) as error:  # Pillow's for files that are torn
            said.append(f"{output}: cannot be read for the sheet ({reason(error)}); its place is marked")
            return Mark(box.rect, MISSING, box.cell, None)
        return Picture(box.rect, replace(box.cell, output=PurePosixPath(name), alt=box.cell.alt or str(output)))

    return [replace(page, boxes=tuple(map(placed, page.boxes))) for page in pages], said


def _used(pages: Sequence[Page], fonts: Fonts) -> dict[Font, str]:
    """The fonts that `pages` are set in, and what is set in each."""
    used = dict.fromkeys(fonts.families[0], "")
    for text in (text for page in pages for text in page.texts):
        for run in (run for line in text.lines for run in runs(line.text, fonts, bold=text.bold)):
            used[run.font] = used.get(run.font, "") + run.text
    return used


def _fonts(typst: Any, used: Sequence[Font], folder: Path) -> tuple[Any, dict[Font, str]]:
    """Typst's fonts, and what it calls each; one that it cannot use is not among them.

    They are those that are used and no others, so that no two of one family get in each other's way.
    """
    folder.mkdir()
    files = {path: f"{count}{path.suffix}" for count, path in enumerate(dict.fromkeys(font.path for font in used))}
    for path, name in files.items():
        target = folder / name
        try:
            target.symlink_to(path)
        except OSError:  # a system without links
            target.write_bytes(path.read_bytes())
    found = typst.Fonts(include_system_fonts=False, include_embedded_fonts=False, font_paths=[os.fspath(folder)])
    called = {(Path(face.path).resolve(), face.index): face.family for face in found.fonts()}
    places = {font: ((folder / files[font.path]).resolve(), font.index) for font in used}
    return found, {font: called[place] for font, place in places.items() if place in called}


def _warnings(pages: Sequence[Page], fonts: Fonts, dpi: float | None) -> list[str]:
    return [*(too_coarse(pages, dpi) if dpi else ()), *lost(pages, fonts), *coloured(pages, fonts)]
