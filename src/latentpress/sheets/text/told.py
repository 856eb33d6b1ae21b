"""What is to be said of characters of pages: those that no font has, those in colours, and those of an unusable font."""

from collections.abc import Sequence

from latentpress.errors import one_line
from latentpress.sheets.page import Page
from latentpress.sheets.text.fonts import Font, Fonts, bundled, clusters

_LISTED = 12


def lost(pages: Sequence[Page], fonts: Fonts) -> list[str]:
    """A sentence on the characters that no font has, each of which is shown as a question mark in a diamond; or none."""
    names = fonts.missing("".join(text.whole for page in pages for text in page.texts))
    return (
        [f"no font here has {_listed(names)}; install one that has, or name one as the sheet's font"] if names else []
    )


def coloured(pages: Sequence[Page], fonts: Fonts) -> list[str]:
    """A sentence on what is set in fonts of coloured glyphs, which a PDF holds as Type 3; or none."""
    found = dict.fromkeys(cluster for page in pages for text in page.texts for cluster in clusters(text.whole))
    names = [cluster for cluster in found if (font := fonts.pick(cluster)) is not None and font.coloured]
    return [f"coloured glyphs are Type 3 fonts, which some publishers refuse: {_listed(names)}"] if names else []


def unusable(font: Font, text: str) -> str | None:
    """A sentence on what a PDF sets in the bundled font, since it cannot use `font`; None where that is blank."""
    names = [cluster for cluster in dict.fromkeys(clusters(text)) if not cluster.isspace()]
    if not names:
        return None
    instead = bundled()[0]
    gone = [name for name in names if not instead.has(name)]
    more = f", which lacks {_listed(gone)}" if gone else ""
    return f"typst cannot use the font {font.path}, so the PDF has {_listed(names)} in {instead.family}{more}"


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(f"{name if len(name) > 1 else one_line(name)} (U+{ord(name[0]):04X})" for name in names[:_LISTED])
    return shown + (f" and {len(names) - _LISTED} more" if len(names) > _LISTED else "")
