"""`latentpress render --dry-run`: what a render of each manifest would do."""

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import typer

from latentpress.cli.manifests import for_each, print_heading, warn
from latentpress.cli.options import print_json

if TYPE_CHECKING:
    from latentpress.batch.executors.local import Settings
    from latentpress.batch.folder import OutputFolder
    from latentpress.batch.selection import Selection
    from latentpress.manifest.policy import Policy


class Allowed(NamedTuple):
    """What a render may do, as `OutputFolder.render` takes it."""

    mixed: bool
    redraw: bool
    replace: bool
    any_space: bool
    policy: "Policy"
    retry: bool


def rehearse_each(
    manifests: list[str],
    output: Path | None,
    ledger: Path | None,
    settings: "Settings",
    selection: "Selection",
    allowed: Allowed,
    as_json: bool,
) -> None:
    """Print what a render of each manifest would do, for people or as JSON; raises what it would raise."""
    from latentpress.batch.state.report import plan_data

    def show(folder: "OutputFolder", several: bool) -> None:
        found = folder.rehearse(settings, selection=selection, **allowed._asdict())
        warn(found.state.plan.warnings + found.warnings)
        if as_json:
            data = {"manifest": str(folder.manifest.path)} | plan_data(found.state, folder.path)
            print_json(data | found.data(), one_line=several)
            return
        print_heading(folder, several)
        for line in found.lines():
            typer.echo(line)

    for_each(manifests, output, show, as_json=as_json, ledger=ledger)
