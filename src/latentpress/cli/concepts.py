"""`latentpress concepts`: what a bundle's tokenizer and text encoders have been taught."""

from pathlib import Path
from typing import Annotated

import typer

from latentpress.cli.help import Command, Group
from latentpress.cli.options import BundleArgument, JsonOption, print_json
from latentpress.errors import UsageError, counted

concepts_app = typer.Typer(cls=Group, help="Textual-inversion concepts of a bundle.", no_args_is_help=True)


@concepts_app.command("add", cls=Command)
def concepts_add(
    bundle: BundleArgument,
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="[TOKEN=]FILE...", help="Textual-inversion files of any usual format, and their tokens."
        ),
    ],
) -> None:
    """Bake more concepts into a bundle, without tracing it again."""
    from latentpress.export.concepts import add_concepts
    from latentpress.export.reading.concept_paths import parse_concept
    from latentpress.models import DEMO

    if bundle == DEMO:  # every manifest on it would change
        raise UsageError(
            "demo: the built-in bundle keeps its own concepts; name yours under `concepts` in the manifest, or make a "
            "bundle to add them to: `latentpress export demo -o BUNDLE` (a folder of that name is ./demo)"
        )
    info = add_concepts(Path(bundle), [parse_concept(text) for text in files], typer.echo)
    typer.echo(
        f"{bundle}: {counted(len(info.concepts), 'concept')}: {', '.join(concept.token for concept in info.concepts)}"
    )


@concepts_app.command("list", cls=Command)
def concepts_list(bundle: BundleArgument, as_json: JsonOption = False) -> None:
    """List the concepts of a bundle."""
    from latentpress.cache.place import cache_dir
    from latentpress.models import named_bundle

    concepts = named_bundle(bundle, cache_dir(), verify=False).info.concepts
    if as_json:
        print_json({"concepts": [concept.model_dump() for concept in concepts]})
        return
    if not concepts:
        typer.echo(f"{bundle}: no concepts yet; `latentpress concepts add {bundle} FILE` bakes one in")
    for concept in concepts:
        count = len(concept.token_ids)
        typer.echo(
            f"{concept.token}  {count} {'vector' if count == 1 else 'vectors'}  {concept.sha256[:12]}  {concept.source}"
        )
