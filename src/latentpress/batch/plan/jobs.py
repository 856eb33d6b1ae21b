"""The plan as a table: jobs and drafts in SQLite, so that twins, collisions, status and resume are queries.

A shape is what jobs have in common that differ in prompt, id and seed alone; a draft is a shape and a prompt; a job is a
draft, a seed and an output name. The view `drafts` has drafts whole, as the table of that name had in earlier ledgers.
`rules` names the rules (runtime/rules.py) that touch a draft, `earlier` the hashes that a job had before them; NULL where
none does. `contents` are of its bundle and its refiner's, `unseeded` is its hash without a seed (identity.py). `twins` has
the hash of the unguided twin of each guided job, where the manifest asks for twins.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import PurePosixPath
from typing import Any, overload

from latentpress.batch.plan.database import Database
from latentpress.batch.plan.job import Job, request_from
from latentpress.runtime.request import RenderRequest

SCHEMA = """
CREATE TABLE shapes (
    shape INTEGER PRIMARY KEY, bundle TEXT NOT NULL, width INTEGER NOT NULL, height INTEGER NOT NULL,
    priority INTEGER NOT NULL, labels TEXT NOT NULL, request TEXT NOT NULL, rules TEXT NOT NULL, contents TEXT NOT NULL
);
CREATE TABLE prompts (
    draft INTEGER PRIMARY KEY, shape INTEGER NOT NULL, id TEXT NOT NULL, prompt TEXT NOT NULL, prompt_label TEXT,
    chunks INTEGER NOT NULL, unseeded TEXT NOT NULL
);
CREATE VIEW drafts AS SELECT
    draft, shape, id, prompt, bundle, width, height, chunks, priority, rules, contents, unseeded,
    json_set(labels, '$.id', id, '$.prompt', coalesce(prompt_label, prompt)) AS labels,
    json_set(request, '$.prompt', prompt) AS request
FROM prompts JOIN shapes USING (shape);
CREATE TABLE jobs (
    job INTEGER PRIMARY KEY, draft INTEGER NOT NULL, seed INTEGER NOT NULL, seed_label TEXT, output TEXT NOT NULL,
    collision TEXT NOT NULL, job_hash TEXT NOT NULL, earlier TEXT
);
CREATE TABLE twins (job INTEGER PRIMARY KEY, twin TEXT NOT NULL);
"""
INDEXES = """
CREATE UNIQUE INDEX jobs_collision ON jobs (collision);
CREATE INDEX jobs_hash ON jobs (job_hash);
"""
# A row of `jobs`, but for no column.
Row = tuple[int, int, int, str | None, str, str, str, str | None]
# The order in which a render takes jobs: the most wanted first, and together what can share a call.
RUN_ORDER = "priority DESC, bundle, width, height, chunks, job"

# SQLite's integers are signed and seeds are not: of 64 bits the same ones, so that smaller seeds are stored as they are.
_SIGN, _WRAP = 1 << 63, 1 << 64

_BLOCK = 2000
_DRAFTS_KEPT = 4096
_COLUMNS = "job, draft, seed, seed_label, output, job_hash"
# With what a job's prompt is, and what it shares with others.
_WHOLE = f"jobs.{_COLUMNS.replace(', ', ', jobs.')}, prompts.id, prompt, prompt_label, shape"


def seed_column(seed: int) -> int:
    """A seed as it is stored."""
    return seed if seed < _SIGN else seed - _WRAP


def seed_of(column: int) -> int:
    """The seed that is stored as `column`."""
    return column if column >= 0 else column + _WRAP


def clear(database: Database) -> None:
    """Drop the tables of an earlier plan from the database itself: a ledger beside it may have some of these names too."""
    names = "('jobs', 'twins', 'drafts', 'prompts', 'shapes', 'facts', 'kept')"
    query = f"SELECT type, name FROM main.sqlite_master WHERE name IN {names}"
    for kind, name in database.answers(query):
        database.run(f"DROP {kind} main.{name}")


class Jobs(Sequence[Job]):
    """The jobs of the plan in `database`, in order, read as they are asked for."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._length: int = database.one("SELECT count(*) FROM jobs")[0]
        self._draft = lru_cache(_DRAFTS_KEPT)(self._read_draft)
        self._shape = lru_cache(_DRAFTS_KEPT)(self._read_shape)

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, index: int) -> Job: ...
    @overload
    def __getitem__(self, index: slice) -> list[Job]: ...
    def __getitem__(self, index: int | slice) -> Job | list[Job]:
        numbers = range(1, self._length + 1)[index]
        if isinstance(numbers, int):
            return self._job(self._database.one(f"SELECT {_COLUMNS} FROM jobs WHERE job=?", (numbers,)))
        return [self[number - 1] for number in numbers]

    def __iter__(self) -> Iterator[Job]:
        shared = bool(self._database.answers("SELECT 1 FROM pragma_table_info('prompts') LIMIT 1"))  # not earlier ones
        query = f"SELECT {_WHOLE} FROM jobs JOIN prompts USING (draft)" if shared else f"SELECT {_COLUMNS} FROM jobs"
        job_of = self._whole if shared else self._job
        after = 0
        while found := self._database.answers(f"{query} WHERE job > ? ORDER BY job LIMIT {_BLOCK}", (after,)):
            yield from map(job_of, found)
            after = found[-1][0]

    def at(self, numbers: Sequence[int]) -> list[Job]:
        """The jobs with these numbers, which count from 1, of a plan of this version."""
        query = (
            f"SELECT {_WHOLE} FROM json_each(?) AS wanted CROSS JOIN jobs ON job=wanted.value JOIN prompts USING (draft) "
            "ORDER BY wanted.key"
        )
        return list(map(self._whole, self._database.answers(query, (json.dumps(numbers),))))

    def _whole(self, row: Any) -> Job:
        """The job of a row that has its prompt too: what it shares with others is read once."""
        job, _, column, seed_label, output, job_hash, job_id, prompt, prompt_label, shape = row
        seed = seed_of(column)
        bundle, labels, request = self._shape(shape)
        labels = {
            **labels,
            "id": job_id,
            "prompt": prompt if prompt_label is None else prompt_label,
            "seed": str(seed) if seed_label is None else seed_label,
        }
        return Job(job, job_id, _with(request, prompt, seed), labels, PurePosixPath(output), job_hash, bundle)

    def _read_shape(self, shape: int) -> tuple[str, dict[str, str], RenderRequest]:
        bundle, labels, request = self._database.one(
            "SELECT bundle, labels, request FROM shapes WHERE shape=?", (shape,)
        )
        return bundle, json.loads(labels), request_from(json.loads(request))

    def _job(self, row: Any) -> Job:
        job, draft, column, seed_label, output, job_hash = row
        seed = seed_of(column)
        job_id, bundle, labels, request = self._draft(draft)
        labels = labels | {"seed": str(seed) if seed_label is None else seed_label}
        return Job(job, job_id, replace(request, seed=seed), labels, PurePosixPath(output), job_hash, bundle)

    def _read_draft(self, draft: int) -> tuple[str, str, dict[str, str], RenderRequest]:
        job_id, bundle, labels, request = self._database.one(
            "SELECT id, bundle, labels, request FROM drafts WHERE draft=?", (draft,)
        )
        return job_id, bundle, json.loads(labels), request_from(json.loads(request))


def _with(request: RenderRequest, prompt: str, seed: int) -> RenderRequest:
    """`request` with another prompt and seed: `replace` checks each of its many attributes, for each of a million."""
    changed = object.__new__(RenderRequest)
    changed.__dict__.update(request.__dict__, prompt=prompt, seed=seed)
    return changed
