"""Prompts in a text file, `{file: prompts.txt}`: one a line, or with `whole: true` the file as one."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from latentpress.files import unread
from latentpress.manifest.inputs import note_file
from latentpress.manifest.nodes import MapNode, Node, Problems, described
from latentpress.manifest.plain_text import STARTS, Line, NotText, lines_of, read_text, whole
from latentpress.manifest.values import Verbatim, given, parse_text

_KEYS = ("file", "whole")
# Files whose lines are kept.
_KEPT = 16


@dataclass(frozen=True, eq=False)
class TextFile:
    """The prompts of a file."""

    path: Path
    lines: tuple[Line, ...]

    def __str__(self) -> str:
        return str(self.path)


def is_text_file(node: Node) -> bool:
    """Whether `node` is a map that names a file, and nothing else."""
    return isinstance(node, MapNode) and "file" in node.values and not node.values.keys() - set(_KEYS)


def parse_text_file(name: str, node: MapNode, problems: Problems) -> TextFile | None:
    """The prompts of the file that `node` names, relative to the manifest's folder; `name` is the field."""
    for key in node.values.keys() - set(_KEYS):
        problems.unknown_key(node.keys[key], _KEYS, name)
    known = given(node)
    if "file" not in known:
        problems.add(node.place, f"{name} is a map without file; write {{file: prompts.txt}}, or text")
        return None
    if (text := parse_text(f"file of {name}", known["file"], problems)) is None:
        return None
    whole_file = False
    if "whole" in known:
        whole_file = getattr(known["whole"], "value", None)
        if not isinstance(whole_file, bool):
            problems.add(known["whole"].place, f"whole is {described(known['whole'])}; it must be true or false")
            return None
    path = Path(node.place.file).parent / text
    place = known["file"].place
    note_file(path)
    try:
        state = path.stat()
        found = _read(path, whole_file, state.st_mtime_ns, state.st_size)
    except OSError as error:
        problems.add(place, f"file {path} of {name} {unread(path, error)}; {STARTS}")
    except NotText as error:
        problems.add(error.place, str(error))
    else:
        if found.lines:
            return found
        problems.add(place, f"{path} holds no {name}; write one a line, blank lines and those beginning with # aside")
    return None


@lru_cache(_KEPT)
def _read(path: Path, whole_file: bool, modified: int, size: int) -> TextFile:
    text = read_text(path)
    return TextFile(path, tuple(whole(path, text) if whole_file else lines_of(path, text)))


def mentions(value: str | TextFile, text: str) -> bool:
    """Whether a placeholder `text` stands in a prompt, or in one of a file's."""
    if isinstance(value, Verbatim):
        return False
    return text in value if isinstance(value, str) else any(text in line.text for line in value.lines)
