"""How much room a line of text takes, shaped by HarfBuzz as the painters' programs shape it."""

from functools import lru_cache
from typing import Any

from latentpress.sheets.text.fonts import Font, Fonts, fonts_of, hb
from latentpress.sheets.text.runs import Run, runs
from latentpress.sheets.text.shown import shown

_MM_PER_PT = 25.4 / 72
_KEPT = 100_000


class Measure:
    """Sizes in points, answers in millimetres. font: as `fonts_of` takes it."""

    def __init__(self, font: str | None = None) -> None:
        self.fonts: Fonts = fonts_of(font)
        extents = self.fonts.first.shaper.get_font_extents("ltr")
        units = self.fonts.first.units
        # Noto Sans has room above and below for accents on capitals; a font that names less gets as much.
        self._ascent = max(extents.ascender / units, 1.069)
        self._descent = max(-extents.descender / units, 0.293)
        self._kept = lru_cache(_KEPT)(self._ems)
        self._seen = lru_cache(_KEPT)(lambda text: shown(text, self.fonts))

    def shown(self, text: str) -> str:
        """What painters set of one line of text; of that, the same."""
        return self._seen(text)

    def width(self, text: str, size: float, *, bold: bool = False) -> float:
        """The advance of one line of text, shaped."""
        return self._kept(text, bold) * size * _MM_PER_PT

    def ascent(self, size: float, *, bold: bool = False) -> float:
        """From the top of a line to its baseline, whatever script it is in."""
        return self._ascent * size * _MM_PER_PT

    def line_height(self, size: float, *, bold: bool = False) -> float:
        """From the top of a line to the top of the next."""
        return (self._ascent + self._descent) * size * _MM_PER_PT

    def _ems(self, text: str, bold: bool) -> float:
        return sum(advance(run) for run in runs(self.shown(text), self.fonts, bold=bold))


def advance(run: Run) -> float:
    """How far a run moves the pen, in ems."""
    return (
        sum(position.x_advance for position in shaped(run.text, run.font, rtl=run.rtl).glyph_positions) / run.font.units
    )


def shaped(text: str, font: Font, *, rtl: bool = False) -> Any:
    """The glyphs of `text` and where they stand, in units of the font."""
    buffer = hb.Buffer()
    buffer.add_str(text)
    buffer.guess_segment_properties()
    buffer.direction = "rtl" if rtl else "ltr"
    hb.shape(font.shaper, buffer)
    return buffer
