"""What goes wrong, as people read it and as scripts do: a sentence and an exit code. Knows no command."""

import errno
from dataclasses import dataclass

from latentpress.cli.missing import missing_message
from latentpress.errors import LatentpressError, ManifestError

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


def failure_of(error: BaseException) -> Failure | None:
    """What `error` means, None for one that nobody expected."""
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
    return None


def worst(codes: list[int]) -> int:
    """The gravest of some exit codes: 3, then 2, 75, 4, 1, and 0; any other is graver than all."""
    return max(codes, key=lambda code: _BY_WEIGHT.index(code) if code in _BY_WEIGHT else len(_BY_WEIGHT), default=0)
