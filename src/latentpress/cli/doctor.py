"""`latentpress doctor`: what this machine can run, and which install line adds the rest."""

import typer

from latentpress.cli.options import JsonOption, print_json


def doctor_command(as_json: JsonOption = False) -> None:
    """Say which engines run on this machine, and what adds the others."""
    from latentpress.engines.doctor import examine

    report = examine()
    if as_json:
        print_json(report.data())
        return
    for name, value in report.machine.items():
        typer.echo(f"{name:<10} {value}")
    wide = max(len(finding.engine) for finding in report.engines)
    for finding in report.engines:
        state = "ready" if finding.ready else "no   "
        typer.echo(f"{state} {finding.engine:<{wide}}  {finding.why}")
        if finding.install:
            typer.echo(f"      {finding.install}")
