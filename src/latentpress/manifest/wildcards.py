"""The folder of wildcards: `__color__` is the lines of color.txt, `__animals/cat__` those of animals/cat.txt.

As dynamicprompts has them: a line is an option, and may hold braces, wildcards and a weight before `::`; blank lines and
those that begin with # are left out. Files are read once, when a prompt asks for them.
"""

from collections.abc import Sequence
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path

from latentpress.errors import shown
from latentpress.files import TooLarge, read_regular
from latentpress.manifest.braces import Option
from latentpress.manifest.inputs import inputs_now
from latentpress.manifest.nodes import MAX_BYTES, Node, Place, Problems
from latentpress.manifest.text_file import numbered
from latentpress.manifest.values import is_none, parse_text
from latentpress.manifest.variants import MAX_DEPTH, TextError, merged, read_option

FOLDER = "wildcards"


class Wildcards:
    """The wildcards in `folder`; notes: what to say of lines that is no mistake, and where."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._inputs = inputs_now()
        self.notes: dict[tuple[Place, str], None] = {}
        self._known: dict[str, Sequence[Option]] = {}
        self._open: list[str] = []

    def __call__(self, name: str) -> Sequence[Option]:
        """The options of the wildcard `name`, a pattern's in the order of the files' names. Raises TextError."""
        if name in self._known:
            return self._known[name]
        if ".." in name.split("/") or name.startswith("/"):
            raise TextError(f"has the wildcard {shown(f'__{name}__')}, which leads out of {self.folder}")
        files = self._files(name)
        if not files:
            raise TextError(f"has the wildcard {shown(f'__{name}__')}, and {self._missing(name)}")
        found = [option for file in files for option in self._of(file)]
        if not found:
            raise TextError(f"has the wildcard {shown(f'__{name}__')}, and {files[0]} holds no line that is one")
        self._known[name] = merged(found)
        return self._known[name]

    def _files(self, name: str) -> list[Path]:
        if not any(sign in name for sign in "*?"):
            file = self.folder / f"{name}.txt"
            return [file] if file.is_file() else []
        try:
            found = sorted(file for file in self.folder.glob(f"{name}.txt") if file.is_file())
            self._inputs.folder(self.folder, f"{name}.txt")
            return found
        except ValueError as error:  # `**` beside other characters, in some Pythons
            raise TextError(f"has the wildcard {shown(f'__{name}__')}, no pattern that can be read ({error})") from None

    def _missing(self, name: str) -> str:
        close = get_close_matches(name, self._all, 1) or [
            one for one in self._all if one.rpartition("/")[2].lower() == name.rpartition("/")[2].lower()
        ]
        hint = f"did you mean __{close[0]}__?" if close else f"write \\__{name}__ for the characters themselves"
        return f"{self.folder / name}.txt does not exist; {hint}"

    @cached_property
    def _all(self) -> list[str]:
        found = (file.relative_to(self.folder).as_posix() for file in sorted(self.folder.rglob("*.txt")))
        return [name.removesuffix(".txt") for name in found]

    def _of(self, file: Path) -> Sequence[Option]:
        name = file.relative_to(self.folder).as_posix().removesuffix(".txt")
        if name in self._known:
            return self._known[name]
        if name in self._open:
            rounds = " -> ".join(f"__{one}__" for one in (*self._open[self._open.index(name) :], name))
            raise TextError(f"has a wildcard that holds itself: {rounds}; take it out of one of the files")
        if len(self._open) == MAX_DEPTH:
            raise TextError(f"has wildcards within wildcards, deeper than {MAX_DEPTH} levels")
        self._inputs.file(file)
        self._open.append(name)
        try:
            options = [self._option(text, Place(str(file), number, 1)) for number, text in lines_of(file)]
        finally:
            self._open.pop()
        self._known[name] = merged(options)
        return self._known[name]

    def _option(self, text: str, place: Place) -> Option:
        try:
            option, read = read_option(text, self)
        except TextError as error:
            raise TextError(str(error), error.place or place) from None
        if read.names:
            name = next(iter(read.names))
            raise TextError(f"names braces, {{{name}=...}}; name them in the prompt, {{{name}=__wildcard__}}", place)
        self.notes |= dict.fromkeys((place, f"the line {note}") for note in read.notes)
        return option


def lines_of(file: Path) -> list[tuple[int, str]]:
    """(number, text) of each line of a text file that is not blank and no comment, spaces around it taken off.

    Raises TextError where it cannot be read, at its place.
    """
    start = Place(str(file), 1, 1)
    try:
        text = read_regular(file, MAX_BYTES).decode("utf-8-sig")
    except TooLarge:
        raise TextError(f"names a file larger than {MAX_BYTES >> 20} MiB; split it", start) from None
    except OSError as error:
        raise TextError(f"names a file that cannot be read ({error.strerror})", start) from None
    except UnicodeDecodeError as error:
        raise TextError(f"names a file whose byte {error.start} is not UTF-8; save it as UTF-8", start) from None
    if "\0" in text:
        raise TextError("names a file that holds a NUL, which no file can carry; remove it", start)
    return numbered(text)


def parse_wildcards(node: Node | None, manifest: Path, problems: Problems) -> Wildcards | None:
    """The folder that the manifest's `wildcards` names, else the one of that name beside it; None for none of both."""
    if node is None:
        beside = manifest.parent / FOLDER
        inputs_now().folder(beside, "")
        return Wildcards(beside) if beside.is_dir() else None
    if is_none(node) or (text := parse_text("wildcards", node, problems)) is None:
        return None
    folder = manifest.parent / text
    if not folder.is_dir():
        what = "is no folder" if folder.exists() else "does not exist"
        problems.add(node.place, f"wildcards {shown(str(folder))} {what}; paths start at the manifest's folder")
        return None
    return Wildcards(folder)
