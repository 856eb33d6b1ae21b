"""A sheet as LaTeX to be read by \\input: a grid of \\includegraphics, a caption, a table of the settings that all share.

Places are left to LaTeX, sizes but for that of the text too. Reads no picture.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import regex

from latentpress.sheets.caption import alt_of, filled, name_of, names_of, notes, values_of
from latentpress.sheets.cells import DONE, FAILED, Cell, Cells
from latentpress.sheets.grid import Grid, Key, Leaf, Panel, grid_of
from latentpress.sheets.spec import Sheet

_TOP = """\
% {what}
% In the preamble: \\usepackage[T1]{{fontenc}}, \\usepackage{{graphicx}}; here: \\input{{this file}}.
% Text beyond Latin asks for XeLaTeX or LuaLaTeX and a font that has it.
\\providecommand{{\\latentpresspictures}}{{{pictures}}} % where the pictures lie
\\ifdefined\\latentpresswidth\\else\\newlength{{\\latentpresswidth}}\\fi % of a picture
\\providecommand{{\\latentpressplace}}[2]{{% a place without a picture: its height as part of its width, and why
  \\fbox{{\\parbox[b][\\dimexpr#1\\latentpresswidth-2\\fboxsep-2\\fboxrule][c]%
    {{\\dimexpr\\latentpresswidth-2\\fboxsep-2\\fboxrule}}{{\\centering #2}}}}}}
"""
_ESCAPED = {char: f"\\{char}" for char in "{}$&#_%"} | {
    "\\": "\\textbackslash{}",
    "^": "\\textasciicircum{}",
    "~": "\\textasciitilde{}",
    "<": "\\textless{}",
    ">": "\\textgreater{}",
    "|": "\\textbar{}",
    '"': "\\textquotedbl{}",
    "`": "\\textasciigrave{}",
    "'": "\\textquotesingle{}",
}
# What TeX reads as more than a character wherever it stands.
_UNREADABLE = frozenset("\\{}#%")
# Of a line of text, in em: what the heads of rows get of its width.
_HEAD = 5
# Millimetres: a figure wider than this takes both columns.
_COLUMN = 100
_PLACES = {"waiting": "not rendered yet", "missing": "file is gone"}


@dataclass(frozen=True)
class Latex:
    """said: what whoever compiles it should know, a sentence each."""

    tex: str
    said: tuple[str, ...]


def latex_source(cells: Cells, sheet: Sheet, *, pictures: str = ".") -> Latex:
    """The LaTeX of a sheet; pictures: their folder as seen from where LaTeX runs. Raises UsageError as the layout does."""
    grid = grid_of(cells, sheet)
    shown = list(grid.cells)
    what = _escaped(f"Made by latentpress of {cells.name}, plan {cells.plan_hash}")
    parts = [_TOP.format(what=what, pictures=f"\\detokenize{{{pictures}}}")]
    for number, leaf in enumerate(grid.leaves, 1):
        parts += _figure(cells, grid, leaf, number)
    parts += _settings(cells, grid, shown)
    odd = [str(cell.output) for cell in shown if cell.state == DONE and not _UNREADABLE.isdisjoint(str(cell.output))]
    said = (
        [f"LaTeX cannot read a picture whose name has one of \\ {{ }} # %, such as {odd[0]}; rename it"] if odd else []
    )
    tex = "\n".join(parts) + "\n"
    if beyond := regex.search(r"[^\p{Latin}\p{Common}\p{Inherited}]", tex):
        said.append(
            f"pdfLaTeX cannot set text such as {beyond[0]}; compile with XeLaTeX or LuaLaTeX and a font that has it"
        )
    return Latex(tex, tuple(said))


def _figure(cells: Cells, grid: Grid, leaf: Leaf, number: int) -> Iterator[str]:
    sheet, count = grid.sheet, len(grid.leaves)
    kind = "figure" if sheet.width is not None and sheet.width < _COLUMN else "figure*"
    heads = len(sheet.rows) * _HEAD
    size = sheet.points
    yield f"\n\\begin{{{kind}}}[tp]\n  \\centering\\fontsize{{{size:g}}}{{{size * 1.2:g}}}\\selectfont"
    yield "  \\setlength{\\tabcolsep}{1pt}\\setlength{\\fboxsep}{1pt}\\renewcommand{\\arraystretch}{0}"
    room = f"\\linewidth-{heads}em-{2 * (len(grid.columns) + len(sheet.rows))}\\tabcolsep"
    yield f"  \\setlength{{\\latentpresswidth}}{{\\dimexpr({room})/{len(grid.columns)}\\relax}}"
    for panel in leaf.panels:
        yield from _panel(grid, panel)
    caption = sheet.caption or sheet.title or alt_of(cells, grid, leaf)
    words = [filled(caption, cells, grid, leaf, number, count) if sheet.caption or sheet.title else caption]
    if leaf.key:
        words.append(f"{values_of(sheet.pages, leaf.key, sheet)}.")
    words += notes(grid, leaf, fitted=False)
    yield f"  \\caption{{{_escaped(' '.join(words))}}}"
    yield f"  \\label{{fig:{_label(sheet.name)}{f'-{number}' if count > 1 else ''}}}\n\\end{{{kind}}}"


def _panel(grid: Grid, panel: Panel) -> Iterator[str]:
    sheet = grid.sheet
    title = " ".join(
        part
        for part in (f"({panel.letter})" if panel.letter else "", values_of(sheet.panels, panel.key, sheet))
        if part
    )
    if title:
        yield f"  {_strut(_escaped(title))}\\par"
    yield f"  \\begin{{tabular}}{{@{{}}{'r' * len(sheet.rows)}*{{{len(grid.columns)}}}{{c}}@{{}}}}"
    if sheet.columns and sheet.axis_names is not False:
        name = _bold(names_of(sheet.columns, sheet))
        yield f"    {'& ' * len(sheet.rows)}\\multicolumn{{{len(grid.columns)}}}{{c}}{{{name}}} \\\\"
    for depth in range(len(sheet.columns)):
        names = (
            sheet.rows if depth == len(sheet.columns) - 1 and sheet.axis_names is not False else ("",) * len(sheet.rows)
        )
        heads = [_bold(name_of(name, sheet)) if name else "" for name in names]
        yield f"    {' & '.join([*heads, *_spans(grid.columns, depth)])} \\\\"
    before: Key | None = None
    for row in grid.rows:
        heads = [_head(text, new=before is None or before[: at + 1] != row[: at + 1]) for at, text in enumerate(row)]
        found = [panel.cells.get((row, column)) for column in grid.columns]
        shape = max((cell.height / cell.width for cell in found if cell is not None), default=1.0)
        places = [_place(cell, shape) for cell in found]
        yield f"    {' & '.join([*heads, *places])} \\\\[1pt]"
        before = row
    yield "  \\end{tabular}\\par"


def _spans(columns: Sequence[Key], depth: int) -> Iterator[str]:
    """The heads of columns at one depth, each over all that share it."""
    at = 0
    while at < len(columns):
        end = at + 1
        while end < len(columns) and columns[end][: depth + 1] == columns[at][: depth + 1]:
            end += 1
        text = _strut(_escaped(columns[at][depth]))
        box = f"\\parbox[b]{{{end - at}\\latentpresswidth}}{{\\centering {text}}}"
        yield box if end == at + 1 else f"\\multicolumn{{{end - at}}}{{c}}{{{box}}}"
        at = end


def _head(text: str, *, new: bool) -> str:
    return (
        f"\\raisebox{{.5\\latentpresswidth}}{{\\parbox{{{_HEAD}em}}{{\\raggedleft {_strut(_escaped(text))}}}}}"
        if new
        else ""
    )


def _place(cell: Cell | None, shape: float) -> str:
    if cell is None:
        return f"\\latentpressplace{{{shape:.4g}}}{{not in the matrix}}"
    if cell.state == DONE:
        alt = f"alt={{{_escaped(cell.alt)}}}" if cell.alt else ""
        options = ",".join(part for part in ("width=\\latentpresswidth", alt) if part)
        return f"\\includegraphics[{options}]{{\\latentpresspictures/\\detokenize{{{cell.output}}}}}"
    why = f"failed: {cell.reason}" if cell.state == FAILED else _PLACES.get(cell.state, cell.state)
    return f"\\latentpressplace{{{cell.height / cell.width:.4g}}}{{{_escaped(why)}}}"


def _settings(cells: Cells, grid: Grid, shown: Sequence[Cell]) -> Iterator[str]:
    """What all pictures have in common, and by which axes they differ."""
    sheet = grid.sheet
    rows: dict[str, str] = {}
    for name in ("prompt", "negative_prompt", "seed"):
        values = {str(getattr(cell, name)) for cell in shown}
        if len(values) == 1 and (value := values.pop()):
            rows[name] = value
    for key in shown[0].labels:
        values = list(dict.fromkeys(cell.labels.get(key, "") for cell in shown))
        if len(values) == 1 and values[0]:
            rows.setdefault(key, values[0])
        elif key in cells.axes:
            rows[key] = f"{len(values)} values"
    rows["plan"] = cells.plan_hash[:12]
    yield "\n\\begin{table}[tp]\n  \\centering\n  \\caption{Settings of the pictures.}"
    yield f"  \\label{{tab:{_label(sheet.name)}}}\n  \\begin{{tabular}}{{@{{}}lp{{.7\\linewidth}}@{{}}}}\n    \\hline"
    yield from (f"    {_escaped(name_of(key, sheet))} & {_escaped(value)} \\\\" for key, value in rows.items())
    yield "    \\hline\n  \\end{tabular}\n\\end{table}"


def _escaped(text: str) -> str:
    """`text` as LaTeX sets it letter by letter, in one paragraph."""
    return "".join(_ESCAPED.get(char, char) for char in " ".join(text.split()) if char.isprintable())


def _bold(text: str) -> str:
    return f"\\textbf{{{_strut(_escaped(text))}}}"


def _strut(text: str) -> str:
    """`text` with room above and below, which rows of pictures do without."""
    return f"\\strut {text}"


def _label(name: str) -> str:
    return "".join(char if char.isalnum() and char.isascii() else "-" for char in name) or "sheet"
