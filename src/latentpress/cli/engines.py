"""`latentpress engines`: builds and checks a bundle's engines, or lists those it has."""

from typing import Annotated

import typer

from latentpress.cli.completion import engine_names
from latentpress.cli.options import BundleArgument, JsonOption, parse_sizes, print_json
from latentpress.cli.render_options import ThreadsOption


def engines_command(
    bundle: BundleArgument,
    engine: Annotated[
        str | None,
        typer.Option(
            metavar="ENGINE",
            autocompletion=engine_names,
            help="{ENGINES}; without it, list the engines that are there.",
        ),
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="{ELSEWHERE}: the GPU to build for, e.g. sm89; it need not be here.")
    ] = None,
    batch_rows: Annotated[int, typer.Option(min=2, max=1024, help="Built engines: the most UNet rows of a call.")] = 16,
    size: Annotated[
        list[str] | None,
        typer.Option(
            metavar="WxH", help="Built engines: a picture size, e.g. 512x768, the usual one first; may be repeated."
        ),
    ] = None,
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Rebuild engines that are still valid.")] = False,
    threads: ThreadsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Build the engines of a bundle and compare them with torch; without --engine, list them."""
    from latentpress.cache.place import cache_dir
    from latentpress.models import named_bundle

    opened = named_bundle(bundle, cache_dir(), verify=engine is not None)
    say = (lambda line: None) if as_json else typer.echo
    if engine is None:
        from latentpress.engines.records import all_records

        records = [record for _, record in all_records(opened)]
        if not records:
            say(f"{bundle}: no engines yet; `latentpress engines {bundle} --engine ENGINE` makes or proves them")
        for folder, record in all_records(opened):
            say(
                f"{folder.name:<22} {record.component:<15} {record.key.get('provider', '')}  {record.key.get('shapes', '')}"
            )
    else:
        from latentpress.engines.build import EngineOrder, make_engines
        from latentpress.engines.choice import parse_engine
        from latentpress.engines.shapes import shape_profile

        profile = shape_profile(opened.info, batch_rows, parse_sizes(size or []))
        order = EngineOrder(parse_engine(engine), profile, device, threads, rebuild)
        records = make_engines(opened, order, say)
    if as_json:
        print_json({"engines": [record.model_dump(mode="json") for record in records]})
