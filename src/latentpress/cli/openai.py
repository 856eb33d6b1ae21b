"""`latentpress openai`: renders a file of OpenAI's Batch, and writes its output and error files."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from latentpress.cli.completion import bundles
from latentpress.cli.ledger_option import LedgerOption
from latentpress.cli.manifests import OutputOption, to_stderr
from latentpress.cli.named import STDIN, STDIN_PATH, stdin
from latentpress.cli.options import JsonOption, print_json
from latentpress.cli.render_options import BatchRowsOption, EngineOption, StrictOption, ThreadsOption
from latentpress.errors import UsageError

if TYPE_CHECKING:
    from latentpress.openai_batch.answers import Answered


def openai_command(
    batch: Annotated[str, typer.Argument(metavar="BATCH", help="A .jsonl file of requests; - is stdin.")],
    output: OutputOption = None,
    ledger: LedgerOption = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            metavar="BUNDLE",
            autocompletion=bundles,
            help="The bundle that they are rendered on, a folder or `demo`.",
        ),
    ] = None,
    settings: Annotated[
        Path | None,
        typer.Option(
            "--settings", metavar="MANIFEST", help="A manifest without jobs instead: its model, defaults, concepts."
        ),
    ] = None,
    files: Annotated[
        Path | None,
        typer.Option("--files", metavar="DIR", help="The folder with the files that requests name by their file_id."),
    ] = None,
    engine: EngineOption = None,
    batch_rows: BatchRowsOption = None,
    threads: ThreadsOption = None,
    strict: StrictOption = False,
    as_json: JsonOption = False,
) -> None:
    """Render a file of OpenAI's Batch and write output.jsonl and errors.jsonl; safe to interrupt and start again."""
    from latentpress.batch.executors.local import Settings
    from latentpress.batch.folder import OutputFolder
    from latentpress.batch.progress import progress_for
    from latentpress.cli.named import output_of
    from latentpress.engines.choice import parse_engine
    from latentpress.manifest.manifest import Manifest
    from latentpress.manifest.source import Source, spooled
    from latentpress.openai_batch.run import Batch, run_batch

    if (model is None) == (settings is None):
        raise UsageError("give one of --model and --settings: what the requests are rendered on")
    if files is not None and not files.is_dir():
        raise UsageError(f"--files {files}: no such folder; give the one with the files that requests name by file_id")
    requests = spooled(stdin(), str(STDIN_PATH), "JSONL") if batch == STDIN else Source.of(Path(batch))
    asked = (
        Batch.on(requests, model, files) if model is not None else Batch(requests, Source.of(settings or Path()), files)
    )
    here = Settings(parse_engine(engine) if engine else None, batch_rows, threads, strict=strict)

    def open_folder(manifest: Manifest, path: Path | None) -> OutputFolder:
        return OutputFolder(manifest, output_of(path, manifest), ledger=ledger, say=to_stderr)

    def render(folder: OutputFolder) -> None:
        folder.render(here, progress=progress_for(sys.stderr), say=to_stderr)

    answered = run_batch(asked, output, render, open_folder)
    _tell(answered, as_json=as_json)
    if answered.failed:
        raise typer.Exit(1)


def _tell(answered: "Answered", *, as_json: bool) -> None:
    """Print how many requests were answered, and where."""
    if as_json:
        print_json(
            {"total": answered.completed + answered.failed, "completed": answered.completed, "failed": answered.failed}
            | {"output": str(answered.output) if answered.output else None}
            | {"errors": str(answered.errors) if answered.errors else None}
        )
    else:
        for count, what, path in (
            (answered.completed, "answered", answered.output),
            (answered.failed, "with an error", answered.errors),
        ):
            typer.echo(f"{count:,} {what}" + (f": {path}" if path else ""))
