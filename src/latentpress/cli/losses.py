"""`latentpress losses`: what a manifest's `loss` can name."""

import typer

from latentpress.cli.options import JsonOption, print_json


def losses_command(as_json: JsonOption = False) -> None:
    """List the losses that a manifest can name: what each does, formula, range, parameters, source."""
    from latentpress.runtime.guidance.listing import loss_data, loss_lines

    if as_json:
        print_json({"losses": loss_data()})
        return
    for line in loss_lines():
        typer.echo(line)
