"""The folder of wildcards: `__color__` is the lines of color.txt, `__animals/cat__` those of animals/cat.txt.

As dynamicprompts has them: a line is an option, and may hold braces, wildcards and a weight before `::`; blank lines and
those that begin with # are left out. Files are read once, when a prompt asks for them.
"""

import os
import re
import stat
from collections.abc import Sequence
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path

from latentpress.errors import shown
from latentpress.files import unread
from latentpress.manifest.braces import Option
from latentpress.manifest.inputs import inputs_now
from latentpress.manifest.nodes import Node, Place, Problems
from latentpress.manifest.plain_text import Line, NotText, lines_of, read_text
from latentpress.manifest.values import is_none, parse_text
from latentpress.manifest.variants import MAX_DEPTH, TextError, merged, read_option

FOLDER = "wildcards"
# What makes a name a pattern.
_SIGNS = "*?"


class Wildcards:
    """The wildcards in `folder`; notes: what to say of lines that is no mistake, and where."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._inputs = inputs_now()
        self.notes: dict[tuple[Place, str], None] = {}
        self._known: dict[str, Sequence[Option]] = {}
        self._wrong: dict[str, Sequence[tuple[Place, str]]] = {}
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
        found, wrong = self._gathered(files)
        if wrong:
            raise TextError("", elsewhere=wrong)
        if not found:
            raise TextError(f"has the wildcard {shown(f'__{name}__')}, and {files[0]} holds no line that is one")
        self._known[name] = merged(found)
        return self._known[name]

    def _gathered(self, files: Sequence[Path]) -> tuple[list[Option], list[tuple[Place, str]]]:
        """The options of all files, and what is wrong in them."""
        found: list[Option] = []
        wrong: dict[tuple[Place, str], None] = {}
        for file in files:
            try:
                found += self._of(file)
            except TextError as error:
                if not error.elsewhere:
                    raise
                wrong |= dict.fromkeys(error.elsewhere)
        return found, list(wrong)

    def _files(self, name: str) -> list[Path]:
        if not any(sign in name for sign in _SIGNS):
            file = self.folder / f"{name}.txt"
            return [file] if os.path.lexists(file) else []
        # Beside other characters `**` is `*`, which some Pythons refuse to read; alone at the end it is all files below.
        parts = [part if part == "**" else re.sub(r"\*\*+", "*", part) for part in name.split("/")]
        pattern = "/".join([*parts, "*"] if parts[-1] == "**" else parts) + ".txt"
        self._inputs.folder(self.folder, pattern)
        return sorted(file for file in self.folder.glob(pattern) if not file.is_dir())

    def _missing(self, name: str) -> str:
        close = get_close_matches(name, self._all, 1) or [
            one for one in self._all if one.rpartition("/")[2].lower() == name.rpartition("/")[2].lower()
        ]
        hint = f"did you mean __{close[0]}__?" if close else f"write \\__{name}__ for the characters themselves"
        if any(sign in name for sign in _SIGNS):
            return f"no file in {self.folder} is called like that; {hint}"
        return f"{self.folder / name}.txt does not exist; {hint}"

    @cached_property
    def _all(self) -> list[str]:
        files = (file for file in sorted(self.folder.rglob("*.txt")) if file.is_file())
        found = (file.relative_to(self.folder).as_posix() for file in files)
        return [name.removesuffix(".txt") for name in found]

    def _of(self, file: Path) -> Sequence[Option]:
        name = file.relative_to(self.folder).as_posix().removesuffix(".txt")
        if name in self._wrong:
            raise TextError("", elsewhere=self._wrong[name])
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
            options, wrong = self._options(lines_of(file, read_text(file)))
        except NotText as error:
            options, wrong = [], [(error.place, str(error))]
        except OSError as error:
            what = f"the file {unread(file, error)}; mend it, or take it away"
            options, wrong = [], [(Place(str(file), 1, 1), what)]
        finally:
            self._open.pop()
        if wrong:
            self._wrong[name] = wrong
            raise TextError("", elsewhere=wrong)
        self._known[name] = merged(options)
        return self._known[name]

    def _options(self, lines: Sequence[Line]) -> tuple[list[Option], list[tuple[Place, str]]]:
        """The options of some lines, and what is wrong with those that are none, each mistake with its place."""
        options: list[Option] = []
        wrong: dict[tuple[Place, str], None] = {}
        for line in lines:
            try:
                option, read = read_option(line.text, line.place, self)
            except TextError as error:
                for one in error.all:
                    here = (line.place.within(line.text, one.at or 0), f"the line {one}")
                    wrong |= dict.fromkeys(one.elsewhere or [here])
                continue
            for name in list(read.names)[:1]:
                what = f"the line names braces, {{{name}=...}}; name them in the prompt, {{{name}=__wildcard__}}"
                wrong[line.place, what] = None
            self.notes |= dict.fromkeys((line.place, f"the line {note}") for note in read.notes)
            options.append(option)
        return options, list(wrong)


def parse_wildcards(node: Node | None, manifest: Path, problems: Problems) -> Wildcards | None:
    """The folder that the manifest's `wildcards` names, else the one of that name beside it; None for none of both."""
    if node is None:
        beside = manifest.parent / FOLDER
        inputs_now().folder(beside, "")
        return Wildcards(beside) if beside.is_dir() else None
    if is_none(node) or (text := parse_text("wildcards", node, problems)) is None:
        return None
    folder = manifest.parent / text
    try:
        what = None if stat.S_ISDIR(folder.stat().st_mode) else "is no folder"
    except OSError as error:
        what = unread(folder, error)
    if what is not None:
        problems.add(node.place, f"wildcards {shown(str(folder))} {what}; paths start at the manifest's folder")
        return None
    return Wildcards(folder)
