"""`latentpress status`."""

import typer

from latentpress.cli.manifests import ManifestArgument, OutputOption, opened, print_state, warn
from latentpress.cli.options import JsonOption, print_json


def status_command(manifest: ManifestArgument, output: OutputOption = None, as_json: JsonOption = False) -> None:
    """Show how much of a manifest is done."""
    from latentpress.batch.state.report import plan_data
    from latentpress.batch.state.status import EARLIER, FAILED, OTHER

    folder = opened(manifest, output)
    state = folder.status()
    orphans = folder.orphans(state)
    warn(state.plan.warnings)
    if as_json:
        listed = {name: [str(job.output) for job in state.jobs(name)] for name in (FAILED, EARLIER, OTHER)}
        taken = {str(state.plan.jobs[index - 1].output): why for index, why in state.taken.items()}
        print_json(plan_data(state, folder.path) | listed | {"taken": taken, "orphans": orphans})
        return
    for job in state.jobs(FAILED):
        typer.echo(f"failed: {job.title}: {job.output}")
    for job in state.jobs(EARLIER):
        typer.echo(f"drawn by an earlier rule: {job.title}: {job.output}")
    for name in orphans:
        typer.echo(f"no longer in the manifest: {name}")
    print_state(state, folder)
    if orphans:
        typer.echo(f"`latentpress tidy` moves what the manifest no longer has ({len(orphans)}) aside")
