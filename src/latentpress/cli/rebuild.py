"""`latentpress rebuild`: the ledger of an output folder, made again from its pictures."""

import typer

from latentpress.cli.ledger_option import LedgerOption
from latentpress.cli.options import FolderArgument, JsonOption, print_json
from latentpress.errors import counted


def rebuild_command(
    out: FolderArgument,
    ledger: LedgerOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a lost or damaged ledger again from what the pictures say of themselves; render nothing."""
    from latentpress.batch.proof.rebuild import rebuild
    from latentpress.errors import one_line

    done = rebuild(out, ledger=ledger)
    if as_json:
        print_json({"folder": str(out)} | done.data())
        return
    if done.moved:
        typer.echo(f"the damaged ledger was moved to {done.moved}")
    for name, why in done.refused.items():
        typer.echo(f"not taken: {one_line(name)} {why}")
    typer.echo(
        f"{out}: {counted(len(done.recorded), 'picture')} recorded, {done.known} known before, "
        f"{len(done.refused):,} not taken, {done.silent:,} without a word of what they are"
    )
