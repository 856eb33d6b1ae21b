"""The table of the settings of a sheet's pictures: what makes them, and what they differ in, always in one order."""

import contextlib
from collections.abc import Iterator, Sequence

from latentpress.sheets.caption import name_of
from latentpress.sheets.cells import Cell, Cells
from latentpress.sheets.grid import Grid
from latentpress.sheets.latex.words import OVERLONG_WORD, breakable, ems, escaped, hashed

# What a reader looks for first; axes of other names follow, and then the plan.
_FIRST = (
    *("model", "prompt", "negative_prompt", "sampler", "steps", "guidance_scale", "seed", "size"),
    *("init_image", "mask_image", "strength", "loss"),
)
# They say nothing of how a picture is made.
_IDLE = {"id", "priority"}
_NOTHING = ("", "none")
# Values of an axis that are listed; a setting of more characters has no place in the caption.
_LISTED, _SHORT = 6, 40
# Between rules and rows, which tabular sets close.
_SPACE = "\\noalign{\\vskip3pt}"
# Of the names of settings, in em.
_HEAD_MOST = 9.0


def settings(cells: Cells, grid: Grid, shown: Sequence[Cell], label: str) -> Iterator[str]:
    """The table in LaTeX; label: by which it is referred to."""
    values = _values(shown)
    idle = _IDLE if "init_image" in values else {*_IDLE, "strength"}
    same = {key: found[0] for key, found in values.items() if len(found) == 1 and key not in idle}
    rows = [key for key in _FIRST if key in values and key not in idle]
    rows += [key for key in cells.axes if key in values and key not in (*rows, *same, *idle)]
    rows += [key for key, value in same.items() if key not in rows and len(value) > _SHORT]
    rest = [f"{name_of(key, grid.sheet)} {value}" for key, value in same.items() if key not in rows]
    caption = "Settings of the pictures." + (f" Besides: {', '.join(rest)}." if rest else "")
    yield f"\n\\begin{{table}}[tp]\n  \\centering\n  \\caption{{{escaped(caption)}}}\n  \\label{{tab:{label}}}"
    heads = {key: name_of(key, grid.sheet) for key in rows}
    wide = min(_HEAD_MOST, max([ems("plan"), *map(ems, heads.values())]))
    columns = f"p{{{wide:.4g}em}}p{{\\dimexpr\\linewidth-{wide:.4g}em-2\\tabcolsep}}"
    yield f"  \\begin{{tabular}}{{@{{}}{columns}@{{}}}}\n    \\hline{_SPACE}"
    for key, head in heads.items():
        text = breakable(_listed(values[key]), OVERLONG_WORD)
        yield f"    \\raggedright {breakable(head)} & \\raggedright {text} \\tabularnewline"
    if cells.plan_hash:
        yield f"    plan & {hashed(cells.plan_hash[:12])} \\\\"
    yield f"    {_SPACE}\\hline\n  \\end{{tabular}}\n\\end{{table}}"


def _values(shown: Sequence[Cell]) -> dict[str, list[str]]:
    """The values of each setting that is one, in order."""
    found = {
        "prompt": [cell.prompt for cell in shown],
        "negative_prompt": [cell.negative_prompt for cell in shown],
        "seed": [str(cell.seed) for cell in shown],
        "size": [f"{cell.width}x{cell.height}" for cell in shown],
    }
    labels = {key: [cell.labels.get(key, "") for cell in shown] for key in shown[0].labels if key not in found}
    distinct = {key: list(dict.fromkeys(values)) for key, values in (found | labels).items()}
    return {key: values for key, values in distinct.items() if len(values) > 1 or values[0] not in _NOTHING}


def _listed(values: Sequence[str]) -> str:
    few = [value or "none" for value in values]
    with contextlib.suppress(ValueError):
        few.sort(key=float)
    if len(few) > _LISTED + 1 or (len(few) > 1 and sum(map(len, few)) > 8 * _SHORT):
        return f"{len(few):,} values"
    return ", ".join(few)
