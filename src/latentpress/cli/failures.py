"""What goes wrong, as people read it and as scripts do: a sentence, an exit code, and both as JSON. Knows no command."""

import errno
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import typer

from latentpress.cli.environment import hint_of
from latentpress.cli.missing import missing_message
from latentpress.cli.options import print_json
from latentpress.errors import LatentpressError, ManifestError, shown

# What the system refuses -> what to do about it.
_WAYS_OUT = {
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some space",
    errno.EIO: "see that the disk works",
    errno.EACCES: "fix its permissions",
    errno.EPERM: "fix its permissions",
    errno.EROFS: "make the disk writable",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
}
_FILE = re.compile(r"\.(ya?ml|json|jsonl|ndjson|csv|tsv|png|webp|jpe?g|avif|zip|pdf|svg|txt)$", re.IGNORECASE)
_PLACED = re.compile(r"(.*?):([0-9]+):([0-9]+): (.*)", re.DOTALL)
# Exit codes from the harmless to the worst: of several manifests the worst is the command's.
_BY_WEIGHT = (0, 1, 4, 75, 2, 3)


@dataclass(frozen=True)
class Failure:
    """An expected failure. problems: the lines of a manifest's mistakes, `file:line:col: message`, empty for others."""

    message: str
    code: int
    problems: tuple[str, ...] = ()

    def text(self, of: str = "") -> str:
        """What people read; of: the manifest that it happened to, for a message that may not name it."""
        if self.problems:
            return self.message
        return f"error: {of}: {self.message}" if of else f"error: {self.message}"

    def data(self) -> dict[str, object]:
        """The same for scripts; docs/schemas/error.json."""
        problems = [_problem(line) for line in self.problems]
        return {"message": self.message, "exit_code": self.code, "problems": problems}

    def tell(self, *, as_json: bool, of: str = "", one_line: bool = False) -> int:
        """Print it: on stderr for people, and with `as_json` on stdout for scripts. Returns the exit code."""
        print(self.text(of), file=sys.stderr, flush=True)
        if as_json:
            print_json({**({"manifest": of} if of else {}), "error": self.data()}, one_line=one_line)
        return self.code


def failure_of(error: BaseException, arguments: Sequence[str] = ()) -> Failure | None:
    """What `error` means, None for one that nobody expected; arguments: of the command line, where those may be wrong."""
    if isinstance(error, ManifestError):
        return Failure(str(error), error.exit_code, error.problems)
    if isinstance(error, LatentpressError):
        return Failure(str(error), error.exit_code)
    if isinstance(error, ModuleNotFoundError):
        return Failure(missing_message(error), 3)
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        hint = _WAYS_OUT.get(error.errno or 0, "mend this")
        return Failure(f"{where}{error.strerror or error}; {hint}, then run the same command", 3)
    if isinstance(error, typer.Abort):
        return Failure("the command was aborted", 1)
    if isinstance(error, _WRONG_ARGUMENTS):
        return Failure(_arguments_message(error, _dashed(arguments)), 2)
    return None


def asks_for_json(arguments: Sequence[str]) -> bool:
    """Whether the command line wants JSON on stdout, known also where it cannot be read otherwise."""
    if "bench" not in arguments[:1]:
        return "--json" in arguments
    return "--json=-" in arguments or ("--json", "-") in pairwise(arguments)


def worst(codes: list[int]) -> int:
    """The gravest of some exit codes: 3, then 2, 75, 4, 1, and 0; any other is graver than all."""
    return max(codes, key=lambda code: _BY_WEIGHT.index(code) if code in _BY_WEIGHT else len(_BY_WEIGHT), default=0)


# What typer raises for arguments that it cannot read; it has no public name.
_WRONG_ARGUMENTS = typer.BadParameter.__mro__[typer.BadParameter.__mro__.index(Exception) - 1]


def _dashed(arguments: Sequence[str]) -> str | None:
    """An argument that is read as an option, and names a file: one that is there, or ends as files for us do."""
    read = arguments[: arguments.index("--")] if "--" in arguments else arguments
    named = [one for one in read if one.startswith("-") and one != "-" and "=" not in one]
    there = [one for one in named if os.path.lexists(one)] or [one for one in named if _FILE.search(one)]
    return there[0] if there else None


def _arguments_message(error: Any, dashed: str | None) -> str:
    """What typer says of the arguments, as a sentence that ends with the way out; dashed: a file that is no option."""
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "latentpress"
    if isinstance(error, typer.BadParameter) and (hint := hint_of(context, error.param)):
        error.param_hint = hint
    # Without arguments its message is the help, which has been printed.
    without = type(error).__name__ == "NoArgsIsHelpError"
    said = "name a command" if without else " ".join(error.format_message().split()) or "name a command"
    said = said.replace("Input should be", "it must be")
    said = re.sub(r" \(Possible options: (.*)\)", r"; did you mean \1?", said.replace(". Did you", "; did you"))
    if dashed is not None:
        what = f"{command}: {said[:1].lower()}{said[1:].rstrip('.')}".partition("; did you mean")[0]
        return f"{what}; {shown(dashed)} is read as an option, so write ./{dashed} for the file"
    way_out = "" if said.endswith("?") else f"; `{command} -h` shows what it takes"
    return f"{command}: {said[:1].lower()}{said[1:].rstrip('.')}{way_out}"


def _problem(line: str) -> dict[str, object]:
    found = _PLACED.fullmatch(line)
    if not found:
        return {"file": None, "line": None, "column": None, "message": line}
    return {"file": found[1], "line": int(found[2]), "column": int(found[3]), "message": found[4]}
