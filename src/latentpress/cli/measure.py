"""`latentpress measure`: its arguments, and what it prints and writes."""

import os
from pathlib import Path
from typing import Annotated

import typer

from latentpress.cli.ledger_option import LedgerOption
from latentpress.cli.manifests import to_stderr
from latentpress.cli.options import FolderArgument, JsonOption, print_json
from latentpress.errors import UsageError


def measure_command(
    out: FolderArgument,
    output: Annotated[
        list[Path] | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Write a table: .csv, .jsonl or .parquet, or all as .json; may be repeated.",
        ),
    ] = None,
    against: Annotated[
        list[str] | None,
        typer.Option(
            metavar="AXIS=VALUE",
            help="Compare each picture with the one that has this; may be repeated, for one of all.",
        ),
    ] = None,
    by: Annotated[
        str | None, typer.Option(metavar="AXIS[,AXIS]", help="Means of each value, and a row for each in the table.")
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="Only cells of this axis or field; may be repeated."),
    ] = None,
    ledger: LedgerOption = None,
    replace: Annotated[bool, typer.Option("--replace", help="Write over FILE.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Measure pictures: sharpness, colours, differences and diversity."""
    from latentpress.batch.place import LEDGER, home_of
    from latentpress.compare.pair import structural_similarity
    from latentpress.files import replacing
    from latentpress.measures import measure_folder
    from latentpress.measures.tables import json_data, table_file
    from latentpress.measures.told import told

    files = output or []
    for path in files:
        _check(path, replace)
    if len(set(files)) < len(files):
        raise UsageError("-o names one file twice; give each table its own")
    axes = [one.strip() for one in (by or "").split(",") if one.strip()]
    table = home_of(out, ledger) / LEDGER if out.is_dir() else None
    found = measure_folder(out, ledger=table, against=against or (), by=axes, only=only or ())
    if found.against and structural_similarity() is None:
        to_stderr("note: SSIM is left out, package scikit-image is missing; pip install 'latentpress[diff]' adds it")
    contents = {path: table_file(found, path.suffix[1:].lower()) for path in files}
    for path, content in contents.items():
        with replacing(path) as temporary:
            temporary.write_bytes(content)
            _check(path, replace)
    if as_json:
        print_json(json_data(found))
        return
    for line in told(found):
        typer.echo(line)
    for path in files:
        typer.echo(path)


def _check(path: Path, replace: bool) -> None:
    """Raise UsageError for a file that may not be written, ModuleNotFoundError where a package for it is missing."""
    from latentpress.measures.tables import KINDS

    kind = path.suffix[1:].lower()
    if kind not in KINDS:
        raise UsageError(f"-o {path}: a table is CSV, JSON or Parquet; give a name that ends in .{', .'.join(KINDS)}")
    if kind == "parquet":
        import pyarrow  # noqa: F401  # pyright: ignore[reportUnusedImport]
    if os.path.lexists(path) and not (replace and path.is_file()):
        raise UsageError(f"-o {path}: exists already; give another name, or --replace to write over a file")
    if not path.parent.is_dir():
        raise UsageError(f"-o {path}: there is no folder {path.parent}; make it first")
