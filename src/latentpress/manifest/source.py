"""Where text comes from: a file, or a stream that is kept in a temporary file so that it can be read twice.

Knows which format an ending or a first line means, and nothing else of what the text says.
"""

import io
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, cast

from latentpress.errors import ManifestError
from latentpress.files import TooLarge, open_regular, read_regular
from latentpress.manifest.inputs import note_file
from latentpress.manifest.nodes import Place
from latentpress.manifest.plain_text import NotText, decoded

YAML, JSON, JSONL, CSV = "YAML", "JSON", "JSONL", "CSV"
ENDINGS = {".yaml": YAML, ".yml": YAML, ".json": JSON, ".jsonl": JSONL, ".ndjson": JSONL, ".csv": CSV, ".tsv": CSV}
# Formats whose jobs are read line by line.
STREAMED = (JSONL, CSV)
# Bytes of one line. A job has some hundred; one that carries a picture within it, as OpenAI's may, has millions.
MAX_LINE = 64 << 20
_JSON_BEGINS = re.compile(r'\{\s*("|$)|\[\s*(\{|$)')


@dataclass(frozen=True)
class Source:
    """A text to be read, more than once if need be.

    path: the file it is in; name: what places call it; format: one of the above; kept: a temporary file, which stays as
    long as this does.
    """

    path: Path
    name: str
    format: str
    kept: object = field(default=None, repr=False)

    @classmethod
    def of(cls, path: Path) -> "Source":
        """The file at `path`, whose format its ending says; what is not listed is YAML."""
        return cls(path, str(path), ENDINGS.get(path.suffix.lower(), YAML))

    @property
    def stem(self) -> str:
        """Its name without folders and ending: `requests` of `in/requests.jsonl`, `stdin` of `<stdin>`."""
        return Path(self.name).stem.strip("<>")

    @property
    def start(self) -> Place:
        """Where it begins."""
        return Place(self.name, 1, 1)

    def text(self, limit: int) -> str:
        """All of it. Raises ManifestError where it cannot be read, has more than `limit` bytes, or is not UTF-8."""
        note_file(self.path)
        try:
            return decoded(read_regular(self.path, limit), self.name)
        except TooLarge:
            way_out = "split it, or move its jobs to a .jsonl file, which has no limit, and write `- from: FILE.jsonl`"
            raise ManifestError([f"{self.start}: the manifest is larger than {limit >> 20} MiB; {way_out}"]) from None
        except FileNotFoundError:
            raise ManifestError([f"{self.name}: no such file; give the path of a manifest"]) from None
        except OSError as error:
            raise ManifestError([f"{self.start}: the manifest cannot be read ({error.strerror})"]) from None
        except NotText as error:
            raise ManifestError([f"{error.place}: {error}"]) from None


class Lines:
    """The lines of a source as bytes, read anew on each pass and never held all at once.

    Where the first one ends with a carriage return alone, as old Macs wrote them, that ends lines too. What is read again
    must be what was read first. Raises ManifestError where it is not, or cannot be read.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._stamp: tuple[int, ...] | None = None

    def __iter__(self) -> Iterator[bytes]:
        """Each line with its end, the first without a byte order mark; of an overlong one MAX_LINE bytes and one more."""
        note_file(self._source.path)
        try:
            with open_regular(self._source.path) as stream:
                self._check(stream)
                first = stream.readline(MAX_LINE + 1)
                if b"\r" in first.rstrip(b"\r\n"):
                    stream.seek(0)
                    lines = _returns(stream)
                    first = next(lines)
                else:
                    lines = iter(lambda: stream.readline(MAX_LINE + 1), b"")
                yield first.removeprefix(b"\xef\xbb\xbf")
                yield from lines
                self._check(stream)
        except OSError as error:
            raise ManifestError([f"{self._source.start}: the file cannot be read ({error.strerror})"]) from None

    def _check(self, stream: BinaryIO) -> None:
        state = os.fstat(stream.fileno())
        stamp = (state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns)
        self._stamp = self._stamp or stamp
        if stamp != self._stamp:
            message = "the file has changed since it was read first; run the command again"
            raise ManifestError([f"{self._source.start}: {message}"])


def _returns(stream: BinaryIO) -> Iterator[bytes]:
    """The lines of `stream`, whatever ends them, each with a line feed."""
    # Latin-1 has a character for each byte, so that what comes out is what went in.
    text = io.TextIOWrapper(cast("io.BufferedReader", stream), "latin-1", newline=None)
    yield from iter(lambda: text.readline(MAX_LINE + 1).encode("latin-1"), b"")
    text.detach()


def spooled(stream: BinaryIO, name: str = "<stdin>", format: str | None = None) -> Source:
    """All of `stream`, kept in a temporary file; without a `format` its first line tells it."""
    kept = tempfile.NamedTemporaryFile(prefix="latentpress-")  # noqa: SIM115 - open for as long as the source is there
    shutil.copyfileobj(stream, kept)
    kept.seek(0)
    first = next((line for line in iter(lambda: kept.readline(MAX_LINE), b"") if line.strip()), b"")
    return Source(Path(kept.name), name, format or guessed(first), kept)


def guessed(line: bytes) -> str:
    """The format of a text by its first line: JSONL if that is a job as an object, CSV if it names columns."""
    text = next(iter(line.strip().splitlines()), b"").decode("utf-8-sig", "replace").strip()
    if _JSON_BEGINS.match(text):
        try:
            return JSON if "version" in json.loads(text) else JSONL
        except ValueError:
            return JSON
    return CSV if "prompt" in re.split(r'[\s"]*[,;\t][\s"]*', text.strip('" ')) else YAML
