"""SQLite in the output folder: the plan, and what of it is done, durably. An image without a `done` row does not count.

A rollback journal with synchronous=EXTRA: a committed row survives a power cut, and nothing lies beside the file when
no one writes.
"""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from latentpress.batch.database import Database, check_database
from latentpress.batch.job import Job
from latentpress.batch.jobs import seed_column, seed_of
from latentpress.batch.plan import Plan
from latentpress.errors import EnvironmentFailure, UsageError
from latentpress.files import OWN_FOLDER
from latentpress.runtime.request import Origin

SCHEMA_VERSION = 3
_IMAGES = """
CREATE TABLE images (
    output TEXT PRIMARY KEY, plan_hash TEXT NOT NULL, job_hash TEXT NOT NULL, status TEXT NOT NULL,
    pixel_sha256 TEXT, file_sha256 TEXT, file_size INTEGER, attempts INTEGER NOT NULL, seconds REAL NOT NULL,
    batch_rows INTEGER NOT NULL, provider TEXT NOT NULL, error TEXT, row_rule TEXT, finished REAL, device TEXT,
    versions TEXT, losses TEXT
);
"""
_SCHEMA = f"""
CREATE TABLE plans (plan_hash TEXT PRIMARY KEY, name TEXT NOT NULL, bundle_hash TEXT NOT NULL, jobs INTEGER NOT NULL);
CREATE TABLE seeds (key TEXT PRIMARY KEY, seed INTEGER NOT NULL);
{_IMAGES}
"""
# From the version before each one to it. The tables of the plan (jobs.py) are made again by every render.
_UPGRADES = {
    2: "ALTER TABLE images ADD COLUMN row_rule TEXT;",
    3: "".join(
        f"ALTER TABLE images ADD COLUMN {column};"
        for column in ("finished REAL", "device TEXT", "versions TEXT", "losses TEXT")
    ),
}


@dataclass(frozen=True)
class Image:
    """What the ledger knows of one output; `status` is done or failed."""

    output: str
    job_hash: str
    status: str
    pixel_sha256: str | None
    file_sha256: str | None
    file_size: int | None
    attempts: int
    error: str | None
    origin: Origin


_IMAGE = (
    "SELECT provider, batch_rows, coalesce(row_rule, 'untested'), "
    "output, job_hash, status, pixel_sha256, file_sha256, file_size, attempts, error FROM images"
)


def ledger_path(folder: Path) -> Path:
    """Where the ledger of an output folder lies."""
    return folder / OWN_FOLDER / "ledger.sqlite"


class Ledger(Database):
    """An open ledger, brought up to this version. Any thread may use it; they take turns."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        try:
            self.run("PRAGMA synchronous=EXTRA")
            version = self.one("PRAGMA user_version")[0]
            check_version(version, path)
            if version != SCHEMA_VERSION:
                steps = [_UPGRADES[step] for step in range(version + 1, SCHEMA_VERSION + 1)] if version else [_SCHEMA]
                with self.transaction():
                    self.script("".join(steps) + f"PRAGMA user_version={SCHEMA_VERSION}")
        except BaseException:
            self.close()
            raise

    def record(self, plan: Plan) -> None:
        """Record a plan, whose table this is, and freeze its drawn seeds, before anything is rendered."""
        self.many(
            "INSERT OR IGNORE INTO seeds VALUES (?, ?)", ((key, seed_column(seed)) for key, seed in plan.draws.items())
        )
        bundles = " ".join(facts.hash for facts in plan.rendered_on)
        self.run(
            "INSERT OR IGNORE INTO plans VALUES (?, ?, ?, ?)", (plan.plan_hash, plan.name, bundles, len(plan.jobs))
        )

    def image(self, output: str) -> Image | None:
        """What is known of one output, None where nothing is."""
        found = self.one(f"{_IMAGE} WHERE output=?", (output,))
        return found and Image(*found[3:], origin=Origin(*found[:3]))

    def images(self) -> Mapping[str, Image]:
        """Every output the ledger knows."""
        return {found[3]: Image(*found[3:], origin=Origin(*found[:3])) for found in self.answers(_IMAGE)}

    def done(
        self,
        job: Job,
        plan: Plan,
        *,
        pixel_sha256: str,
        file_sha256: str,
        file_size: int,
        seconds: float,
        origin: Origin,
        losses: Sequence[tuple[str, float]] = (),
    ) -> None:
        """Record an image that is durable under its final name."""
        facts = (pixel_sha256, file_sha256, file_size)
        self._put(job, plan, "done", facts, seconds, origin, losses=json.dumps(losses) if losses else None)

    def failed(self, job: Job, plan: Plan, error: str, *, seconds: float, origin: Origin) -> None:
        """Record that a job could not be rendered."""
        self._put(job, plan, "failed", (None, None, None), seconds, origin, error=error)

    def _put(
        self,
        job: Job,
        plan: Plan,
        status: str,
        facts: tuple[str | None, str | None, int | None],
        seconds: float,
        origin: Origin,
        *,
        error: str | None = None,
        losses: str | None = None,
    ) -> None:
        values = {
            "output": str(job.output),
            "plan_hash": plan.plan_hash,
            "job_hash": job.job_hash,
            "status": status,
            **dict(zip(("pixel_sha256", "file_sha256", "file_size"), facts, strict=True)),
            "attempts": 1,
            "seconds": seconds,
            "batch_rows": origin.batch_rows,
            "provider": origin.provider,
            "error": error,
            "row_rule": origin.row_rule,
            "finished": time.time(),
            "device": origin.device,
            "versions": origin.versions,
            "losses": losses,
        }
        # Attempts count tries at one picture; another picture under the same name starts over.
        again = "attempts=CASE WHEN images.job_hash=excluded.job_hash THEN images.attempts + 1 ELSE 1 END"
        updates = ", ".join(f"{name}=excluded.{name}" for name in values if name not in ("output", "attempts"))
        query = (
            f"INSERT INTO images ({', '.join(values)}) VALUES ({', '.join('?' * len(values))}) "
            f"ON CONFLICT (output) DO UPDATE SET {updates}, {again}"
        )
        self.run(query, tuple(values.values()))


def draws(database: Database) -> dict[str, int]:
    """The seeds drawn by earlier renders, of a ledger or of a database `beside` it."""
    return {key: seed_of(column) for key, column in database.answers("SELECT key, seed FROM seeds")}


def check_version(version: int, path: Path) -> None:
    """Raise UsageError for a ledger that a later latentpress wrote."""
    if not 0 <= version <= SCHEMA_VERSION:
        raise UsageError(
            f"{path}: ledger version {version}, this latentpress reads {SCHEMA_VERSION}; "
            "render into another folder with -o"
        )


def beside(path: Path) -> Database:
    """A temporary database for a plan, which sees the `seeds` and `images` of the ledger at `path` and writes nothing there.

    Raises as `Ledger` does.
    """
    if not path.exists():
        database = Database(None)
        database.script(_SCHEMA)
        return database
    check_database(path, path)
    try:
        return _attached(path)
    except EnvironmentFailure:
        # A killed render leaves its journal, which must be rolled back before anyone can read; that is all that is done.
        with Database(path) as killed:
            killed.answers("SELECT name FROM sqlite_master")
        return _attached(path)


def _attached(path: Path) -> Database:
    database = Database(None, shown=path)
    try:
        database.run("ATTACH ? AS ledger", (f"{path.resolve().as_uri()}?mode=ro",))
        version = database.one("PRAGMA ledger.user_version")[0]
        check_version(version, path)
        if version == 0:  # killed before it had a table
            database.script(_SCHEMA)
        else:
            row_rule = "row_rule" if version > 1 else "NULL AS row_rule"
            columns = f"output, job_hash, status, file_size, attempts, error, provider, {row_rule}"
            database.run(f"CREATE TEMP VIEW images AS SELECT {columns} FROM ledger.images")
            database.run("CREATE TEMP VIEW seeds AS SELECT key, seed FROM ledger.seeds")
    except BaseException:
        database.close()
        raise
    return database
