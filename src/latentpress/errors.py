"""Every error latentpress raises on purpose, and the exit code each one means.

    LatentpressError               1  something failed
    |- UsageError                  2  the input is wrong: a manifest, a flag, a concept, a bundle, a checkpoint
    |  |- ManifestError            2  `file:line:col: message`, one per mistake found
    |  |- ConceptError             2  a concept file cannot be used as asked
    |  |- BundleError              2  a bundle folder is damaged, foreign or of another version
    |  |- CheckpointError          2  a checkpoint cannot be read
    |  |- LedgerDamaged            2  the ledger of an output folder cannot be read; `latentpress rebuild` makes it again
    |  |- LoraError                2  a LoRA cannot be fused into this checkpoint
    |  `- ParityError              2  an exported graph disagrees with torch; nothing was published
    |- EnvironmentFailure          3  this machine lacks something: disk, a package, a permission
    `- OutputLocked               75  another process renders into the output folder

A message is one sentence: the place, the value, the rule, the way out.
"""

import re
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence


class LatentpressError(Exception):
    """Base of all errors shown to people as one sentence; `exit_code` is what the command returns."""

    exit_code = 1


class UsageError(LatentpressError):
    """The input is wrong."""

    exit_code = 2


class ManifestError(UsageError):
    """One or more mistakes in a manifest; `problems` holds one `file:line:col: message` each, of many alike the first.

    found: all of them, as file, line and message each, where they were gathered.
    """

    def __init__(self, problems: Sequence[str], found: Sequence[tuple[str, int, str]] = ()) -> None:
        self.problems, self.found = tuple(problems), tuple(found)
        super().__init__("\n".join(self.problems))


class ConceptError(UsageError):
    """A textual-inversion file cannot be used as asked."""


class BundleError(UsageError):
    """A bundle folder is damaged, foreign or of another format version."""


class CheckpointError(UsageError):
    """A checkpoint, or a part of one, cannot be read."""


class LedgerDamaged(UsageError):
    """The ledger of an output folder is damaged, or no file."""


class LoraError(UsageError):
    """A LoRA file cannot be fused into the checkpoint it is given with."""


class ParityError(UsageError):
    """An exported graph disagrees with torch beyond its bound; nothing was published."""


class EnvironmentFailure(LatentpressError):
    """This machine lacks something the work needs."""

    exit_code = 3


class OutputLocked(LatentpressError):
    """Another process renders into the same output folder."""

    exit_code = 75


def reason(error: BaseException, longest: int = 100) -> str:
    """What a library says of a failure, to stand in a sentence: one line, without addresses in memory."""
    said = re.sub(r"<[^<>]*\bat 0x[0-9a-fA-F]+>", "it", " ".join(str(error).split()))
    return said[:longest] or type(error).__name__


def one_line(text: str) -> str:
    """`text` with line breaks and other characters that cannot be seen written as escapes, as in `\\n`."""
    return text if text.isprintable() else "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def shown(text: str) -> str:
    """`text` quoted, short enough for one line of a message."""
    return repr(short(text))


def nearest(text: str, known: Iterable[str]) -> str | None:
    """The one of `known` that was probably meant by `text`, in whatever case it is written; None where none is like it."""
    from difflib import get_close_matches

    names = [*known]
    if close := get_close_matches(text, names, 1):
        return close[0]
    folded = {name.casefold(): name for name in reversed(names)}
    close = get_close_matches(text.casefold(), folded, 1)
    return folded[close[0]] if close else None


def counted(number: int, what: str, many: str | None = None) -> str:
    """So many of `what`, as a sentence has it: 1 call, 2,345 calls. many: what several are called, if not with an s."""
    return f"{number:,} {what if number == 1 else many or what + 's'}"


def mebibytes(count: int) -> str:
    """So many bytes, never as nothing where there are some: 12.3 MiB, below 0.1 MiB in KiB."""
    if 0 < count < 0.1 * 2**20:
        return f"{max(count / 2**10, 0.1):,.1f} KiB"
    return f"{count / 2**20:,.1f} MiB"


def short(text: str) -> str:
    """`text`, cut to 60 characters."""
    return text if len(text) <= 60 else text[:57] + "..."


# Of mistakes that are alike, as many are shown: enough to see what they have in common.
_SHOWN = 3
_VARYING = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[0-9]+""")


def shape(message: str) -> str:
    """What `message` says apart from values: the same for two that differ in what they quote and in numbers."""
    return _VARYING.sub("", message)


def condensed(lines: Sequence[str], kind: Callable[[str], Hashable]) -> list[str]:
    """`lines`, but of those of one `kind` the first three alone, the third saying how many more there are."""
    kinds = [kind(line) for line in lines]
    count, seen = Counter(kinds), Counter[Hashable]()
    kept: list[str] = []
    for line, key in zip(lines, kinds, strict=True):
        seen[key] += 1
        if seen[key] == _SHOWN < count[key]:
            kept.append(f"{line} (and {count[key] - _SHOWN:,} more like it)")
        elif seen[key] <= _SHOWN:
            kept.append(line)
    return kept
