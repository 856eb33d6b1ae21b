"""Where what a person's loss prints goes: to stderr, or to whoever hears it. Stdout is for what a command answers."""

import contextlib
import io
import sys
from collections.abc import Callable, Generator

_hearing: list[Callable[[str], None]] = []


def hear_printed(hear: Callable[[str], None]) -> None:
    """From now on `hear` gets each line that a loss of this process prints, on stdout or stderr."""
    _hearing[:] = [hear]


@contextlib.contextmanager
def printing() -> Generator[None]:
    """Within, what is printed goes to stderr, or to whoever hears it."""
    if not _hearing:
        with contextlib.redirect_stdout(sys.stderr):
            yield
        return
    lines = _Lines(_hearing[0])
    try:
        with contextlib.redirect_stdout(lines), contextlib.redirect_stderr(lines):
            yield
    finally:
        lines.end()


class _Lines(io.TextIOBase):
    """A text that is handed on line by line."""

    def __init__(self, hear: Callable[[str], None]) -> None:
        self._hear, self._rest = hear, ""

    def write(self, text: str, /) -> int:
        """As `TextIOBase.write`."""
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._hear(line)
        return len(text)

    def end(self) -> None:
        """Hand on a last line that has no end."""
        if self._rest:
            self.write("\n")
