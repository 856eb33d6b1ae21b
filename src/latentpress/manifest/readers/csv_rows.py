"""CSV after RFC 4180: a header of names above rows of values, read as it is asked for. Knows no field.

Commas, semicolons or tabs separate cells, whichever the header has. Where a cell stands is looked for when somebody asks.
"""

import csv
import io
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from operator import itemgetter

from latentpress.errors import ManifestError, shown
from latentpress.manifest.names import MAX_TEXT
from latentpress.manifest.nodes import OWN_KEY, MapNode, Node, Place, Problems, Scalar
from latentpress.manifest.plain_text import NotText, decoded
from latentpress.manifest.readers.layout import OWN, Quick
from latentpress.manifest.readers.yaml_text import read_flow
from latentpress.manifest.source import MAX_LINE, Lines, Source

DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs"}
_NULLS = ("null", "Null", "NULL")
# Printable ASCII that means its characters, as most texts do.
_PLAIN = re.compile(r"(?!(?:null|Null|NULL)\Z)[!-~][ -~]*").fullmatch
# Digits that any seed may have: 2^64-1 has twenty.
_DIGITS = 19


class CsvRows:
    """The map of each row of `source`, made anew on each pass; an empty cell gives no value.

    known: what a column may be called; texts: the columns whose cells are text, whatever they look like.
    Mistakes go to `problems`; one in the header or in the quotes ends the reading.
    """

    def __init__(self, source: Source, known: Sequence[str], texts: Collection[str], problems: Problems) -> None:
        self._file, self._known, self._texts, self._problems = source.name, known, texts, problems
        self._lines = Lines(source)
        self._columns: _Columns | None = None

    def __iter__(self) -> Iterator[MapNode | Quick]:
        text = _Text(self._file, self._lines)
        first = next((line for line in text if line.strip()), "")
        if first.lower().startswith("sep="):  # Excel's own first line
            first = next((line for line in text if line.strip()), "")
        if "\r" in first.rstrip("\r\n"):
            what = "lines end in carriage returns alone; save the file with line feeds, as CSV is by default"
            self._problems.add(Place(self._file, text.number, 1), what)
            return
        delimiter = max(DELIMITERS, key=lambda one: len(set(self._known).intersection(_cells(first, one))))
        header = self._header(_Record(self._file, text.number, first, delimiter), _cells(first, delimiter))
        if header is not None:
            self._columns = self._columns or _Columns(delimiter, header, self._texts)
            yield from self._rows(text, self._columns)

    def node(self, number: int, text: str) -> MapNode | None:
        """The map of the row that is written so and begins on that line; None of an empty one."""
        assert self._columns is not None, "only what was read can be read again"
        row = next(self._columns.reader(io.StringIO(text, newline="\n")), [])
        return self._map(row, number, text, self._columns)

    def _header(self, record: "_Record", names: Sequence[str]) -> list[Scalar] | None:
        """The node of each column's name; None once a mistake is reported."""
        keys = [Scalar(name, False, _Cell(record, index)) for index, name in enumerate(names)]
        right = True
        for index, key in enumerate(keys):
            if not key.text or key.text.startswith(OWN_KEY):
                continue
            if key.text not in self._known:
                self._problems.unknown_key(key, self._known, "the header")
            elif key.text in names[:index]:
                self._problems.add(key.place, f"column {shown(key.text)} is given twice; leave one of them out")
            else:
                continue
            right = False
        if not any(names):
            self._problems.add(
                Place(self._file, 1, 1), "the file is empty; begin with a line of names such as prompt,seed"
            )
        return keys if right and any(names) else None

    def _rows(self, text: "_Text", columns: "_Columns") -> Iterator[MapNode | Quick]:
        rows = columns.reader(text)
        while True:
            text.record.clear()
            begins = text.number + 1
            try:
                row = next(rows, None)
            except csv.Error as error:
                said = f"a cell has more than {csv.field_size_limit():,} characters" if "limit" in str(error) else error
                self._problems.add(Place(self._file, begins, 1), f"not CSV: {said}; the rest of the file is not read")
                return
            if row is None:
                return
            written = "".join(text.record)
            item = columns.quick(row, begins, written) or self._map(row, begins, written, columns)
            if item is not None:
                yield item

    def _map(self, row: Sequence[str], begins: int, written: str, columns: "_Columns") -> MapNode | None:
        record = _Record(self._file, begins, written, columns.delimiter)
        values: dict[str, Node] = {}
        for index, cell in enumerate(row):
            if not cell or cell.isspace():
                continue
            place = _Cell(record, index)
            name, is_text = columns.header[index] if index < len(columns.header) else ("", False)
            if not name:
                self._nameless(place, row, columns)
            elif is_text:
                values[name] = Scalar(cell, cell in _NULLS, place)
            elif (cell := cell.strip())[0] in "[{":
                if (node := read_flow(cell, place, self._problems)) is not None:
                    values[name] = node
            else:
                values[name] = Scalar(cell, True, place)
        return MapNode(values, columns.keys, Place(self._file, begins, 1)) if values else None

    def _nameless(self, place: Place, row: Sequence[str], columns: "_Columns") -> None:
        if len(row) <= len(columns.header):
            self._problems.add(place, "this cell stands in a column without a name; name it in the header, or empty it")
            return
        what = f"the row has {len(row)} cells, and the header {len(columns.header)}"
        way_out = f"a text that holds {DELIMITERS[columns.delimiter]} goes into double quotes"
        self._problems.add(place, f"{what}; {way_out}", "cells")


class _Columns:
    """What the header says. header: of each column its name, and whether its cells are text; keys: name -> its node."""

    def __init__(self, delimiter: str, header: Sequence[Scalar], texts: Collection[str]) -> None:
        self.delimiter = delimiter
        self.keys = {key.text: key for key in header}
        self.header = [(key.text, key.text in texts) for key in header]
        names = [key.text for key in header]
        self._id, self._prompt, self._seed = (names.index(name) if name in names else None for name in OWN)
        others = [index for index, name in enumerate(names) if name not in OWN]
        self._others = itemgetter(*others) if others else None

    def reader(self, lines: Iterable[str]) -> Iterator[list[str]]:
        """The cells of each row. Raises csv.Error."""
        return csv.reader(lines, delimiter=self.delimiter, strict=True, skipinitialspace=True)

    def quick(self, row: Sequence[str], number: int, written: str) -> Quick | None:
        """A row that is as most are, None for one that is not."""
        if len(row) != len(self.header) or len(written) > MAX_TEXT:
            return None
        own_id = prompt = seed = None
        if self._id is not None and not _PLAIN(own_id := row[self._id]):
            return None
        if self._prompt is not None and not _PLAIN(prompt := row[self._prompt]):
            return None
        if self._seed is not None and not (
            (seed := row[self._seed]).isdecimal() and seed.isascii() and len(seed) <= _DIGITS
        ):
            return None
        key = (self, self._others(row)) if self._others else self
        return key, own_id, prompt, seed, number, written


class _Text(Iterator[str]):
    """The lines of a file as text. number: of the last one read; record: those read since it was emptied."""

    def __init__(self, file: str, lines: Lines) -> None:
        self._file, self._lines = file, iter(lines)
        self.number = 0
        self.record: list[str] = []

    def __next__(self) -> str:
        content = next(self._lines)
        self.number += 1
        if len(content) > MAX_LINE:
            place = Place(self._file, self.number, 1)
            raise ManifestError([f"{place}: the line is longer than {MAX_LINE >> 20} MiB; shorten it"])
        try:
            text = decoded(content, self._file, self.number)
        except NotText as error:
            raise ManifestError([f"{error.place}: {error}, which Excel calls 'CSV UTF-8'"]) from None
        self.record.append(text)
        return text


class _Record:
    """A row as it is written, in one line or in several. line: its first, from 1."""

    __slots__ = ("delimiter", "file", "line", "text")

    def __init__(self, file: str, line: int, text: str, delimiter: str) -> None:
        self.file, self.line, self.text, self.delimiter = file, line, text, delimiter

    def position(self, index: int) -> tuple[int, int]:
        """Line and column of a cell, of one in quotes those of its opening quote."""
        cell = re.compile(rf' *"(?:[^"]|"")*"[^{self.delimiter}\r\n]*|[^{self.delimiter}\r\n]*')
        at = 0
        for _ in range(index):
            found = cell.match(self.text, at)
            at = found.end() + 1 if found else at
        at += len(self.text[at:]) - len(self.text[at:].lstrip(" "))
        return self.line + self.text.count("\n", 0, at), at - self.text.rfind("\n", 0, at)


class _Cell(Place):
    """The place of a cell."""

    __slots__ = ("_index", "_record")

    def __init__(self, record: _Record, index: int) -> None:
        self.file, self._record, self._index = record.file, record, index

    @property
    def line(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride] - read alone, as the column is
        """The line, looked for in the row."""
        return self._record.position(self._index)[0]

    @property
    def column(self) -> int:
        """The column, looked for in the row."""
        return self._record.position(self._index)[1]


def _cells(line: str, delimiter: str) -> list[str]:
    """The names in a header."""
    try:
        return [cell.strip() for cell in next(csv.reader([line], delimiter=delimiter, skipinitialspace=True), [])]
    except csv.Error:
        return []
