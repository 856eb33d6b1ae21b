"""`latentpress inspect`: what a bundle is, and what was measured on it."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from latentpress.cli.options import BundleArgument, JsonOption, print_json
from latentpress.errors import counted

if TYPE_CHECKING:
    from latentpress.bundle.info import Bundle


def inspect_command(
    bundle: BundleArgument,
    verify: Annotated[
        bool, typer.Option("--verify", help="Hash every file, and refuse a bundle that changed.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Show a bundle: family, precision, engine, LoRAs, concepts, and how closely each engine matches torch."""
    from latentpress.bundle.verified import forget
    from latentpress.cache.place import cache_dir
    from latentpress.engines.proof import parity_line, row_test_line
    from latentpress.engines.records import all_records
    from latentpress.models import named_bundle

    opened = named_bundle(bundle, cache_dir(), verify=False)
    if verify:
        for folder in (opened.path, opened.base.path if opened.base else opened.path):
            forget(cache_dir(), folder)
        opened = named_bundle(bundle, cache_dir())
    info = opened.info
    kept = all_records(opened)
    parity = [*info.parity, *(row for _, record in kept for row in record.parity)]
    tests = [*info.row_tests, *(record.row_test for _, record in kept if record.row_test is not None)]
    facts = _facts(opened) | {"verified": verify}
    if as_json:
        measured = {"parity": [row.model_dump() for row in parity], "row_tests": [test.model_dump() for test in tests]}
        engines = {"engines": [{"folder": folder.name, **record.model_dump(mode="json")} for folder, record in kept]}
        print_json(facts | measured | engines)
        return
    for line in (*_lines(opened, facts), *map(parity_line, parity), *map(row_test_line, tests)):
        typer.echo(line)
    for folder, record in kept:
        typer.echo(f"engine {folder.name}/{record.component}: {record.key.get('provider')}, {record.key.get('shapes')}")


def _facts(opened: "Bundle") -> dict[str, Any]:
    """What the bundle is, as JSON data."""
    from latentpress.bundle.content import content_hash, parts_of
    from latentpress.engines.choice import running

    info, parts = opened.info, parts_of(opened)
    return {
        "name": info.name,
        "hash": opened.hash,
        "content": content_hash(parts),
        "parts": parts,
        "family": info.family,
        "precision": info.precision,
        "flavour": info.flavour,
        "engine": info.engine,
        "runs_on": [engine.name for engine in running(info)],
        "default_size": f"{info.default_size[1]}x{info.default_size[0]}",
        "bytes": sum(opened.file(name).stat().st_size for name in info.files),
        "prediction_type": info.prediction_type,
        "inpainting": info.inpainting,
        "components": [component.model_dump() for component in info.components],
        "source_sha256": info.source_sha256,
        "vae": None if info.vae is None else info.vae.model_dump(),
        "base": None if info.base is None else info.base.model_dump(),
        "loras": [lora.model_dump() for lora in info.loras],
        "concepts": [concept.token for concept in info.concepts],
        "revisions": info.revisions,
        "versions": info.versions,
    }


def _lines(opened: "Bundle", facts: Mapping[str, Any]) -> Iterator[str]:
    """The same for people."""
    info = opened.info
    yield (
        f"{info.name}: {info.family}{' inpainting' if info.inpainting else ''}, predicts {info.prediction_type}, "
        f"{info.precision}, {facts['default_size']}, {facts['bytes'] / 1e6:.1f} MB, {opened.hash[:12]}, "
        f"content {facts['content'][:12]}"
    )
    if facts["verified"]:
        yield f"verified: {counted(len(info.files), 'file has', 'files have')} the sha256 that bundle.json names"
    yield f"graphs: {info.flavour}, for {', '.join(facts['runs_on'])}; rendered on {info.engine} unless told otherwise"
    loras = [f"{lora.source} at {lora.scale:g}" for lora in info.loras]
    yield f"LoRAs: {', '.join(loras) or 'none'}; VAE: {info.vae.source if info.vae else 'its own'}"
    if info.base:
        yield f"a UNet; its other parts from {info.base.source}"
    yield f"concepts: {', '.join(facts['concepts']) or 'none'}"
    if info.revisions:
        yield f"from the hub: {', '.join(f'{name}@{commit}' for name, commit in info.revisions.items())}"
    yield f"made with: {', '.join(f'{name} {version}' for name, version in info.versions.items())}"
