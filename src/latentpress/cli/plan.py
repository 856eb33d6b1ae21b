"""`latentpress plan`."""

import typer

from latentpress.cli.manifests import ManifestArgument, OutputOption, opened, print_state, warn
from latentpress.cli.options import JsonOption, print_json


def plan_command(manifest: ManifestArgument, output: OutputOption = None, as_json: JsonOption = False) -> None:
    """Check a manifest and show what it would render."""
    from latentpress.batch.state.report import job_data, plan_data, plan_lines

    folder = opened(manifest, output)
    state = folder.status()
    warn(state.plan.warnings)
    folder.refuse(state)
    if as_json:
        print_json(plan_data(state, folder.path) | {"jobs": list(job_data(state))})
        return
    for line in plan_lines(state):
        typer.echo(line)
    print_state(state, folder)
