"""What a page of documentation is made of: its code, its links and its tables. Knows nothing of latentpress."""

import re
from collections.abc import Iterator
from pathlib import Path

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_INDENTED = re.compile(r"(?:^ {4}.*\n)+", re.MULTILINE)
_SPAN = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"\]\(([^()\s]+)\)")


def fenced(text: str, language: str) -> list[str]:
    """The fenced blocks of `language`."""
    return [body for name, body in _FENCE.findall(text) if name == language]


def spans(text: str) -> list[str]:
    """The `code` within paragraphs and tables, as it is written."""
    return _SPAN.findall(_INDENTED.sub("", _FENCE.sub("", text)))


def commands(text: str) -> Iterator[str]:
    """Every line of code: those of blocks, continuation lines joined, without comments; and the spans."""
    blocks = [body for _, body in _FENCE.findall(text)] + _INDENTED.findall(_FENCE.sub("", text))
    for block in blocks:
        for line in re.sub(r"\n {8,}", " ", block).splitlines():
            yield re.sub(r"\s#.*", "", line).strip()
    yield from spans(text)


def links(text: str) -> list[str]:
    """The targets of the links."""
    return _LINK.findall(_FENCE.sub("", text))


def anchors(text: str) -> set[str]:
    """The names by which GitHub links to the headings."""
    headings = re.findall(r"^#+ (.+)$", _FENCE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def section(text: str, heading: str) -> str:
    """What stands under the heading of the second level `heading`, up to the next one."""
    return text.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]


def table(text: str, first: str) -> list[list[str]]:
    """The cells of the rows of the table whose first column is headed `first`."""
    lines = text.splitlines()
    start = next(index for index, line in enumerate(lines) if re.match(rf"\| {re.escape(first)} \|", line))
    rows: list[list[str]] = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
    return rows


def paths(text: str, tops: set[str]) -> set[str]:
    """Everything that reads as a path of the repository: its first part is one of `tops`."""
    found = re.findall(r"(?<![\w/.~<-])[\w.-]+(?:/[\w.*-]+)+", text)
    return {path.rstrip(".") for path in found if Path(path).parts[0] in tops}
