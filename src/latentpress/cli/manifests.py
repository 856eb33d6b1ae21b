"""What the commands that read manifests share: the argument, the output folder, and how several go one after another."""

import contextlib
import sys
from collections.abc import Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from latentpress.cli.environment import OUTPUT, is_output
from latentpress.cli.failures import failure_of, worst
from latentpress.cli.named import NAME, STDIN_PATH, named_manifests, output_of, read_named
from latentpress.errors import UsageError

if TYPE_CHECKING:
    from latentpress.batch.folder import OutputFolder
    from latentpress.batch.state.status import Status

ManifestsArgument = Annotated[
    list[str],
    typer.Argument(metavar="MANIFEST...", help="Manifests, or patterns such as 'nightly/*.yaml'; - is stdin."),
]
OutputOption = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        envvar=OUTPUT,
        metavar="DIR",
        help=f"Output folder; {NAME} in it is the manifest's name, {{date}} the day. Default out/{NAME}.",
    ),
]


def for_each(
    manifests: list[str],
    output: Path | None,
    act: Callable[["OutputFolder", bool], int | None],
    *,
    as_json: bool = False,
    check: Callable[["OutputFolder"], object] | None = None,
    keep_going: bool = False,
    ledger: Path | None = None,
    latest: bool = False,
) -> None:
    """Read all `manifests`, then `act` on the output folder of each; `act` hears whether it may be one of several.

    What is wrong with one of several is told, and the others go on: the exit code, which `act` returns, is the worst.
    as_json: failures are told on stdout too, each as an object on a line of its own.
    check: is asked of all folders, if there may be several, before `act` is of any; nothing is done where it raises for
    one, or one cannot be read, unless `keep_going`. ledger: what `--ledger` names; latest: as in `output_of`.
    Raises typer.Exit for a code that is not 0, and for a single manifest whatever reading it and `act` raise.
    """
    named = named_manifests(manifests)
    if not named.several:
        _leave(act(_opened(named.paths[0], output, ledger, latest), False))
        return
    codes: list[int] = []
    folders: list[tuple[Path, OutputFolder]] = []
    for path in named.paths:
        with _telling(path, codes, as_json):
            folder = _opened(path, output, ledger, latest)
            _check_own_folder(path, folder, folders, output)
            folders.append((path, folder))
    if check is not None:
        right: list[tuple[Path, OutputFolder]] = []
        for path, folder in folders:
            with _telling(path, codes, as_json):
                check(folder)
                right.append((path, folder))
        if codes and not keep_going:
            to_stderr(f"nothing was done for the other manifests; mend {_these(len(codes))}, or add --keep-going")
            _leave(worst(codes))
        folders = right
    for path, folder in folders:
        with _telling(path, codes, as_json):
            codes.append(act(folder, True) or 0)
    _leave(worst(codes))


def print_heading(folder: "OutputFolder", several: bool) -> None:
    """Say which of several manifests the next lines are about."""
    if several:
        typer.echo(f"==> {folder.manifest.path} <==")


def print_state(state: "Status", folder: "OutputFolder") -> None:
    """How far a plan has come, and what else to know of it."""
    from latentpress.batch.state.report import counts_line, remarks

    room = folder.disk(state).words if state.left else ""
    typer.echo(counts_line(state, folder.path, room))
    for line in remarks(state, folder.path):
        typer.echo(line)


def warn(lines: tuple[str, ...]) -> None:
    """Print warnings on stderr."""
    for line in lines:
        to_stderr(line)


def to_stderr(line: str) -> None:
    """Print a line for people, at once."""
    print(line, file=sys.stderr, flush=True)


def _opened(path: Path, output: Path | None, ledger: Path | None, latest: bool) -> "OutputFolder":
    """The output folder of a manifest, which is read."""
    from latentpress.batch.folder import OutputFolder
    from latentpress.batch.kept import kept_manifest

    manifest = None if path == STDIN_PATH else kept_manifest(path, output, ledger)
    manifest = manifest or read_named(path)
    return OutputFolder(manifest, output_of(output, manifest, latest=latest), ledger=ledger, say=to_stderr)


def _check_own_folder(
    path: Path, folder: "OutputFolder", others: list[tuple[Path, "OutputFolder"]], output: Path | None
) -> None:
    """Raise UsageError where a manifest before this one has the same output folder."""
    option = OUTPUT if is_output(output) else "-o"
    example = f"{OUTPUT}=" if option == OUTPUT else "-o "
    for other, taken in others:
        if taken.path.resolve() == folder.path.resolve():
            same = taken.manifest.name == folder.manifest.name
            way_out = (
                f"both are called {folder.manifest.name!r}, so give one another `name:`"
                if same
                else (f"with several manifests, write {NAME} in {option}, e.g. {example}'{folder.path / NAME}'")
            )
            raise UsageError(f"its output folder {folder.path} is that of {other} too; {way_out}")


@contextlib.contextmanager
def _telling(path: Path, codes: list[int], as_json: bool) -> Generator[None]:
    """Within, an expected failure is told as that of the manifest at `path`, and its code kept."""
    try:
        yield
    except typer.Exit as stop:
        codes.append(stop.exit_code)
    except Exception as error:
        if (failure := failure_of(error)) is None:
            raise
        codes.append(failure.tell(as_json=as_json, of=str(path), one_line=True))


def _these(count: int) -> str:
    return "this one" if count == 1 else f"these {count:,}"


def _leave(code: int | None) -> None:
    if code:
        raise typer.Exit(code)
