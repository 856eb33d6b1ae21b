"""How places without a picture look, the same in every painter; states differ in their marks too, not in colour alone."""

from dataclasses import dataclass

from latentpress.sheets.cells import EXCLUDED, FAILED, MISSING, WAITING


@dataclass(frozen=True)
class Look:
    """fill, line: colours as hexadecimal digits; crossed: whether both diagonals are drawn. Lines are LINE points wide."""

    fill: str
    line: str
    crossed: bool = False


LINE = 0.5
LOOKS = {
    FAILED: Look("fdecea", "c0392b", crossed=True),
    WAITING: Look("f2f2f2", "a0a0a0"),
    MISSING: Look("fff6dc", "b8860b", crossed=True),
    EXCLUDED: Look("ffffff", "d0d0d0"),
}
