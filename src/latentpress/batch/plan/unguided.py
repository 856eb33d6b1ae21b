"""The unguided twins of a plan's guided pictures: the same jobs without their losses, each once, behind all others.

Knows how a twin is named and which job it is of; how a job is settled and hashed is the planning's.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice

from latentpress.batch.plan.database import Database
from latentpress.batch.plan.jobs import Row, seed_of
from latentpress.manifest.fields import FIELDS
from latentpress.manifest.manifest import Manifest
from latentpress.manifest.names import collision_key
from latentpress.manifest.nodes import Problems
from latentpress.manifest.shape import Draft, Shape
from latentpress.manifest.values import MAX_JOBS

# What the name of a twin has before its ending where the template gives it a name that is taken.
UNGUIDED = "-unguided"
# Jobs read at once, and shapes whose unguided ones are kept.
_ROWS, _KEPT = 5000, 16_384


def unguided_rows(
    manifest: Manifest,
    table: Database,
    problems: Problems,
    row_of: Callable[[int, Draft, int, str | None], Row],
) -> Iterator[Row]:
    """The rows of twins that the jobs in `table` lack; it learns which job is the twin of which.

    row_of: the row of a job by its index, draft, seed and the seed's label, drawn words filled in.
    """
    by_hash = {digest for (digest,) in table.answers("SELECT job_hash FROM jobs")}
    taken = {key for (key,) in table.answers("SELECT collision FROM jobs")}
    pairs: list[tuple[int, str]] = []
    (index,) = table.one("SELECT count(*) FROM jobs")
    without: dict[int, tuple[Shape, Shape]] = {}
    beside = _labels_of_losses(manifest)
    for job, draft, seed, seed_label, output in _guided(manifest, table):
        row = row_of(index + 1, _unguided(draft, beside, without), seed, seed_label)
        pairs.append((job, row[6]))
        if len(pairs) == _ROWS:
            _write(table, pairs)
        if row[6] in by_hash:
            continue
        index += 1
        if index > MAX_JOBS:
            what = f"the manifest and the unguided twins of its pictures are more than {MAX_JOBS:,} pictures; split it"
            problems.add(draft.prompt_place, what)
            return
        by_hash.add(row[6])
        if row[5] in taken:
            row = _renamed(row, output)
        taken.add(row[5])
        yield row
    _write(table, pairs)


def _guided(manifest: Manifest, table: Database) -> Iterator[tuple[int, Draft, int, str | None, str]]:
    """Each guided picture of the manifest: its job, draft, seed, the seed's label, and output."""
    after = 0
    drafts = manifest.drafts()
    query = f"SELECT job, seed, output FROM jobs WHERE job > ? ORDER BY job LIMIT {_ROWS}"
    while found := table.answers(query, (after,)):
        for (draft, _, seed_label), (job, column, output) in zip(islice(drafts, len(found)), found, strict=True):
            if draft.shape.values["loss"]:
                yield job, draft, seed_of(column), seed_label, output
            after = job


def _labels_of_losses(manifest: Manifest) -> set[str]:
    """What the matrix calls the losses: the field, and words of one's own that stand beside it in the values of an axis."""
    axes = (axis.variables for axis in manifest.expansion.matrix.axes if "loss" in axis.variables)
    return {"loss"} | {name for variables in axes for name in variables if name not in FIELDS}


def _unguided(draft: Draft, beside: set[str], without: dict[int, tuple[Shape, Shape]]) -> Draft:
    """The draft without losses; beside: the labels that tell of them; without: by what a shape is known, it and its twin."""
    shape = draft.shape
    if (known := without.get(id(shape))) is None:
        labels = {**shape.labels, **dict.fromkeys(beside & shape.labels.keys(), "none")}
        if len(without) >= _KEPT:
            without.clear()
        known = without[id(shape)] = shape, Shape({**shape.values, "loss": ()}, labels)
    return replace(draft, shape=known[1])


def _renamed(row: Row, guided: str) -> Row:
    """The row of a twin with a name of its own, after the picture it is the twin of."""
    stem, dot, ending = guided.rpartition(".")
    output = f"{stem}{UNGUIDED}{dot}{ending}"
    return (*row[:4], output, collision_key(output), *row[6:])


def _write(table: Database, pairs: list[tuple[int, str]]) -> None:
    table.many("INSERT INTO twins VALUES (?, ?)", pairs)
    pairs.clear()
