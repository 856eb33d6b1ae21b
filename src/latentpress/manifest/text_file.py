"""Prompts in a text file, `{file: prompts.txt}`: one a line, or with `whole: true` the file as one."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from latentpress.files import TooLarge, read_regular
from latentpress.manifest.inputs import note_file
from latentpress.manifest.nodes import MAX_BYTES, MapNode, Node, Place, Problems, described
from latentpress.manifest.values import given, parse_text

_KEYS = ("file", "whole")
# Files whose lines are kept.
_KEPT = 16


@dataclass(frozen=True)
class Line:
    """A prompt and where it stands."""

    text: str
    place: Place


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
    whole = False
    if "whole" in known:
        whole = getattr(known["whole"], "value", None)
        if not isinstance(whole, bool):
            problems.add(known["whole"].place, f"whole is {described(known['whole'])}; it must be true or false")
            return None
    path = Path(node.place.file).parent / text
    place = known["file"].place
    note_file(path)
    try:
        state = path.stat()
        found = _read(path, whole, state.st_mtime_ns, state.st_size)
    except TooLarge:
        problems.add(place, f"{path} is larger than {MAX_BYTES >> 20} MiB; split it")
    except OSError as error:
        reason = "does not exist" if isinstance(error, FileNotFoundError) else f"cannot be read ({error.strerror})"
        problems.add(place, f"file {path} of {name} {reason}; paths start at the manifest's folder")
    except UnicodeDecodeError as error:
        problems.add(place, f"byte {error.start} of {path} is not UTF-8; save it as UTF-8")
    else:
        if found.lines:
            return found
        problems.add(place, f"{path} holds no {name}; write one a line, blank lines and those beginning with # aside")
    return None


@lru_cache(_KEPT)
def _read(path: Path, whole: bool, modified: int, size: int) -> TextFile:
    text = read_regular(path, MAX_BYTES).decode("utf-8-sig")
    if whole:
        text = text.strip()
        return TextFile(path, (Line(text, Place(str(path), 1, 1)),) if text else ())
    return TextFile(path, tuple(Line(line, Place(str(path), number, 1)) for number, line in numbered(text)))


def numbered(text: str) -> list[tuple[int, str]]:
    """(number, text) of each line that is not blank and no comment, the spaces around it taken off."""
    lines = ((number, line.strip()) for number, line in enumerate(text.split("\n"), 1))
    return [(number, line) for number, line in lines if line and not line.startswith("#")]


def mentions(value: str | TextFile, text: str) -> bool:
    """Whether `text` stands in a prompt, or in one of a file's."""
    return text in value if isinstance(value, str) else any(text in line.text for line in value.lines)
