"""A plot as a file of its own, by matplotlib. The same numbers give the same bytes."""

import io
import logging
import warnings
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import regex

from latentpress.measures.plot import Plot
from latentpress.measures.plot_figure import PANEL_WIDTH, POINTS, built, side_of
from latentpress.measures.plot_fonts import LOST, families
from latentpress.sheets.text.fonts import Fonts, clusters, fonts_of

PANELS_A_ROW = 3
_LETTERS_OF_A_LABEL = 40
# Line breaks, controls, halves of pairs, and what XML has no way to write.
_UNWRITABLE = regex.compile(r"[\p{Cc}\p{Cs}\p{Zl}\p{Zp}\uFFFE\uFFFF]")


def plot_bytes(plot: Plot, kind: str, fonts: Fonts | None = None) -> tuple[bytes, list[str]]:
    """The plot's file of a kind in KINDS, and sentences about what it lacks: characters that no font has."""
    shown = in_lines(plot)
    # Numbers have the minus sign of typography.
    texts = [shown.title, shown.axes, *shown.labels, *(panel.title for panel in shown.panels), "0123456789.−", LOST]
    found = families("\n".join(texts), fonts or fonts_of(), named=kind == "svg")
    across = min(PANELS_A_ROW, len(plot.panels))
    said: dict[str, str | None] = {"Title": shown.title, "Subject" if kind == "pdf" else "Description": shown.alt}
    said |= {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(kind, {})
    with settings(found.names, POINTS):
        figure = built(shown, side_of(shown) + PANEL_WIDTH * across, across, POINTS, found.kept).figure
        return saved(figure, kind, said), list(found.said)


def saved(figure: Any, kind: str, said: dict[str, str | None]) -> bytes:
    """The file of matplotlib's `figure`; said: what it says of itself."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind, dpi=150, metadata=said)
    return buffer.getvalue()


@contextmanager
def settings(names: Sequence[str], points: float) -> Generator[None]:
    """matplotlib's, for the while; what it says of fonts and glyphs is said in one sentence of ours."""
    import matplotlib as mpl

    wanted: dict[Any, Any] = {"font.family": list(names), "font.size": points, "pdf.fonttype": 42}
    wanted |= {"svg.fonttype": "none", "svg.hashsalt": "latentpress"}
    logger = logging.getLogger("matplotlib.font_manager")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with mpl.rc_context(wanted), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Glyph ")
            yield
    finally:
        logger.setLevel(level)


def in_lines(plot: Plot) -> Plot:
    """The plot with every text in one line, and labels that leave room for dots."""
    panels = [replace(panel, title=_line(panel.title)) for panel in plot.panels]
    labels = [_short(_line(label)) for label in plot.labels]
    return replace(plot, title=_line(plot.title), axes=_line(plot.axes), labels=labels, panels=panels)


def _line(text: str) -> str:
    """`text` with what no line can hold as escapes; joiners, by which an emoji is put together, are left."""
    return _UNWRITABLE.sub(lambda found: repr(found[0])[1:-1], text)


def _short(label: str) -> str:
    parts = clusters(label)
    return label if len(parts) <= _LETTERS_OF_A_LABEL else "".join(parts[: _LETTERS_OF_A_LABEL - 1]) + "…"
