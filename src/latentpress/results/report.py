"""What a night came to: counts, failures with their reasons, times and estimates of an output folder, from its ledger.

Reads the ledger and looks at files, opens no bundle and no manifest, and writes nothing; a render may be going on.
"""

import math
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from latentpress.batch.drawings import drawn_files
from latentpress.batch.ledger.beside import beside
from latentpress.batch.ledger.runs import RunRow, runs
from latentpress.batch.place import LEDGER
from latentpress.batch.plan.database import Database
from latentpress.batch.plan.jobs import Jobs
from latentpress.batch.state.quarantine import recorded_quarantine
from latentpress.batch.state.standing import Standing, recorded_counts, standing
from latentpress.engines.choice import engine_called
from latentpress.errors import UsageError
from latentpress.files import OWN_FOLDER
from latentpress.manifest.names import SUFFIXES, collision_key
from latentpress.runtime.request import RenderRequest

# Rows of each list: a page that a person reads.
FAILURES, SLOWEST, NEWEST, RENDERS, GONE = 500, 12, 24, 40, 100
# Seconds before the last render began in which renders belong to the same night: of those the warnings are told.
NIGHT = 24 * 3600.0
_OWN = f"output NOT LIKE '{OWN_FOLDER}/%'"
# Rows of the ledger that are read at once.
_BLOCK = 5000


@dataclass(frozen=True)
class Failed:
    """A picture that could not be rendered.

    cause: of `runtime.request.CAUSES`, "" where nobody knows; finished: seconds since 1970; title, what: of its job;
    quarantined: whether renders leave it out.
    """

    output: str
    cause: str
    error: str
    attempts: int
    finished: float | None
    title: str
    what: str
    quarantined: bool


@dataclass(frozen=True)
class Made:
    """A finished picture. seconds: from its first step to its pixels, shared with those in the same calls."""

    output: str
    seconds: float
    finished: float | None
    engine: str
    what: str


@dataclass(frozen=True)
class Report:
    """What is known of an output folder.

    made: when this was looked at, seconds since 1970; manifest: (name, path from the folder) of the one whose plan was
    recorded last, None where none was; standing: who renders, and how the last render went; total, done, failed: pictures of
    that plan, none where the ledger holds none; quarantined: those of the failed ones that renders leave out; causes: how
    many failed so; failures: the first FAILURES of them; others: finished pictures that are not of that plan; gone: the
    first of the recorded pictures whose file is not there, or not whole, and how many they are; bytes: of all finished
    pictures; slowest, newest: of those of the plan, where there is one; engines: (engine, device, pictures); renders: the
    last ones, the newest first; warnings: of the last night's; sheets: those that were drawn of the plan, as far as they
    are there; planned: whether the ledger holds a plan.
    """

    folder: Path
    made: float
    manifest: tuple[str, str] | None
    standing: Standing
    total: int
    done: int
    failed: int
    quarantined: int
    causes: list[tuple[str, int]]
    failures: list[Failed]
    others: int
    gone: tuple[list[str], int]
    bytes: int
    slowest: list[Made]
    newest: list[Made]
    engines: list[tuple[str, str, int]]
    renders: list[RunRow]
    warnings: list[str]
    sheets: list[str]
    planned: bool

    @property
    def missing(self) -> int:
        """Pictures of the plan that no render has come to, or whose file is gone."""
        return self.total - self.done - self.failed

    @property
    def left(self) -> int:
        """The pictures that the next render makes."""
        return self.missing + self.failed - self.quarantined + self.gone[1]


def report_of(folder: Path, home: Path) -> Report:
    """The report of an output folder whose ledger lies in `home`.

    Raises UsageError where there is no folder, or no ledger, and as the opening of a ledger does.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder; give an output folder, as `render -o` does, or its manifest")
    if not (home / LEDGER).exists():
        raise UsageError(
            f"{folder}: holds no ledger, so nothing was rendered into it yet; give an output folder of `latentpress render`"
        )
    with beside(home / LEDGER) as database:
        return _read(folder, home, database)


def _read(folder: Path, home: Path, database: Database) -> Report:
    counts = recorded_counts(database)
    total, done, failed = counts or (0, 0, 0)
    jobs = Jobs(database) if counts else None
    now, renders = standing(home, database), runs(database)
    kept_out = recorded_quarantine(database, now.last.retries if now.last else None) if counts else frozenset[str]()
    finished, size = database.one(f"SELECT count(*), total(file_size) FROM images WHERE status='done' AND {_OWN}")
    engines = database.answers(
        f"SELECT provider, coalesce(device, ''), count(*) FROM images WHERE status='done' AND {_OWN} "
        "GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2"
    )
    documents = sorted(drawn_files(database)) if counts else []
    last = database.one("SELECT name, coalesce(manifest, '') FROM plans WHERE plan_hash=?", (_plan_hash(renders),))
    causes = f"SELECT coalesce(cause, ''), count(*) {_FAILED} GROUP BY 1 ORDER BY 2 DESC, 1"
    return Report(
        folder=folder,
        made=time.time(),
        manifest=last or database.one("SELECT name, coalesce(manifest, '') FROM plans ORDER BY began DESC, name"),
        standing=now,
        total=total,
        done=done,
        failed=failed,
        quarantined=len(kept_out),
        causes=database.answers(causes) if counts else [],
        failures=list(_failures(database, jobs, kept_out)) if jobs else [],
        others=finished - done,
        gone=_gone(folder, database),
        bytes=int(size),
        slowest=_made(database, jobs, f"ORDER BY seconds DESC, images.output LIMIT {SLOWEST}"),
        newest=_made(database, jobs, f"ORDER BY finished DESC, images.output LIMIT {NEWEST}"),
        engines=[(engine_called(provider), device, count) for provider, device, count in engines],
        renders=renders[: -RENDERS - 1 : -1],
        warnings=_warnings(renders),
        sheets=[name for name in documents if name.endswith(SUFFIXES) and (folder / name).is_file()],
        planned=counts is not None,
    )


def _plan_hash(renders: list[RunRow]) -> str:
    return renders[-1].plan_hash if renders else ""


# The pictures of the plan that was recorded last, and the failed ones.
_PLANNED = "FROM jobs JOIN images ON images.output=jobs.output AND images.job_hash=jobs.job_hash"
_FAILED = f"{_PLANNED} WHERE images.status='failed'"


def _failures(database: Database, jobs: Jobs, kept_out: frozenset[str]) -> Iterator[Failed]:
    query = (
        "SELECT job, images.output, coalesce(cause, ''), coalesce(error, ''), attempts, finished "
        f"{_FAILED} ORDER BY cause, job LIMIT {FAILURES}"
    )
    for number, output, cause, error, attempts, finished in database.answers(query):
        job = jobs[number - 1]
        of_job = job.title, _asked(job.request)
        yield Failed(output, cause, error, attempts, _moment(finished), *of_job, output in kept_out)


def _made(database: Database, jobs: Jobs | None, order: str) -> list[Made]:
    """Finished pictures that a render made: what was found whole in the folder took no time. Of the plan, where one is."""
    query = (
        f"SELECT images.output, images.job_hash, seconds, finished, provider {_PLANNED if jobs else 'FROM images'} "
        f"WHERE status='done' AND batch_rows > 0 AND images.{_OWN} {order}"
    )
    return [
        Made(output, seconds, _moment(finished), engine_called(provider), _what(database, jobs, output, job_hash))
        for output, job_hash, seconds, finished, provider in database.answers(query)
    ]


def _what(database: Database, jobs: Jobs | None, output: str, job_hash: str) -> str:
    """What the plan's job of that name asks for, "" where the plan has another one, or none."""
    if jobs is None:
        return ""
    found = database.one("SELECT job FROM jobs WHERE collision=?", (collision_key(output),))
    job = jobs[found[0] - 1] if found else None
    return _asked(job.request) if job and job.job_hash == job_hash else ""


def _asked(request: RenderRequest) -> str:
    """What a job asks for, in a few words."""
    return f"{request.width}x{request.height}, {request.sampler} {request.steps}, {request.prompt}"


def _gone(folder: Path, database: Database) -> tuple[list[str], int]:
    """The first of the recorded pictures whose file is not there, or of another size, and how many they are."""
    listed: list[str] = []
    count, after = 0, ""
    query = (
        f"SELECT output, file_size FROM images WHERE status='done' AND {_OWN} AND output > ? "
        f"ORDER BY output LIMIT {_BLOCK}"
    )
    while found := database.answers(query, (after,)):
        after = found[-1][0]
        gone = [output for output, size in found if not _there(folder, output, size)]
        count += len(gone)
        listed += gone[: max(GONE - len(listed), 0)]
    return listed, count


def _there(folder: Path, output: str, size: int | None) -> bool:
    try:
        found = os.stat(f"{folder}/{output}")  # noqa: PTH116  # a Path for each of a million takes longer than the look
    except (OSError, ValueError):
        return False
    return size is None or found.st_size == size


def _warnings(renders: list[RunRow]) -> list[str]:
    """What the renders of the last night warned of, each once, the last render's first."""
    tonight = [one for one in renders if one.began >= renders[-1].began - NIGHT]
    return list(dict.fromkeys(line for one in reversed(tonight) for line in one.warnings))


def _moment(finished: float | None) -> float | None:
    return finished if finished is not None and math.isfinite(finished) else None
