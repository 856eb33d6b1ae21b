"""Which fonts matplotlib sets the words of a plot in: those that sheets choose, as far as it can read them.

It reads no fonts of coloured bitmaps, such as most of emoji: another one that has the character takes its place. An SVG
names fonts and holds none, so there the coloured one is named.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from latentpress.sheets.text.fonts import Font, Fonts, clusters

# What stands for a character that no font has, as in sheets.
LOST = "\ufffd"
_OWN = "DejaVu Sans"  # it comes with matplotlib
_NAMED = 12


@dataclass(frozen=True)
class Families:
    """names: of `fonts`, as matplotlib calls them, in order; lost: what none has; said: the same in a sentence, if any."""

    names: tuple[str, ...]
    fonts: tuple[Font, ...]
    lost: frozenset[str]
    said: tuple[str, ...]

    def kept(self, text: str) -> str:
        """`text` with a mark in place of each character that no font has."""
        return "".join(LOST if one in self.lost else one for one in clusters(text)) if self.lost else text


def families(text: str, fonts: Fonts, *, named: bool) -> Families:
    """Those for `text`. named: fonts are named alone, so that one that matplotlib cannot read will do."""
    from matplotlib import get_data_path

    own = Font(Path(get_data_path()) / "fonts/ttf/DejaVuSans.ttf", 0, _OWN)
    names: dict[str, Font] = {}
    lost: dict[str, None] = {}
    for cluster in dict.fromkeys(one for one in clusters(text) if one != "\n"):
        for font in _having(cluster, fonts, own):
            if (name := _readable(font) or (font.family if named else None)) is not None:
                names.setdefault(name, font)
                break
        else:
            lost[cluster] = None
    said = f"warning: no font that a plot can be set in has {_listed(list(lost))}; each is shown as {LOST}"
    names.setdefault(_OWN, own)
    return Families(tuple(names), tuple(names.values()), frozenset(lost), (said,) if lost else ())


def _listed(some: list[str]) -> str:
    listed = ", ".join(f"{one} (U+{ord(one[0]):04X})" for one in some[:_NAMED])
    return listed + (f" and {len(some) - _NAMED} more" if len(some) > _NAMED else "")


def _having(cluster: str, fonts: Fonts, own: Font) -> Iterator[Font]:
    """The fonts that have `cluster`, the one that sheets set it in first."""
    if (first := fonts.pick(cluster)) is not None:
        yield first
    if own.has(cluster):
        yield own
    if first is not None:
        yield from (faces[0] for faces in fonts.families if faces[0] is not first and faces[0].has(cluster))


def _readable(font: Font) -> str | None:
    """What matplotlib calls `font`; None where it cannot draw with it."""
    from matplotlib import font_manager

    if font.coloured:
        return None
    known, path = font_manager.fontManager, str(font.path)
    if not any(entry.fname == path for entry in known.ttflist):
        try:
            known.addfont(path)
        except (OSError, RuntimeError):
            return None
    # Before matplotlib 3.11 of a collection the first face alone.
    faces = {getattr(entry, "index", 0): entry.name for entry in known.ttflist if entry.fname == path}
    return faces.get(font.index, next(iter(faces.values())))
