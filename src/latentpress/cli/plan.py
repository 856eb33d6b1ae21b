"""`latentpress plan`."""

from typing import TYPE_CHECKING

import typer

from latentpress.cli.ledger_option import LedgerOption
from latentpress.cli.manifests import ManifestsArgument, OutputOption, for_each, print_heading, print_state, warn
from latentpress.cli.options import JsonOption, print_json

if TYPE_CHECKING:
    from latentpress.batch.folder import OutputFolder


def plan_command(
    manifests: ManifestsArgument, output: OutputOption = None, ledger: LedgerOption = None, as_json: JsonOption = False
) -> None:
    """Check manifests and show what they would render."""
    from latentpress.batch.state.report import job_data, plan_data, plan_lines

    def show(folder: "OutputFolder", several: bool) -> None:
        state = folder.status()
        warn(state.plan.warnings)
        folder.refuse(state)
        if as_json:
            print_json(plan_data(state, folder.path) | {"jobs": list(job_data(state))}, one_line=several)
            return
        print_heading(folder, several)
        for line in plan_lines(state):
            typer.echo(line)
        print_state(state, folder)

    for_each(manifests, output, show, ledger=ledger)
