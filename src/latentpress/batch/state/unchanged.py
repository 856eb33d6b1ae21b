"""Finds the jobs of a plan whose pictures are as they were written: of most folders nearly all, by one call a file.

A block of jobs whose pictures are all recorded as finished, and were made the same way, costs a query whose answer is two
texts, their names and their stamps; a million rows of Python take longer to build than the files to look at. Any other
block is gone through row by row. Of a folder that is not there yet no row is read.
"""

import os
import stat as modes
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from latentpress.batch.pictures.intact import stamp_of
from latentpress.batch.plan.plan import Plan

# Jobs in a block. One of another kind among them has all of them gone through row by row.
_ROWS = 1000
# What stands between names and between stamps; a name that holds it splits into more parts than there are jobs.
_BETWEEN = "\x1e"
_RECORDED = "images.job_hash = jobs.job_hash AND status='done' AND identity > 1 AND file_sha256 IS NOT NULL"
_BLOCK = "job > :after AND job <= :last"
# What is needed of a picture that is as it was written, and whether its row says so.
_EACH = (
    f"SELECT job, jobs.output, stamp, {{bundle}}, provider, coalesce(row_rule, 'untested'), {_RECORDED}, "
    "images.output IS NULL FROM jobs {join} "
    f"LEFT JOIN images ON images.output=jobs.output WHERE {_BLOCK} ORDER BY job"
)
# The same of all pictures of a block at once that were made as its first one was; CROSS JOIN says which table leads.
_TOGETHER = (
    f"SELECT count(*), group_concat(jobs.output, '{_BETWEEN}'), group_concat(stamp, '{_BETWEEN}') FROM jobs {{join}} "
    f"CROSS JOIN images ON images.output=jobs.output WHERE {_BLOCK} AND {_RECORDED} "
    "AND {bundle}=:bundle AND provider=:provider AND coalesce(row_rule, 'untested')=:row_rule"
)

# (bundle hash, provider, row rule) -> how many pictures were made so.
Made = Counter[tuple[str, str, str]]


class Block(NamedTuple):
    """Some jobs that follow each other: how many; which of them have neither a row nor a file; which others must be looked
    at; and how the rest, whose pictures are as they were written, were made.
    """

    jobs: int
    absent: Sequence[int]
    others: Sequence[int]
    made: Made


def blocks(plan: Plan, folder: Path) -> Iterator[Block]:
    """All jobs of the plan, in order."""
    if not os.path.lexists(folder) and plan.table.one("SELECT 1 FROM images LIMIT 1") is None:
        yield Block(len(plan.jobs), range(1, len(plan.jobs) + 1), (), Made())
        return
    # From here the system finds a name sooner than from its whole path.
    here = os.open(folder, os.O_RDONLY) if folder.is_dir() else None
    each, together = _queries(plan)
    try:
        for after in range(0, len(plan.jobs), _ROWS):
            block = {"after": after, "last": min(after + _ROWS, len(plan.jobs))}
            count = block["last"] - after
            first = plan.table.one(each, {"after": after, "last": after + 1})
            if here is not None and first[-2]:
                names = dict(zip(("bundle", "provider", "row_rule"), first[3:6], strict=True))
                if _all_there(plan.table.one(together, block | names), count, here):
                    yield Block(count, (), (), Made({(first[3], first[4], first[5]): count}))
                    continue
            yield Block(count, *_sorted(plan.table.answers(each, block), here))
    finally:
        if here is not None:
            os.close(here)


def _queries(plan: Plan) -> tuple[str, str]:
    """The queries for a block; drafts, which are large, are read only where they tell the bundle."""
    bundle, join = "bundle", "CROSS JOIN drafts USING (draft)"
    if len(plan.bundles) == 1:
        bundle, join = f"'{next(iter(plan.bundles.values())).hash}'", ""
    return _EACH.format(bundle=bundle, join=join), _TOGETHER.format(bundle=bundle, join=join)


def _all_there(found: tuple[int, str | None, str | None], count: int, here: int) -> bool:
    """Whether so many names and stamps were found, and the file of each name has its stamp."""
    outputs, stamps = (found[1] or "").split(_BETWEEN), (found[2] or "").split(_BETWEEN)
    if not found[0] == len(outputs) == len(stamps) == count:
        return False
    lstat, regular = os.lstat, modes.S_ISREG
    try:
        for output, stamp in zip(outputs, stamps, strict=True):
            state = lstat(output, dir_fd=here)
            if stamp_of(state) != stamp or not regular(state.st_mode):
                return False
    except (OSError, ValueError):
        return False
    return True


def _sorted(rows: list[Any], here: int | None) -> tuple[list[int], list[int], Made]:
    """Row by row, as `Block` has them."""
    lstat, regular = os.lstat, modes.S_ISREG
    absent, others, made = list[int](), list[int](), Made()
    for job, output, stamp, bundle, provider, row_rule, plain, unknown in rows:
        if plain and stamp and here is not None:
            try:
                state = lstat(output, dir_fd=here)
            except (OSError, ValueError):
                pass  # what else lies there is for others to say
            else:
                if regular(state.st_mode) and stamp_of(state) == stamp:
                    made[bundle, provider, row_rule] += 1
                    continue
        elif unknown and here is not None:
            try:
                lstat(output, dir_fd=here)
            except FileNotFoundError:
                absent.append(job)
                continue
            except (OSError, ValueError):
                pass
        others.append(job)
    return absent, others, made
