"""Measures the pictures of cells, some at a time, on all cores. Writes nothing; a render may be going on.

What failed, waits or is gone has no numbers and is counted. Of a picture no more is kept than its numbers and a small copy.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from latentpress.engines.devices import cpu_count
from latentpress.files import read_regular
from latentpress.measures.axes import across, check_axis, independent, parse_against, references
from latentpress.measures.distance import Distances, distances, small
from latentpress.measures.likeness import psnr, ssim
from latentpress.measures.picture import MEASURES, Pixels
from latentpress.measures.pooled import mapped
from latentpress.runtime.pictures.reading import MAX_PICTURE_BYTES, WHITE, NotAPicture, decode_picture, read_header
from latentpress.sheets.cells import DONE, Cell, Cells
from latentpress.sheets.grid import select
from latentpress.sheets.spec import Sheet

# What came of comparing a picture with its reference.
EQUAL, UNEQUAL, OTHER_SIZE, ITSELF, NOTHING = "equal", "unequal", "other size", "itself", "nothing there"
UNREADABLE = "unreadable"


@dataclass(frozen=True)
class Options:
    """What whoever asks calls the axes of groups and the references, for messages."""

    by: str
    against: str


OPTIONS = Options("--by", "--against")


@dataclass(frozen=True)
class Against:
    """A picture beside its reference.

    file: the reference's, None where none is planned; compared: one of the states above; psnr: dB, None unless unequal;
    ssim: at most 1, None where nothing could be compared, or without scikit-image.
    """

    file: str | None
    compared: str
    psnr: float | None = None
    ssim: float | None = None


@dataclass(frozen=True)
class Numbers:
    """One cell's. values: of each of MEASURES, None where there is no picture; against: None where none was asked for;
    why: what is wrong with a file that cannot be read."""

    values: Mapping[str, float] | None
    against: Against | None = None
    why: str = ""


@dataclass(frozen=True)
class Spread:
    """How far the pictures of a group are apart that differ in the axis `across`. labels: what they have in common."""

    across: str
    labels: Mapping[str, str]
    pictures: int
    distances: Distances


@dataclass(frozen=True)
class Measured:
    """The numbers of a folder's cells. numbers: of each cell, in its place; against: axis -> value; by: axes of groups;
    counts: measured, and of those that were not, by state."""

    folder: Path
    cells: Cells
    numbers: Sequence[Numbers]
    spreads: Sequence[Spread]
    against: Mapping[str, str]
    by: tuple[str, ...]

    @property
    def counts(self) -> dict[str, int]:
        """`measured`, and how many were not, by their state."""
        states = Counter(
            cell.state if cell.state != DONE else UNREADABLE if one.values is None else "measured"
            for cell, one in zip(self.cells.cells, self.numbers, strict=True)
        )
        return {"measured": states.pop("measured", 0), **dict(sorted(states.items()))}


def measure_cells(
    whole: Cells,
    folder: Path,
    *,
    against: Sequence[str] = (),
    by: Sequence[str] = (),
    only: Sequence[str] = (),
    threads: int | None = None,
    options: Options = OPTIONS,
) -> Measured:
    """Measure the pictures of `whole`, which lie in `folder`.

    against: AXIS=VALUE terms, which make of each picture's reference the one that has these and is like it otherwise; by:
    axes whose values have means of their own; only: KEY=VALUE terms that a cell must meet, and its reference need not;
    options: what the former two are called. Raises UsageError for an unknown axis or value.
    """
    for axis in by:
        check_axis(options.by, axis, whole)
    wanted = parse_against(against, whole, options.against)
    others = dict(zip(map(_name, whole.cells), references(whole, wanted), strict=True)) if wanted else None
    cells = replace(whole, cells=select(whole, Sheet(only=tuple(only))) if only else whole.cells)

    def measured(cell: Cell) -> tuple[Numbers, Pixels | None]:
        if cell.state != DONE:
            return Numbers(None, None if others is None else Against(_file(others[_name(cell)]), NOTHING)), None
        try:
            picture = read_picture(folder / cell.output)
        except (OSError, NotAPicture) as error:
            said = error.strerror or str(error) if isinstance(error, OSError) else str(error)
            return Numbers(None, None if others is None else Against(_file(others[_name(cell)]), NOTHING), said), None
        beside = None if others is None else _beside(folder, cell, picture, others[_name(cell)])
        return Numbers({name: measure(picture) for name, measure in MEASURES.items()}, beside), small(picture)

    with ThreadPoolExecutor(threads or cpu_count(), "measure") as pool:
        found = list(mapped(pool, measured, cells.cells))
        copies = [copy for _, copy in found]
        spreads = list(_spreads(cells, copies, pool))
    return Measured(folder, cells, [numbers for numbers, _ in found], spreads, wanted, tuple(by))


def read_picture(path: Path) -> Pixels:
    """The picture at `path` as RGB (H, W, 3), transparency laid on white. Raises OSError and NotAPicture."""
    content = read_regular(path, MAX_PICTURE_BYTES)
    read_header(content)  # it checks the checksums, which decoding does not
    return np.asarray(decode_picture(content).on(WHITE))


def _beside(folder: Path, cell: Cell, picture: Pixels, other: Cell | None) -> Against:
    if other is None or other.state != DONE:
        return Against(_file(other), NOTHING)
    if other.output == cell.output:
        return Against(_file(other), ITSELF)
    try:
        reference = read_picture(folder / other.output)
    except (OSError, NotAPicture):
        return Against(_file(other), NOTHING)
    if reference.shape != picture.shape:
        return Against(_file(other), OTHER_SIZE)
    if np.array_equal(reference, picture):
        return Against(_file(other), EQUAL, ssim=1.0)
    return Against(_file(other), UNEQUAL, psnr(reference, picture)[0], ssim(reference, picture))


def _spreads(cells: Cells, copies: Sequence[Pixels | None], pool: ThreadPoolExecutor) -> Iterator[Spread]:
    """Of each axis that does not follow from others, of each group of pictures that differ in it alone."""
    axes = independent(cells)
    there = [number for number, copy in enumerate(copies) if copy is not None]
    done = [cells.cells[number] for number in there]
    groups = [(axis, group) for axis in axes for group in across(axis, axes, done)]

    def spread(named: tuple[str, list[int]]) -> Spread:
        axis, group = named
        apart = distances([copy for one in group if (copy := copies[there[one]]) is not None])
        assert apart is not None
        first = done[group[0]].labels
        common = [key for key in cells.axes if len({done[one].labels.get(key, "") for one in group}) == 1]
        return Spread(axis, {key: first.get(key, "") for key in common}, len(group), apart)

    yield from mapped(pool, spread, groups)


def _name(cell: Cell) -> str:
    return str(cell.output)


def _file(cell: Cell | None) -> str | None:
    return None if cell is None else _name(cell)
