"""`latentpress measure`: its arguments, and what it prints and writes."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from latentpress.cli.ledger_option import LedgerOption
from latentpress.cli.manifests import to_stderr
from latentpress.cli.options import FolderArgument, JsonOption, print_json
from latentpress.errors import UsageError

TablesOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE",
        help="Write a table: .csv, .jsonl or .parquet, or all as .json; may be repeated.",
    ),
]
AgainstOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="AXIS=VALUE", help="Compare each picture with the one that has this; may be repeated, for one of all."
    ),
]
ByOption = Annotated[
    str | None, typer.Option(metavar="AXIS[,AXIS]", help="Means of each value, and a row for each in the table.")
]
OnlyOption = Annotated[
    list[str] | None, typer.Option(metavar="KEY=VALUE", help="Only cells of this axis or field; may be repeated.")
]
PlotOption = Annotated[
    list[Path] | None,
    typer.Option(metavar="FILE", help="Draw the numbers into this .svg, .png or .pdf; may be repeated."),
]


def measure_command(
    out: FolderArgument,
    output: TablesOption = None,
    against: AgainstOption = None,
    by: ByOption = None,
    only: OnlyOption = None,
    plot: PlotOption = None,
    ledger: LedgerOption = None,
    replace: Annotated[bool, typer.Option("--replace", help="Write over FILE.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Measure pictures: sharpness, colours, differences and diversity."""
    from latentpress.batch.measured import measure_folder
    from latentpress.batch.place import LEDGER, home_of
    from latentpress.measures.likeness import structural_similarity
    from latentpress.measures.plot import check_plot, plot_of
    from latentpress.measures.plot_file import plot_bytes
    from latentpress.measures.tables import check_table, json_data, table_file
    from latentpress.measures.told import told

    files, plots = [*map(check_table, output or ())], [*map(check_plot, plot or ())]
    targets = dict.fromkeys(files, "-o") | dict.fromkeys(plots, "--plot")
    _check(targets, replace)
    for option, paths in {"-o": files, "--plot": plots}.items():
        if len(set(paths)) < len(paths):
            raise UsageError(f"{option} names one file twice; give each its own")
    axes = [one.strip() for one in (by or "").split(",") if one.strip()]
    table = home_of(out, ledger) / LEDGER if out.is_dir() else None
    found = measure_folder(out, ledger=table, against=against or (), by=axes, only=only or ())
    if found.against and structural_similarity() is None:
        to_stderr("note: SSIM is left out, package scikit-image is missing; pip install 'latentpress[diff]' adds it")
    contents = {path: table_file(found, path.suffix[1:].lower()) for path in files}
    if plots:
        drawn, said = plot_of(found), dict[str, None]()
        for path in plots:
            contents[path], lines = plot_bytes(drawn, path.suffix[1:].lower())
            said |= dict.fromkeys(lines)
        for line in said:
            to_stderr(line)
    _write(contents, targets, replace)
    if as_json:
        print_json(json_data(found))
        return
    for line in (*told(found), *map(str, contents)):
        typer.echo(line)


def _check(targets: Mapping[Path, str], replace: bool) -> None:
    """Raise UsageError for a file that may not be written; targets: path -> the option that names it."""
    for path, option in targets.items():
        if os.path.lexists(path) and not (replace and path.is_file()):
            raise UsageError(f"{option} {path}: exists already; give another name, or --replace to write over a file")
        if not path.parent.is_dir():
            raise UsageError(f"{option} {path}: there is no folder {path.parent}; make it first")


def _write(contents: Mapping[Path, bytes], targets: Mapping[Path, str], replace: bool) -> None:
    from latentpress.files import replacing

    for path, content in contents.items():
        with replacing(path) as temporary:
            temporary.write_bytes(content)
            _check({path: targets[path]}, replace)
