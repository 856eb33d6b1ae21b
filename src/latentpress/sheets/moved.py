"""The source of a sheet, LaTeX or Typst, for another place, from which the pictures are seen elsewhere. Reads no file."""

import re
from pathlib import PurePosixPath

from latentpress.sheets.text.shown import visible
from latentpress.sheets.typ import quoted

# The lines at the top of a source that say where the pictures are, as latex/figure.py and typ.py write them: what stands
# before, and behind.
_LINES = {
    ".tex": (
        re.compile(r"^(% The pictures lie in ).*?( as seen from this file, or where )", re.MULTILINE),
        re.compile(r"^( *\\edef\\latentpressfrom\{(?:\\CurrentFilePath/)?\\detokenize\{).*?(\}\})$", re.MULTILINE),
    ),
    ".typ": (re.compile(r"^(#let pictures = ).*?()$", re.MULTILINE),),
}
# With which what is shown begins.
_BODY = {".tex": "\\begin{figure", ".typ": "\n#page("}


def is_source(name: str) -> bool:
    """Whether a file of this name is a source, which names pictures that lie elsewhere."""
    return PurePosixPath(name).suffix in _LINES


def moved(text: str, name: str, pictures: str) -> str:
    """The source `name` for where its pictures are in the folder `pictures`, seen from it."""
    kind = PurePosixPath(name).suffix
    said = quoted(pictures) if kind == ".typ" else visible(pictures)
    top, first, rest = text.partition(_BODY[kind])
    for line in _LINES[kind]:
        top = line.sub(lambda found: f"{found[1]}{said}{found[2]}", top)
    return top + first + rest
