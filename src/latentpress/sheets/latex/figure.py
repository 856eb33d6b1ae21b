"""A sheet as LaTeX to be read by \\input: grids of \\includegraphics, captions, a table of the settings that all share.

Places are left to LaTeX, sizes but for that of the text too. Reads no picture.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from latentpress.sheets.caption import alt_of, filled, name_of, names_of, notes, values_of
from latentpress.sheets.cells import DONE, EXCLUDED, FAILED, MISSING, WAITING, Cell, Cells
from latentpress.sheets.grid import Grid, Key, Leaf, grid_of
from latentpress.sheets.key import mark_of, words_of
from latentpress.sheets.latex.blocks import GAP, LEADING, TURNED_MOST, Block, Blocks
from latentpress.sheets.latex.settings import settings
from latentpress.sheets.latex.words import OVERLONG_WORD, breakable, ems, escaped, named, unset
from latentpress.sheets.spec import Sheet
from latentpress.sheets.text.shown import visible

_TOP = r"""% {what}
% In the preamble: \usepackage[T1]{{fontenc}}, \usepackage{{graphicx}}; here: \input{{this file}}.
% The pictures lie in {folder} as seen from this file, or where \newcommand{{\latentpresspictures}}{{FOLDER}} says.
% \newcommand{{\latentpressheight}}{{LENGTH}}: a figure is at most so high without its caption.
\providecommand{{\latentpressheight}}{{.8\textheight}}
\ifdefined\latentpresspictures\let\latentpressfrom\latentpresspictures\else
  \edef\latentpressfrom{{{pictures}}}
  \ifdefined\CurrentFilePath\ifx\CurrentFilePath\empty\else
    \edef\latentpressfrom{{\CurrentFilePath/{pictures}}}
  \fi\fi
\fi
\ifdefined\latentpresswidth\else\newlength{{\latentpresswidth}}\newlength{{\latentpressmost}}\fi % of a picture
\providecommand{{\lpbreak}}{{\penalty300\hskip0pt\relax}}% within a word, where nothing else helps
\providecommand{{\latentpressplace}}[4]{{% a place without a picture: height to width, its mark, what it is, why
  \begingroup\fontsize{{{small}}}{{{leading}}}\selectfont
  \dimen0=\dimexpr\latentpresswidth-2\fboxsep-2\fboxrule\relax
  \dimen2=\dimexpr#1\latentpresswidth-2\fboxsep-2\fboxrule\relax
  \setbox0=\hbox{{\parbox{{\dimen0}}{{\centering\hfuzz=\maxdimen\strut #3#4\strut}}}}%
  \ifdim\dimexpr\ht0+\dp0\relax>\dimen2 \setbox0=\hbox{{\parbox{{\dimen0}}{{\centering\hfuzz=\maxdimen\strut #3\strut}}}}\fi
  \setbox2=\hbox{{rendered}}\dimen4=\dimexpr\ht0+\dp0\relax
  \ifdim\wd2>\dimen0 \dimen4=\maxdimen\fi % the longest word of what it is
  \ifdim\dimen4>\dimen2 \gdef\latentpresssmall{{1}}\setbox0=\hbox to\dimen0{{\hss #2\hss}}\fi
  \raisebox{{\dimexpr\fboxsep+\fboxrule\relax}}{{\fbox{{\vbox to\dimen2{{\vss\box0\vss}}}}}}%
  \endgroup}}
"""
# The marks of places too small for words, as in the other formats but for the grey one.
_MARKS = {FAILED: "$\\times$", WAITING: "$\\cdots$", MISSING: "$/$", EXCLUDED: "--"}
# What TeX reads as more than a character wherever it stands.
_UNREADABLE = frozenset("\\{}#%")
# Comments, pictures with what is read out loud of them, and names of files.
_UNSET = re.compile(
    r"^%.*$|\\includegraphics\[.*?\]\{\\latentpressfrom/\\detokenize\{.*?\}\}|\\detokenize\{.*?\}", re.MULTILINE
)
# Millimetres: a figure wider than this takes both columns.
_COLUMN = 100
# Text in places without a picture, to that of labels.
_SMALL = 0.8


@dataclass(frozen=True)
class Latex:
    """said: what whoever compiles it should know, a sentence each."""

    tex: str
    said: tuple[str, ...]


def latex_source(cells: Cells, sheet: Sheet, *, pictures: str = ".") -> Latex:
    """The LaTeX of a sheet; pictures: their folder as seen from where the file will lie. Raises UsageError as the layout
    does."""
    grid = grid_of(cells, sheet)
    shown = list(grid.cells)
    what = escaped(f"Made by latentpress of {cells.name}, plan {cells.plan_hash}")
    small = sheet.points * _SMALL
    folder = visible(pictures)
    sizes = {"small": f"{small:g}", "leading": f"{small * LEADING:g}"}
    parts = [_TOP.format(what=what, folder=folder, pictures=f"\\detokenize{{{folder}}}", **sizes)]
    blocks = Blocks(grid)
    count = sum(map(len, blocks.figures))
    number = 0
    for leaf, figures in zip(grid.leaves, blocks.figures, strict=True):
        for part, figure in enumerate(figures, 1):
            number += 1
            words = _caption(cells, grid, leaf, (number, count), (part, len(figures)))
            parts += _figure(grid, leaf, blocks, figure, words, f"-{number}" if count > 1 else "")
    parts += settings(cells, grid, shown, _label(sheet.name))
    tex = "\n".join(parts) + "\n"
    return Latex(tex, tuple(_said(tex, shown, folder)))


def _said(tex: str, shown: Sequence[Cell], folder: str) -> Iterator[str]:
    names = [f"{folder}/{cell.output}" if folder != "." else str(cell.output) for cell in shown if cell.state == DONE]
    if odd := [name for name in names if not _UNREADABLE.isdisjoint(name)]:
        yield f"LaTeX cannot read a picture whose name has one of \\ {{ }} # %, such as {odd[0]}; rename it"
    if beyond := unset(_UNSET.sub("", tex)):
        yield f"pdfLaTeX cannot set {named(beyond)}; compile with XeLaTeX or LuaLaTeX and a font that has them"


def _caption(cells: Cells, grid: Grid, leaf: Leaf, of: tuple[int, int], part: tuple[int, int]) -> str:
    """of, part: number and count of the figure among all and among those of its leaf."""
    sheet = grid.sheet
    texts = [text for text in (sheet.title, sheet.caption) if text]
    words = [_ended(filled(text, cells, grid, leaf, *of)) for text in texts] or [alt_of(cells, grid, leaf)]
    if leaf.key:
        words.append(f"{values_of(sheet.pages, leaf.key, sheet)}.")
    if part[1] > 1:
        words.append(f"Part {part[0]} of {part[1]}.")
    return breakable(
        " ".join([*words, *(notes(grid, leaf, fitted=False) if part[0] == part[1] else ())]), OVERLONG_WORD
    )


def _ended(text: str) -> str:
    """With a full stop behind it, since more follows, unless it ends as a sentence does."""
    return text if not text or text.rstrip()[-1:] in ".!?:;。！？" else f"{text.rstrip()}."


def _figure(grid: Grid, leaf: Leaf, blocks: Blocks, figure: Sequence[Block], caption: str, label: str) -> Iterator[str]:
    sheet = grid.sheet
    kind = "figure" if sheet.width is not None and sheet.width < _COLUMN else "figure*"
    size, across, (pictures, rest) = sheet.points, blocks.across, blocks.limit
    yield f"\n\\begin{{{kind}}}[tp]\n  \\centering\\fontsize{{{size:g}}}{{{size * LEADING:g}}}\\selectfont"
    gaps = f"\\setlength{{\\tabcolsep}}{{{GAP / 2:g}pt}}\\setlength{{\\fboxsep}}{{1pt}}"
    yield f"  {gaps}\\renewcommand{{\\arraystretch}}{{0}}"
    room = f"\\linewidth-{sum(blocks.heads):.4g}em-{2 * (across + len(sheet.rows))}\\tabcolsep"
    yield f"  \\setlength{{\\latentpresswidth}}{{\\dimexpr({room})/{across}\\relax}}"
    # Whole numbers are what TeX divides by.
    high = f"(\\latentpressheight-{rest:.4g}pt)*100/{max(1, round(pictures * 100))}"
    yield f"  \\setlength{{\\latentpressmost}}{{\\dimexpr {high}\\relax}}"
    yield "  \\ifdim\\latentpressmost<\\latentpresswidth\\setlength{\\latentpresswidth}{\\latentpressmost}\\fi"
    yield "  \\gdef\\latentpresssmall{0}"
    for block in figure:
        yield from _block(grid, blocks, block)
    counts = grid.counts(leaf)
    words = words_of(grid.cells)
    key = "\\quad ".join(f"{_MARKS[state]}~{words[state]}" for state in words if counts.get(state))
    if key:
        yield f"  \\ifnum\\latentpresssmall=1 \\strut {key}\\par\\fi"
    yield f"  \\caption{{{caption}}}\n  \\label{{fig:{_label(sheet.name)}{label}}}\n\\end{{{kind}}}"


def _block(grid: Grid, blocks: Blocks, block: Block) -> Iterator[str]:
    sheet, panel, count = grid.sheet, block.panel, len(block.columns)
    title = " ".join(
        part
        for part in (f"({panel.letter})" if panel.letter else "", values_of(sheet.panels, panel.key, sheet))
        if part
    )
    if title and block.titled:
        yield f"  {_strut(escaped(title))}\\par"
    yield f"  \\begin{{tabular}}{{@{{}}{'r' * len(sheet.rows)}*{{{count}}}{{c}}@{{}}}}"
    named_axes = sheet.axis_names is not False
    if sheet.columns and named_axes:
        name = _over(f"\\textbf{{{_strut(breakable(names_of(sheet.columns, sheet)))}}}", count)
        yield f"    {'& ' * len(sheet.rows)}\\multicolumn{{{count}}}{{c}}{{{name}}} \\\\"
    for depth in range(max(1, len(sheet.columns))):
        innermost = depth >= len(sheet.columns) - 1
        heads = [
            _row_name(name_of(key, sheet), wide) if innermost and named_axes else ""
            for key, wide in zip(sheet.rows, blocks.heads, strict=True)
        ]
        spans = _spans(block.columns, depth, turned=blocks.turned and innermost) if sheet.columns else [""] * count
        yield f"    {' & '.join([*heads, *spans])} \\\\"
    before: Key | None = None
    for row in block.rows:
        shape = blocks.shapes[row] or 1.0
        heads = [
            _head(text, wide, shape) if before is None or before[: at + 1] != row[: at + 1] else ""
            for at, (text, wide) in enumerate(zip(row, blocks.heads, strict=True))
        ]
        places = [_place(panel.cells.get((row, column)), shape) for column in block.columns]
        yield f"    {' & '.join([*heads, *places])} \\\\[1pt]"
        before = row
    yield "  \\end{tabular}\\par"


def _spans(columns: Sequence[Key], depth: int, *, turned: bool) -> Iterator[str]:
    """The heads of columns at one depth, each over all that share it."""
    at = 0
    while at < len(columns):
        end = at + 1
        while end < len(columns) and columns[end][: depth + 1] == columns[at][: depth + 1]:
            end += 1
        text = _strut(breakable(columns[at][depth]))
        if turned:
            # A label that is longer than a turned one may be has several lines.
            if ems(columns[at][depth]) > TURNED_MOST:
                text = f"\\parbox{{{TURNED_MOST:g}em}}{{\\raggedright {text}}}"
            box = f"\\makebox[\\latentpresswidth]{{\\rotatebox{{90}}{{{text}}}}}"
        else:
            box = _over(text, end - at)
        yield box if end == at + 1 else f"\\multicolumn{{{end - at}}}{{c}}{{{box}}}"
        at = end


def _over(text: str, count: int) -> str:
    """`text` in lines over so many columns."""
    wide = f"\\dimexpr{count}\\latentpresswidth+{2 * (count - 1)}\\tabcolsep"
    return f"\\parbox[b]{{{wide}}}{{\\centering {text}}}"


def _row_name(text: str, wide: float) -> str:
    return f"\\parbox[b]{{{wide:.4g}em}}{{\\raggedleft\\textbf{{{_strut(breakable(text))}}}}}"


def _head(text: str, wide: float, shape: float) -> str:
    """A row's label, in the middle of its pictures' height: a \\parbox has its own a quarter of an em above the line."""
    box = f"\\parbox{{{wide:.4g}em}}{{\\raggedleft {_strut(breakable(text))}}}"
    return f"\\raisebox{{\\dimexpr{shape / 2:.4g}\\latentpresswidth-.25em}}{{{box}}}"


def _place(cell: Cell | None, shape: float) -> str:
    state = EXCLUDED if cell is None else cell.state
    if cell is not None and state == DONE and not _UNREADABLE.isdisjoint(str(cell.output)):
        # TeX would stop there, or never.
        ratio = cell.height / cell.width
        return f"\\latentpressplace{{{ratio:.4g}}}{{{_MARKS[MISSING]}}}{{file name that LaTeX cannot read}}{{}}"
    if cell is not None and state == DONE:
        alt = f"alt={{{escaped(cell.alt)}}}" if cell.alt else ""
        options = ",".join(part for part in ("width=\\latentpresswidth", alt) if part)
        return f"\\includegraphics[{options}]{{\\latentpressfrom/\\detokenize{{{cell.output}}}}}"
    ratio = shape if cell is None else cell.height / cell.width
    words, why = mark_of(cell)
    more = f": {breakable(why)}" if why else ""
    return f"\\latentpressplace{{{ratio:.4g}}}{{{_MARKS[state]}}}{{{words}}}{{{more}}}"


def _strut(text: str) -> str:
    """`text` with room above and below, which rows of pictures do without."""
    return f"\\strut {text}"


def _label(name: str) -> str:
    return "".join(char if char.isalnum() and char.isascii() else "-" for char in name) or "sheet"
