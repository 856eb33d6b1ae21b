"""Where the cells of a CSV row stand, and rows whose quotes the csv module refuses. Knows no column.

The csv module says of what it refuses neither where it is nor, often, what; and it refuses blanks behind a closing quote.
"""

import re

from latentpress.manifest.nodes import Place


class NotCsv(ValueError):
    """A row that cannot be read; `at` is where in its text, the message a clause about that."""

    def __init__(self, at: int, message: str) -> None:
        super().__init__(message)
        self.at = at


class Unclosed(NotCsv):
    """One with a quote that is not closed, as far as it was read."""


class Record:
    """A row as it is written, in one line or in several. line: its first, from 1."""

    __slots__ = ("delimiter", "file", "line", "text")

    def __init__(self, file: str, line: int, text: str, delimiter: str) -> None:
        self.file, self.line, self.text, self.delimiter = file, line, text, delimiter

    def begins(self, index: int) -> int:
        """Where in the text a cell begins, one in quotes with its opening quote."""
        cell = re.compile(rf' *"(?:[^"]|"")*"[^{self.delimiter}\r\n]*|[^{self.delimiter}\r\n]*')
        at = 0
        for _ in range(index):
            found = cell.match(self.text, at)
            at = found.end() + 1 if found else at
        return at + len(self.text[at:]) - len(self.text[at:].lstrip(" "))

    def quoted(self, index: int) -> bool:
        """Whether a cell is written in quotes."""
        return self.text.startswith('"', self.begins(index))

    def position(self, at: int) -> tuple[int, int]:
        """Line and column of what is at `at` in the text."""
        return self.line + self.text.count("\n", 0, at), at - self.text.rfind("\n", 0, at)

    def place(self, at: int) -> Place:
        """The place of what is at `at` in the text."""
        return Place(self.file, *self.position(at))


class Cell(Place):
    """The place of a cell, looked for as it is asked for."""

    __slots__ = ("_index", "_record")

    def __init__(self, record: Record, index: int) -> None:
        self.file, self._record, self._index = record.file, record, index

    @property
    def line(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride] - read alone, as the column is
        """The line, looked for in the row."""
        return self._record.position(self._record.begins(self._index))[0]

    @property
    def column(self) -> int:
        """The column, looked for in the row."""
        return self._record.position(self._record.begins(self._index))[1]


def cells_of(record: Record) -> list[str]:
    """The cells of a row, blanks around quotes and around what has none taken off. Raises NotCsv."""
    text, delimiter = record.text, record.delimiter
    blanks = re.compile(" *" if delimiter == "\t" else "[ \t]*")
    quoted, plain = re.compile(r'"([^"]*(?:""[^"]*)*)"(?!")'), re.compile(rf"[^{delimiter}\r\n]*")
    cells: list[str] = []
    at = 0
    while True:
        begins = at = _end(blanks, text, at)
        if not text.startswith('"', at):
            found = plain.match(text, at)
            cell, at = (found[0].strip(), found.end()) if found else ("", at)
        elif found := quoted.match(text, at):
            cell, at = found[1].replace('""', '"'), _end(blanks, text, found.end())
        else:
            raise Unclosed(at, 'the quote that opens here is not closed; write a quote within a text as ""')
        cells.append(cell)
        if text[at : at + 1] == delimiter:
            at += 1
        elif text[at:] in ("", "\n", "\r\n"):
            return cells
        elif text[at] == "\r":
            raise NotCsv(at, "a carriage return alone stands here, where earlier lines end in a line feed; take it out")
        else:
            line, column = record.position(at)
            what = f"the quote that opens here is closed before line {line}, column {column}, where more text follows"
            raise NotCsv(begins, f'{what}; close it where the text ends, and write a quote within it as ""')


def _end(pattern: re.Pattern[str], text: str, at: int) -> int:
    found = pattern.match(text, at)
    return found.end() if found else at
