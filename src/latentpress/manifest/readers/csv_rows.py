"""CSV after RFC 4180: a header of names above rows of values, read as it is asked for. Knows no field.

Commas, semicolons or tabs separate cells, whichever the header has. Where a cell stands is looked for when somebody asks.
"""

import csv
import io
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from operator import itemgetter

from latentpress.errors import ManifestError, nearest, shown
from latentpress.manifest.names import MAX_TEXT
from latentpress.manifest.nodes import OWN_KEY, MapNode, Node, Place, Problems, Scalar
from latentpress.manifest.plain_text import NotText, decoded
from latentpress.manifest.readers.csv_cells import Cell, NotCsv, Record, Unclosed, cells_of
from latentpress.manifest.readers.layout import OWN, Quick
from latentpress.manifest.readers.yaml_text import read_flow
from latentpress.manifest.source import MAX_LINE, Lines, Source

DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs"}
_NULLS = ("null", "Null", "NULL")
# Printable ASCII that means its characters, as most texts do.
_PLAIN = re.compile(r"(?!(?:null|Null|NULL)\Z)[!-~][ -~]*(?<! )").fullmatch
# Digits that any seed may have: 2^64-1 has twenty.
_DIGITS = 19
# Names that a message lists.
_LISTED = 6


class CsvRows:
    """The map of each row of `source`, made anew on each pass; an empty cell gives no value.

    known: what a column may be called; texts: the columns whose cells are text, whatever they look like; elsewhere: what to
    say of names that belong to another format.
    Mistakes go to `problems`; one in the header or in the quotes ends the reading.
    """

    def __init__(
        self,
        source: Source,
        known: Sequence[str],
        texts: Collection[str],
        problems: Problems,
        elsewhere: Mapping[str, str],
    ) -> None:
        self._file, self._known, self._texts, self._problems = source.name, known, texts, problems
        self._elsewhere = elsewhere
        self._lines = Lines(source)
        self._columns: _Columns | None = None

    def __iter__(self) -> Iterator[MapNode | Quick]:
        text = _Text(self._file, self._lines)
        first = next((line for line in text if line.strip()), "")
        if first.lower().startswith("sep="):  # Excel's own first line
            first = next((line for line in text if line.strip()), "")
        delimiter = max(DELIMITERS, key=lambda one: self._fit(_cells(first, one)))
        header = self._header(Record(self._file, text.number, first, delimiter), _cells(first, delimiter))
        if header is not None:
            self._columns = self._columns or _Columns(delimiter, header, self._texts)
            yield from self._rows(text, self._columns)

    def node(self, number: int, text: str) -> MapNode | None:
        """The map of the row that is written so and begins on that line; None of an empty one."""
        assert self._columns is not None, "only what was read can be read again"
        return self._map(self._columns.cells(self._file, number, text), number, text, self._columns)

    def _fit(self, names: Sequence[str]) -> tuple[int, int]:
        """How many of what may be a header's names are known in some case, and how many there are."""
        return len(set(self._known).intersection(name.casefold() for name in names)), len(names)

    def _header(self, record: Record, names: Sequence[str]) -> list[Scalar] | None:
        """The node of each column's name; None once a mistake is reported."""
        keys = [Scalar(name, False, Cell(record, index)) for index, name in enumerate(names)]
        own = [name for name in names if name and not name.startswith(OWN_KEY)]
        if own and not any(
            name in self._known or name in self._elsewhere or nearest(name, self._known) for name in own
        ):
            listed = ", ".join(map(shown, own[:_LISTED])) + (", ..." if len(own) > _LISTED else "")
            what = f"the header names no field, but {listed}; begin with a line of names such as prompt,seed"
            self._problems.add(keys[0].place, what)
            return None
        right = True
        for index, key in enumerate(keys):
            if not key.text or key.text.startswith(OWN_KEY):
                continue
            if key.text in self._elsewhere:
                self._problems.add(key.place, self._elsewhere[key.text])
            elif key.text not in self._known:
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
                row = self._refused(error, text, begins, columns)
            if row is None:
                return
            written = "".join(text.record)
            item = columns.quick(row, begins, written) or self._map(row, begins, written, columns)
            if item is not None:
                yield item

    def _refused(self, error: csv.Error, text: "_Text", begins: int, columns: "_Columns") -> list[str] | None:
        """The row that the csv module refuses, if it can be read nevertheless; None once it is reported that it cannot."""
        most = csv.field_size_limit()
        place, what = Place(self._file, begins, 1), f"a cell has more than {most:,} characters"
        while "limit" not in str(error):
            record = Record(self._file, begins, "".join(text.record), columns.delimiter)
            try:
                return cells_of(record)
            except NotCsv as wrong:
                place, what = record.place(wrong.at), str(wrong)
                if not isinstance(wrong, Unclosed) or len(record.text) > most or next(text, None) is None:
                    break
        self._problems.add(place, f"not CSV: {what}; the rest of the file is not read")
        return None

    def _map(self, row: Sequence[str], begins: int, written: str, columns: "_Columns") -> MapNode | None:
        record = Record(self._file, begins, written, columns.delimiter)
        values: dict[str, Node] = {}
        for index, cell in enumerate(row):
            if not cell or cell.isspace():
                continue
            place = Cell(record, index)
            name, is_text = columns.header[index] if index < len(columns.header) else ("", False)
            if not name:
                self._nameless(place, row, columns)
            elif is_text:
                # The csv module says not which cells had quotes, within which blanks are meant.
                bare = cell.strip()
                cell = cell if cell == bare or record.quoted(index) else bare
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
        what = f"the row has {len(row):,} cells, and the header {len(columns.header):,}"
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

    def cells(self, file: str, number: int, text: str) -> list[str]:
        """The cells of the row that is written so and begins on that line, which has been read before."""
        try:
            return next(self.reader(io.StringIO(text, newline="\n")), [])
        except csv.Error:
            return cells_of(Record(file, number, text, self.delimiter))

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


def _cells(line: str, delimiter: str) -> list[str]:
    """The names in a header."""
    try:
        return [cell.strip() for cell in next(csv.reader([line], delimiter=delimiter, skipinitialspace=True), [])]
    except csv.Error:
        return []
