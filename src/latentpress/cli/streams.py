"""What the command line prints on: nothing that becomes of stdout or stderr stops or fails a render.

A reader that is gone, a full disk, a closed stream or an encoding that lacks a character is not noticed by those who print.
But a command whose whole use is what it prints ends there: quietly, if its reader is gone, as in `plan | head`.
"""

import codecs
import contextlib
import errno
import io
import os
import select
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

# As a shell has it for a program that SIGPIPE ends, which Python ignores.
READER_GONE = 128 + 13
OUTPUT_LOST = 3
# Those that are of no use unless someone reads what they print. All others do something.
_TELLING = {
    "plan",
    "status",
    "watch",
    "diff",
    "results",
    "samplers",
    "losses",
    "inspect",
    "doctor",
    "verify",
    "report",
    "measure",
}
_ESCAPED = "ascii_with_escapes"


def open_streams(arguments: Sequence[str]) -> None:
    """Put streams in place of sys.stdout and sys.stderr that suit the command which `arguments` name."""
    for descriptor in range(3):
        _occupy(descriptor)
    codecs.register(_ascii_with_escapes)
    sys.stdout = _text(1, sys.stdout, stops=only_tells(arguments))
    sys.stderr = _text(2, sys.stderr, stops=False)


def only_tells(arguments: Sequence[str]) -> bool:
    """Whether a command does nothing but print."""
    words = [one for one in arguments if not one.startswith("-")]
    return "--repair" not in arguments and (
        not words or words[0] in _TELLING or not {"-h", "--help"}.isdisjoint(arguments)
    )


class Courtesy(io.RawIOBase):
    """Writes to a descriptor, and takes what cannot be written for written.

    stops: but for the first time, when the process is to end: with READER_GONE, or with a sentence and OUTPUT_LOST.
    """

    def __init__(self, descriptor: int, *, stops: bool = False) -> None:
        self._descriptor, self._stops = descriptor, stops

    def writable(self) -> bool:
        """Yes."""
        return True

    def fileno(self) -> int:
        """The descriptor."""
        return self._descriptor

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return os.isatty(self._descriptor)

    def write(self, content: "ReadableBuffer", /) -> int:
        """Write some of `content`; returns how much."""
        while True:
            try:
                return os.write(self._descriptor, content)
            except BlockingIOError:  # another program that has the same terminal or pipe made it so
                select.select([], [self._descriptor], [])
            except OSError as error:
                if self._stops:
                    self._stops = False
                    raise SystemExit(_code(error)) from None
                return len(memoryview(content).cast("B"))


def _code(error: OSError) -> int:
    if error.errno == errno.EPIPE:
        return READER_GONE
    print(f"error: stdout: {error.strerror}; print to another place, then run the same command", file=sys.stderr)
    return OUTPUT_LOST


def _occupy(descriptor: int) -> None:
    """Open the null device as a standard stream that is closed; else a picture's file would get its number.

    Whatever library prints there then would print into the picture.
    """
    try:
        os.fstat(descriptor)
    except OSError:
        with contextlib.suppress(OSError):
            null = os.open(os.devnull, os.O_RDWR)
            os.set_inheritable(null, True)
            if null != descriptor:
                os.dup2(null, descriptor)
                os.close(null)


def _text(descriptor: int, before: TextIO | None, *, stops: bool) -> TextIO:
    """A text stream on a descriptor, encoded as the one `before`; characters that its encoding lacks are escaped."""
    encoding = "utf-8" if before is None else before.encoding
    with contextlib.suppress(LookupError):
        if codecs.lookup(encoding).name == "ascii":
            encoding = _ESCAPED
    raw = Courtesy(descriptor, stops=stops)
    lines = descriptor == 2 or raw.isatty()
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding, "backslashreplace", line_buffering=lines)


def _ascii_with_escapes(name: str) -> codecs.CodecInfo | None:
    """ASCII by another name: Click takes the usual one for a mistake, and prints UTF-8 instead."""
    if name != _ESCAPED:
        return None
    ascii_ = codecs.lookup("ascii")
    return codecs.CodecInfo(ascii_.encode, ascii_.decode, None, None, ascii_.incrementalencoder, None, _ESCAPED)
