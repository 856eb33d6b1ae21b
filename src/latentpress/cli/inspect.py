"""`latentpress inspect`: what a bundle is, and what was measured on it."""

from typing import Annotated, Any

import typer

from latentpress.cli.options import BundleArgument, JsonOption, print_json


def inspect_command(
    bundle: BundleArgument,
    verify: Annotated[
        bool, typer.Option("--verify", help="Hash every file, and refuse a bundle that changed.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Show a bundle: family, precision, engine, LoRAs, concepts, and how far each engine is from torch."""
    from latentpress.bundle.verified import forget
    from latentpress.engines.choice import running
    from latentpress.engines.proof import parity_line, row_test_line
    from latentpress.engines.records import all_records
    from latentpress.models import cache_dir, named_bundle

    opened = named_bundle(bundle, cache_dir(), verify=False)
    if verify:
        forget(cache_dir(), opened.path)
        opened = named_bundle(bundle, cache_dir())
    info = opened.info
    kept = all_records(opened)
    parity = [*info.parity, *(row for _, record in kept for row in record.parity)]
    tests = [*info.row_tests, *(record.row_test for _, record in kept if record.row_test is not None)]
    possible = [engine.name for engine in running(info)]
    size = sum((opened.path / name).stat().st_size for name in info.files)
    facts: dict[str, Any] = {
        "name": info.name,
        "hash": opened.hash,
        "family": info.family,
        "precision": info.precision,
        "flavour": info.flavour,
        "engine": info.engine,
        "runs_on": possible,
        "default_size": f"{info.default_size[1]}x{info.default_size[0]}",
        "bytes": size,
        "verified": verify,
        "prediction_type": info.prediction_type,
        "inpainting": info.inpainting,
        "source_sha256": info.source_sha256,
        "vae": None if info.vae is None else info.vae.model_dump(),
        "loras": [lora.model_dump() for lora in info.loras],
        "concepts": [concept.token for concept in info.concepts],
        "versions": info.versions,
    }
    if as_json:
        measured = {"parity": [row.model_dump() for row in parity], "row_tests": [test.model_dump() for test in tests]}
        engines = {"engines": [{"folder": folder.name, **record.model_dump(mode="json")} for folder, record in kept]}
        print_json(facts | measured | engines)
        return
    typer.echo(
        f"{info.name}: {info.family}{' inpainting' if facts['inpainting'] else ''}, predicts {info.prediction_type}, "
        f"{info.precision}, {facts['default_size']}, {size / 1e6:.1f} MB, {opened.hash[:12]}"
    )
    if verify:
        typer.echo(f"verified: {len(info.files)} files have the sha256 that bundle.json names")
    typer.echo(f"graphs: {info.flavour}, for {', '.join(possible)}; rendered on {info.engine} unless told otherwise")
    loras = [f"{lora.source} at {lora.scale:g}" for lora in info.loras]
    typer.echo(f"LoRAs: {', '.join(loras) or 'none'}; VAE: {info.vae.source if info.vae else 'its own'}")
    typer.echo(f"concepts: {', '.join(facts['concepts']) or 'none'}")
    typer.echo(f"made with: {', '.join(f'{name} {version}' for name, version in info.versions.items())}")
    for line in (*map(parity_line, parity), *map(row_test_line, tests)):
        typer.echo(line)
    for folder, record in kept:
        typer.echo(f"engine {folder.name}/{record.component}: {record.key.get('provider')}, {record.key.get('shapes')}")
