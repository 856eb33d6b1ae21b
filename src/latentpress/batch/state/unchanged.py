"""Finds the jobs of a plan whose pictures are as they were written: of most folders nearly all, by one call a file."""

import os
import stat as modes
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from latentpress.batch.pictures.intact import stamp_of
from latentpress.batch.plan.plan import Plan

_ROWS = 5000
# What is needed of a picture that is as it was written, and whether its row says so.
_PLAIN = (
    "SELECT job, jobs.output, stamp, {bundle}, provider, coalesce(row_rule, 'untested'), "
    "images.job_hash = jobs.job_hash AND status='done' AND identity > 1 AND file_sha256 IS NOT NULL FROM jobs {join} "
    f"LEFT JOIN images ON images.output=jobs.output WHERE job > ? ORDER BY job LIMIT {_ROWS}"
)

# (bundle hash, provider, row rule) -> how many pictures were made so.
Made = Counter[tuple[str, str, str]]


def blocks(plan: Plan, folder: Path) -> Iterator[tuple[int, list[int], Made]]:
    """Some thousand jobs at a time, in order: how many, which of them must be looked at, and how the others were made."""
    query, after = _query(plan), 0
    # From here the system finds a name sooner than from its whole path.
    here = os.open(folder, os.O_RDONLY) if folder.is_dir() else None
    try:
        while rows := plan.table.answers(query, (after,)):
            after = rows[-1][0]
            yield len(rows), *_sorted(rows, here)
    finally:
        if here is not None:
            os.close(here)


def _query(plan: Plan) -> str:
    """The query for all jobs; drafts, which are large, are read only where they tell the bundle."""
    if len(plan.bundles) == 1:
        return _PLAIN.format(bundle=f"'{next(iter(plan.bundles.values())).hash}'", join="")
    return _PLAIN.format(bundle="bundle", join="JOIN drafts USING (draft)")


def _sorted(
    rows: list[tuple[int, str, str | None, str, str, str, int | None]], here: int | None
) -> tuple[list[int], Made]:
    lstat, regular = os.lstat, modes.S_ISREG
    others, made = list[int](), Made()
    count, last = 0, ("", "", "")
    for job, output, stamp, bundle, provider, row_rule, plain in rows:
        if plain and stamp and here is not None:
            try:
                state = lstat(output, dir_fd=here)
            except (OSError, ValueError):
                pass  # what else lies there is for others to say
            else:
                if regular(state.st_mode) and stamp_of(state) == stamp:
                    if (bundle, provider, row_rule) != last:
                        made[last] += count
                        count, last = 0, (bundle, provider, row_rule)
                    count += 1
                    continue
        others.append(job)
    made[last] += count
    return others, Made({make: count for make, count in made.items() if count})
