"""`latentpress losses`: what a manifest's `loss` can name, and which scales are of use."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from latentpress.cli.completion import bundles
from latentpress.cli.manifests import to_stderr
from latentpress.cli.options import JsonOption, print_json
from latentpress.errors import UsageError

if TYPE_CHECKING:
    from latentpress.batch.loss_scales import Basis


def losses_command(
    target: Annotated[
        str | None,
        typer.Argument(
            metavar="[BUNDLE|MANIFEST]",
            autocompletion=bundles,
            help="Tell the useful scales on this bundle, or of this manifest's pictures, where they were measured.",
        ),
    ] = None,
    calibrate: Annotated[
        bool, typer.Option("--calibrate", help="Measure them, by rendering two pictures with each loss.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """List the losses that a manifest can name: what each does, formula, range, useful scales, parameters, source."""
    from latentpress.batch.loss_scales import known_scales, measure_scales, scales_text
    from latentpress.cache.place import cache_dir
    from latentpress.runtime.guidance.listing import loss_data, loss_lines

    scales = basis = None
    if target is None and calibrate:
        raise UsageError(
            "--calibrate measures on a bundle; name one, or a manifest, e.g. latentpress losses demo --calibrate"
        )
    if target is not None:
        from latentpress.batch.executors.local import Settings

        basis = _basis(target)
        if calibrate:
            scales = measure_scales(basis, Settings(), cache_dir(), to_stderr)
        elif (scales := known_scales(basis, cache_dir())) is None:
            to_stderr(f"note: no scales were measured on {basis.name} at {basis.about}; --calibrate measures them")
    known = scales or {}
    if as_json:
        told = [one | ({"scales": known.get(str(one["name"]))} if target else {}) for one in loss_data()]
        on = {"basis": {"model": basis.name, "content": basis.content, "about": basis.about}} if basis else {}
        print_json({"losses": told} | on)
        return
    if basis is not None and scales is not None:
        typer.echo(f"scales: on {basis.name} at {basis.about}")
    for line in loss_lines({name: scales_text(span) for name, span in known.items()}):
        typer.echo(line)


def _basis(target: str) -> "Basis":
    """What a bundle or a manifest is measured on."""
    from latentpress.batch.loss_scales import basis_of_bundle, basis_of_manifest
    from latentpress.cache.place import cache_dir
    from latentpress.manifest.manifest import read_manifest
    from latentpress.models import models_for, named_bundle

    if Path(target).is_file():
        manifest = read_manifest(Path(target))
        return basis_of_manifest(manifest, models_for(manifest, cache_dir()))
    return basis_of_bundle(target, named_bundle(target, cache_dir()))
