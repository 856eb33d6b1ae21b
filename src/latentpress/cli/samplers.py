"""`latentpress samplers`: what a manifest's `sampler` can name."""

import typer

from latentpress.cli.options import JsonOption, print_json


def samplers_command(as_json: JsonOption = False) -> None:
    """List the samplers that a manifest can name."""
    from latentpress.runtime.sampling.samplers import sampler_data, sampler_lines

    if as_json:
        print_json({"samplers": sampler_data()})
        return
    for line in sampler_lines():
        typer.echo(line)
