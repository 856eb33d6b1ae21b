"""Writes src/latentpress/runtime/prompts/unicode_tables.py: the Unicode data that CLIP's tokenizer is frozen at.

    pip install unicodedata2==18.0.0
    python3.11 tools/unicode_tables.py

Python 3.11 because its own tables are of Unicode 14, which is what prompts were cleaned by before there were tables.
"""

import unicodedata
from collections.abc import Callable
from pathlib import Path

OUT = Path(__file__).resolve().parent.parent / "src/latentpress/runtime/prompts/unicode_tables.py"
DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
HEAD = '''"""Classes of characters, frozen: made by tools/unicode_tables.py, not by hand; `cleaning` says what they are for.

Each table is pairs of numbers in base 36: how many characters lie between the last range and this one, and how many
the range has.
"""

# fmt: off
'''


def base36(number: int) -> str:
    text = ""
    while number or not text:
        number, digit = divmod(number, 36)
        text = DIGITS[digit] + text
    return text


def table(name: str, says: str, holds: Callable[[int], bool]) -> str:
    """The source of one table."""
    numbers: list[int] = []
    end, start = 0, None
    for code in range(0x110001):
        inside = code < 0x110000 and holds(code)
        if inside and start is None:
            start = code
        elif not inside and start is not None:
            numbers += [start - end, code - start]
            start, end = None, code
    lines, line = [], ""
    for word in map(base36, numbers):
        if len(line) + len(word) + 1 > 112:
            lines.append(line)
            line = ""
        line += word + " "
    body = "\n".join(f'    "{text}"' for text in [*lines, line.rstrip()])
    return f"# {says}\n{name} = (\n{body}\n)\n"


def noncharacter(code: int) -> bool:
    """Whether Unicode will never assign it."""
    return 0xFDD0 <= code <= 0xFDEF or code & 0xFFFF in (0xFFFE, 0xFFFF)


def main() -> None:
    """Write the tables."""
    import unicodedata2

    old, new = unicodedata.category, unicodedata2.category
    assert unicodedata.unidata_version == "14.0.0", (
        f"run by Python 3.11, not one of Unicode {unicodedata.unidata_version}"
    )
    assert unicodedata2.unidata_version == "18.0.0", f"unicodedata2 is of Unicode {unicodedata2.unidata_version}"
    unassigned = {code for code in range(0x110000) if old(chr(code)) == "Cn" and not noncharacter(code)}
    tables = (
        table("LETTERS", "Of category L in Unicode 18.", lambda code: new(chr(code))[0] == "L"),
        table("NUMBERS", "Of category N in Unicode 18.", lambda code: new(chr(code))[0] == "N"),
        table(
            "SPACES", "Of category Zs, and tab, newline, return.", lambda c: old(chr(c)) == "Zs" or chr(c) in "\t\n\r"
        ),
        table("UNASSIGNED", "Not assigned in Unicode 14, and no noncharacters.", unassigned.__contains__),
        table(
            "DROPPED",
            "Of category C in Unicode 14, assigned or noncharacters, but no spaces; and U+FFFD.",
            lambda code: (
                code == 0xFFFD or (old(chr(code))[0] == "C" and chr(code) not in "\t\n\r" and code not in unassigned)
            ),
        ),
    )
    OUT.write_text(HEAD + "\n".join(tables), encoding="utf-8")


if __name__ == "__main__":
    main()
