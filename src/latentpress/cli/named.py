"""From a command's MANIFEST arguments to manifests that are read: files, patterns, and `-` for stdin."""

import glob
import io
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from latentpress.cli.environment import is_output
from latentpress.errors import UsageError, shown
from latentpress.files import OWN_FOLDER

if TYPE_CHECKING:
    from latentpress.manifest.manifest import Manifest

STDIN = "-"
# What messages call it; its folder is the current one, from which paths in it start.
STDIN_PATH = Path("<stdin>")
NAME = "{name}"


@dataclass(frozen=True)
class Named:
    """The manifests that a command was given, each once, in the order given; a pattern's by name.

    several: whether the command line may name more than one, so that what it prints has one shape however many there are.
    """

    paths: tuple[Path, ...]
    several: bool


def named_manifests(texts: Sequence[str]) -> Named:
    """The manifests that the arguments name. Raises UsageError for a pattern without a match, and for a folder.

    An argument that is a file is that file, whatever its name; `**` in a pattern goes through folders.
    """
    found: dict[Path, Path] = {}

    def add(path: Path) -> None:
        # One file named twice, as m.yaml and $PWD/m.yaml; a link to it has a name of its own.
        found.setdefault(path.parent.resolve() / path.name, path)

    patterns = 0
    for text in texts:
        if text == STDIN:
            found[STDIN_PATH] = STDIN_PATH
        elif os.path.lexists(text) or not glob.has_magic(text):
            if Path(text).is_dir():
                raise _folder(Path(text))
            add(Path(text))
        else:
            patterns += 1
            matches = sorted(path for path in glob.glob(text, recursive=True) if not Path(path).is_dir())  # noqa: PTH207
            if not matches:
                raise UsageError(f"{shown(text)} matches no file; name a manifest, or mend the pattern")
            for match in matches:
                add(Path(match))
    return Named(tuple(found.values()), len(texts) > 1 or patterns > 0)


def _folder(path: Path) -> UsageError:
    if (path / OWN_FOLDER).is_dir():
        return UsageError(
            f"{path}: is an output folder; name its manifest, and the folder with -o {path}; `latentpress report {path}` "
            "needs no manifest"
        )
    return UsageError(f"{path}: is a folder; name the manifests in it, e.g. '{path / '*.yaml'}'")


def read_named(path: Path) -> "Manifest":
    """The manifest at `path`, or the one on stdin. Raises ManifestError."""
    from latentpress.manifest.manifest import read_manifest
    from latentpress.manifest.source import spooled

    return read_manifest(spooled(stdin(), str(path)) if path == STDIN_PATH else path)


def stdin() -> BinaryIO:
    """The bytes of stdin; none where it is closed."""
    return io.BytesIO() if sys.stdin is None else sys.stdin.buffer  # pyright: ignore[reportUnnecessaryComparison]


def output_of(output: Path | None, manifest: "Manifest", *, latest: bool = False) -> Path | None:
    """The folder that `-o` names for one manifest, whose name stands for `{name}` in it; dated.py fills `{date}`.

    latest: whether what was rendered is asked for, and not what would be.
    """
    if output is None or "{" not in str(output):
        return output
    from latentpress.batch.dated import dated

    return dated(Path(str(output).replace(NAME, manifest.name)), manifest.path, latest=latest)


def folder_of(target: str, output: Path | None) -> Path:
    """The output folder that `target` is, or that has what was rendered of the manifest that it is; output: its `-o`."""
    path = Path(target)
    if path.is_dir():
        if output is not None and not is_output(output):
            raise UsageError(f"{target}: is an output folder itself; leave -o out, or name a manifest")
        return path
    if target != STDIN and not os.path.lexists(path):
        raise UsageError(f"{target}: no such file or folder; give a manifest, or an output folder as `render -o` does")
    manifest = read_named(STDIN_PATH if target == STDIN else path)
    return output_of(output, manifest, latest=True) or Path("out") / manifest.name
