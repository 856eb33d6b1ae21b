"""`latentpress draw`: a picture without a manifest. Its options are the fields of a job, made when they are asked for.

The arguments become the text of a manifest with one job, so that they mean what they mean there, prompts aside, which are
plain text; what is said of mistakes is said of the arguments.
"""

import inspect
import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from latentpress.cli.completion import bundles, completing, field_values
from latentpress.cli.help import FIELD_PANEL, Command
from latentpress.cli.manifests import to_stderr
from latentpress.cli.options import JsonOption, print_json
from latentpress.cli.render_options import AllowCodeOption, EngineOption, GradientOption, StrictOption, ThreadsOption
from latentpress.errors import ManifestError, UsageError, shown
from latentpress.manifest.quoted import quoted

if TYPE_CHECKING:
    from latentpress.manifest.manifest import Manifest
    from latentpress.pictures import Drawing

# What messages call the manifest; paths in it start from the current directory.
ARGUMENTS = "<arguments>"
_OWN = ("prompt", "model")
_AT = rf"{re.escape(ARGUMENTS)}:[0-9]+:[0-9]+"
_PLACE = re.compile(rf"{_AT}: | \(and at (?:[0-9,]+ more places, the last )?{_AT}\)")
_PLAIN = re.compile(r"[\w.+~/-](?:[\w.,+~/=<>%() -]|:(?! ))*")


def draw_command(
    prompt: Annotated[str, typer.Argument(metavar="PROMPT", help="What to draw.")],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="A .png, .webp, .jpg or .avif that does not exist yet; of several pictures with a placeholder, as in "
            "'owl-{seed}.png'. "
            "Default {seed}-{hash:.12}.png.",
        ),
    ] = None,
    model: Annotated[
        str, typer.Option(metavar="BUNDLE", autocompletion=bundles, help="A bundle folder, or `demo`.")
    ] = "demo",
    count: Annotated[int, typer.Option("-n", min=1, help="How many pictures, with one seed after another.")] = 1,
    concept: Annotated[
        list[str] | None,
        typer.Option(metavar="TOKEN=FILE", help="A concept that the bundle lacks; may be repeated."),
    ] = None,
    loss_file: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=FILE", help="A loss of your own, for --loss NAME; may be repeated."),
    ] = None,
    allow_code: AllowCodeOption = False,
    engine: EngineOption = None,
    threads: ThreadsOption = None,
    strict: StrictOption = False,
    gradient: GradientOption = None,
    replace: Annotated[bool, typer.Option("--replace", help="Write over files that are there.")] = False,
    as_json: JsonOption = False,
    **fields: Sequence[str],
) -> None:
    """Draw a picture without a manifest, and print the name of its file."""
    from latentpress.batch.executors.local import Settings
    from latentpress.engines.choice import parse_engine, parse_gradient

    chosen, computed = parse_engine(engine) if engine else None, parse_gradient(gradient) if gradient else None
    settings = Settings(chosen, None, threads, strict=strict, gradient=computed, allow_code=allow_code)
    text = manifest_text(prompt, model, count, concept or (), output, fields, loss_file or ())
    drawing = _planned(text, settings)
    folder = output.parent if output else Path()
    paths = {job.index: folder / job.output for job in drawing.plan.jobs}
    taken = [str(path) for path in paths.values() if path.is_dir() or (path.exists() and not replace)]
    if taken:
        raise UsageError(
            f"{taken[0]}: is there already; choose another name with -o, or write over files with --replace"
        )
    for warning in drawing.plan.warnings:
        to_stderr(_said(warning))
    _write(drawing, paths, replace=replace, as_json=as_json)


def manifest_text(
    prompt: str,
    model: str,
    count: int,
    concepts: Sequence[str],
    output: Path | None,
    fields: Mapping[str, Sequence[str]],
    losses: Sequence[str] = (),
) -> str:
    """The arguments as a manifest. Raises UsageError for what cannot be written in one."""
    from latentpress.manifest.fields import FIELDS

    lines = ["version: 1", "wildcards: none"]
    lines += _named("concepts", concepts, "--concept", "TOKEN=FILE, e.g. '<line-art>=line-art.bin'")
    lines += _named("losses", losses, "--loss-file", "NAME=FILE, e.g. mine=losses/mine.py")
    if output:
        lines.append(f"output: {quoted(output.name)}")
    lines += ["jobs:", f"  - prompt: {quoted(prompt)}", f"    model: {quoted(model)}"]
    lines += [f"    n: {count}"] if count > 1 else []
    for name, values in fields.items():
        if values:
            written = [quoted(value) if FIELDS[name].prose else _value(name, value) for value in values]
            listed = ", ".join(written)
            lines.append(f"    {name}: {listed if len(written) == 1 else f'[{listed}]'}")
    return "\n".join(lines)


def _named(key: str, given: Sequence[str], option: str, example: str) -> list[str]:
    """A map of the manifest, from an option's NAME=FILE."""
    lines = [f"{key}:"] if given else []
    for one in given:
        name, equals, file = one.partition("=")
        if not (name and equals and file):
            raise UsageError(f"{option} {shown(one)}: write {example}")
        lines.append(f"  {quoted(name)}: {quoted(file)}")
    return lines


def manifest_of(text: str) -> "Manifest":
    """The manifest `text`, its prompts taken as they are. Raises ManifestError, and UsageError where it is not UTF-8."""
    from latentpress.manifest.fields import PROMPTS
    from latentpress.manifest.jobs import listed_jobs
    from latentpress.manifest.manifest import read_manifest
    from latentpress.manifest.nodes import MapNode, Problems
    from latentpress.manifest.readers import read_root
    from latentpress.manifest.shape import JobNode
    from latentpress.manifest.source import YAML, spooled
    from latentpress.manifest.values import verbatim

    try:
        source = spooled(io.BytesIO(text.encode()), ARGUMENTS, YAML)
    except UnicodeEncodeError:
        raise UsageError("an argument is not UTF-8; write it in a terminal that is, or in a manifest") from None

    def jobs(problems: Problems) -> list[JobNode]:
        root = read_root(source, problems)
        assert isinstance(root, MapNode)
        found: list[JobNode] = []
        for job in listed_jobs(root.values["jobs"], source, problems):
            prompts = {name: verbatim(job.fields[name]) for name in PROMPTS if name in job.fields}
            found.append(JobNode(job.id, {**job.fields, **prompts}, job.place))
        return found

    return read_manifest(source, jobs)


class DrawCommand(Command):
    """`draw` with an option for each field of a job. The table of fields is read when the command is used, not before."""

    @property
    def params(self) -> Any:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The command's own parameters, then the fields'."""
        if not self._whole:
            self._whole = True
            made = typer.Typer(add_completion=False)
            made.command("draw")(_with_fields(draw_command))
            command = typer.main.get_command(made)
            self._params, self.callback = command.params, command.callback
        return self._params

    @params.setter
    def params(self, value: Any) -> None:  # pyright: ignore[reportIncompatibleVariableOverride]
        self._params, self._whole = value, False


def draw_placeholder() -> None:
    """Draw a picture without a manifest, and print the name of its file."""


def _with_fields(command: Any) -> Any:
    """`command` as typer reads it: with an option for each field in place of `fields`."""
    from latentpress.manifest.field_help import FIELD_HELP

    options: list[inspect.Parameter] = []
    for name, said in FIELD_HELP.items():
        if name not in _OWN:
            metavar, default = ("VALUE", "") if completing() else _value_of(name)
            option = typer.Option(
                f"--{name.replace('_', '-')}",
                metavar=metavar,
                help=said + default,
                autocompletion=field_values(name),
                rich_help_panel=FIELD_PANEL,
            )
            kind = inspect.Parameter.KEYWORD_ONLY
            annotation = Annotated[list[str] | None, option]
            options.append(inspect.Parameter(name, kind, default=None, annotation=annotation))

    def draw(**given: Any) -> None:
        command(**given)

    signature = inspect.signature(command, eval_str=True)
    own = [one.replace(kind=one.KEYWORD_ONLY) for name, one in signature.parameters.items() if name != "fields"]
    draw.__signature__ = signature.replace(parameters=[*own, *options])  # pyright: ignore[reportFunctionMemberAccess]
    draw.__doc__ = command.__doc__
    return draw


def _value_of(name: str) -> tuple[str, str]:
    """What a field's value is called in the help, and a sentence with its default if it has one."""
    from latentpress.manifest.fields import FIELDS

    field = FIELDS[name]
    default = f" Default {field.default:g}." if isinstance(field.default, int | float) else ""
    default = f" Default {field.default}." if isinstance(field.default, str) else default
    return "TEXT" if field.prose else "VALUE", default


def _planned(text: str, settings: Any) -> "Drawing":
    """The pictures of the manifest `text`. Raises UsageError for its mistakes, without places that nobody wrote."""
    from latentpress.pictures import Drawing

    try:
        return Drawing(manifest_of(text), settings)
    except ManifestError as error:
        raise UsageError("\n".join(map(_said, error.problems))) from None


def _write(drawing: "Drawing", paths: Mapping[int, Path], *, replace: bool, as_json: bool) -> None:
    """Render the pictures and print their names; raises typer.Exit where one failed."""
    from latentpress.files import publish, write_durably

    told: list[dict[str, object]] = []
    failed = False
    for job, png in drawing.render(lambda line: to_stderr(line) if line.startswith("warning") else None):
        path = paths[job.index]
        if isinstance(png, bytes):
            (write_durably if replace else publish)(path, png)
        else:
            failed = True
            to_stderr(f"failed: {path}: {png}")
        error = None if isinstance(png, bytes) else png
        told.append({"picture": str(path), "seed": job.request.seed, "job_hash": job.job_hash, "error": error})
        if not as_json and error is None:
            typer.echo(path)
    if as_json:
        print_json({"pictures": told})
    if failed:
        raise typer.Exit(1)


def _said(line: str) -> str:
    """What is said of the manifest, as it is true of the arguments."""
    from latentpress.manifest.plain_text import STARTS

    return _PLACE.sub("", line).replace(STARTS, "paths start at the current directory")


def _value(name: str, text: str) -> str:
    """A field's value as YAML: what reads as a list or a map is one, anything else is a word or a number."""
    if text[:1] in ("[", "{"):
        import yaml

        one_line = " ".join(text.split())
        try:
            yaml.compose(one_line, Loader=yaml.SafeLoader)
        except yaml.YAMLError:
            option = f"--{name.replace('_', '-')}"
            raise UsageError(f"{option} {shown(text)}: begins as a list or a map of YAML and is none") from None
        return one_line
    return text if _PLAIN.fullmatch(text) else quoted(text)
