"""The code of a person's own loss: its file and the local modules that it imports, and their hash. Runs none of it.

What is local is what Python would find beside the file: `helpers.py`, or a folder `helpers`. Installed packages are not;
what the code imports by a name that it makes up, or reads as data, is not seen.
"""

import ast
import hashlib
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from latentpress.errors import UsageError
from latentpress.files import read_regular, unread

_LIMIT = 1 << 20
# Modules of one loss: more are not a loss with its helpers.
_MOST = 200


class Watch(Protocol):
    """What hears of each file before it is read, and of what is looked for in folders; `manifest.inputs.Inputs` is one."""

    def file(self, path: Path) -> None: ...
    def folder(self, path: Path, pattern: str) -> None: ...


@dataclass(frozen=True)
class Module:
    """A module of a loss: path from the folder of the loss's file, with /; text: its source."""

    path: str
    text: str

    @property
    def is_package(self) -> bool:
        """Whether it is the `__init__.py` of a folder."""
        return self.path.endswith("__init__.py")


@dataclass(frozen=True)
class LossSource:
    """The code of a loss. folder: that of its file; entry: its module's name; modules: dotted name -> module."""

    folder: Path
    entry: str
    modules: Mapping[str, Module]

    @property
    def sha256(self) -> str:
        """Of all its code, but not of what the loss's own file is called, nor where it lies."""
        found = {"" if name == self.entry else name: one.text for name, one in self.modules.items()}
        return hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()

    @property
    def path(self) -> Path:
        """The loss's file."""
        return self.folder / self.modules[self.entry].path

    @property
    def text(self) -> str:
        """The source of the loss's file."""
        return self.modules[self.entry].text

    def data(self) -> dict[str, Any]:
        """As JSON data, for the ledger."""
        modules = {name: [one.path, one.text] for name, one in self.modules.items()}
        return {"entry": self.entry, "modules": modules}


def source_from(data: Mapping[str, Any], folder: Path) -> LossSource:
    """The source whose `data` this is, as if it lay in `folder`."""
    return LossSource(folder, data["entry"], {name: Module(*one) for name, one in data["modules"].items()})


def read_source(path: Path, watch: Watch | None = None, only: str = "", name: str = "") -> LossSource:
    """The code of the loss in the file at `path`; raises UsageError, a sentence that begins with a file's name.

    only, name: of an installed package the name that its modules begin with, and the module's own; its folder is that of
    the package then.
    """
    whole = path.name == "__init__.py"
    stem = path.parent.name if whole else path.stem
    entry = name or (stem if stem.isidentifier() else "__loss__")
    folder = path.parents[entry.count(".") + whole]
    modules = {entry: Module(path.relative_to(folder).as_posix(), _text(path, watch))}
    waiting = [entry]
    while waiting:
        at = waiting.pop()
        for wanted in _imports(at, modules[at], folder):
            if wanted in modules or (only and wanted.partition(".")[0] != only):
                continue
            if (found := _found(folder, wanted, watch)) is not None:
                if len(modules) >= _MOST:
                    raise UsageError(f"{path}: it imports more than {_MOST} local modules; keep a loss small")
                modules[wanted] = Module(found.relative_to(folder).as_posix(), _text(found, watch))
                waiting.append(wanted)
    return LossSource(folder, entry, modules)


def parsed(text: str, path: Path) -> ast.Module:
    """The syntax tree of a file's source; raises UsageError with the place of what is no Python."""
    try:
        return ast.parse(text)
    except SyntaxError as error:
        where = f"{path}:{error.lineno or 1}:{error.offset or 1}"
        raise UsageError(f"{where}: it is no Python ({error.msg}); correct it") from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise UsageError(f"{path}: it cannot be read as Python ({error}); give a file with a loss") from None


def _text(path: Path, watch: Watch | None) -> str:
    if watch is not None:
        watch.file(path)
    try:
        return read_regular(path, _LIMIT).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UsageError(f"{path}: it is not UTF-8; save it as UTF-8") from None
    except OSError as error:
        raise UsageError(f"{path}: it {unread(path, error)}; name a Python file with a loss") from None


def _found(folder: Path, name: str, watch: Watch | None) -> Path | None:
    """The file of the local module `name`; None where there is none."""
    top, *_ = parts = name.split(".")
    if top in sys.builtin_module_names:  # which nothing beside the file can stand in for
        return None
    for path in (folder.joinpath(*parts, "__init__.py"), folder.joinpath(*parts[:-1], f"{parts[-1]}.py")):
        if watch is not None:
            watch.folder(path.parent, path.name)
        if path.is_file():
            return path
    return None


def _imports(at: str, module: Module, folder: Path) -> Iterator[str]:
    """The dotted names that the module called `at` imports, whole packages before what is in them."""
    package = at.split(".") if module.is_package else at.split(".")[:-1]
    for node in ast.walk(parsed(module.text, folder / module.path)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _upward(alias.name)
        elif isinstance(node, ast.ImportFrom):
            if node.level > len(package) + 1:
                continue  # above the file's folder; Python refuses it
            base = package[: len(package) - node.level + 1] if node.level else []
            whole = ".".join([*base, *filter(None, [node.module])])
            yield from _upward(whole)
            for alias in node.names:
                yield from _upward(f"{whole}.{alias.name}" if whole else alias.name)


def _upward(name: str) -> Iterator[str]:
    parts = name.split(".") if name else []
    for count in range(1, len(parts) + 1):
        if parts[count - 1] != "*":
            yield ".".join(parts[:count])
