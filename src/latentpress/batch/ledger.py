"""SQLite in the output folder: what is done, durably. An image without a `done` row here does not count.

A rollback journal with synchronous=EXTRA: a committed row survives a power cut, and nothing lies beside the file when
no one writes.
"""

import contextlib
import sqlite3
import threading
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path

from latentpress.batch.job import Job
from latentpress.batch.plan import Plan
from latentpress.errors import EnvironmentFailure, UsageError
from latentpress.files import OWN_FOLDER
from latentpress.runtime.request import Origin

SCHEMA_VERSION = 2
_SCHEMA = """
CREATE TABLE plans (plan_hash TEXT PRIMARY KEY, name TEXT NOT NULL, bundle_hash TEXT NOT NULL, jobs INTEGER NOT NULL);
CREATE TABLE seeds (key TEXT PRIMARY KEY, seed INTEGER NOT NULL);
CREATE TABLE images (
    output TEXT PRIMARY KEY, plan_hash TEXT NOT NULL, job_hash TEXT NOT NULL, status TEXT NOT NULL,
    pixel_sha256 TEXT, file_sha256 TEXT, file_size INTEGER, attempts INTEGER NOT NULL, seconds REAL NOT NULL,
    batch_rows INTEGER NOT NULL, provider TEXT NOT NULL, error TEXT, row_rule TEXT
);
"""
# From the version before each one to it.
_UPGRADES = {2: "ALTER TABLE images ADD COLUMN row_rule TEXT;"}


@dataclass(frozen=True)
class Row:
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


def ledger_path(folder: Path) -> Path:
    """Where the ledger of an output folder lies."""
    return folder / OWN_FOLDER / "ledger.sqlite"


class Ledger:
    """An open ledger. Any thread may use it; they take turns."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._turn = threading.Lock()
        with self._guard():
            self._connection = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
            self._connection.execute("PRAGMA synchronous=EXTRA")
            version = self._connection.execute("PRAGMA user_version").fetchone()[0]
            if version == 0:
                self._connection.executescript(f"BEGIN;{_SCHEMA}PRAGMA user_version={SCHEMA_VERSION};COMMIT;")
            elif version == SCHEMA_VERSION - 1:
                upgrade = f"BEGIN;{_UPGRADES[SCHEMA_VERSION]}PRAGMA user_version={SCHEMA_VERSION};COMMIT;"
                self._connection.executescript(upgrade)
            elif version != SCHEMA_VERSION:
                self._connection.close()
                raise UsageError(
                    f"{path}: ledger version {version}, this latentpress reads {SCHEMA_VERSION}; "
                    "render into another folder with -o"
                )

    def __enter__(self) -> "Ledger":
        return self

    def __exit__(self, *exc: object) -> None:
        self._connection.close()

    def draws(self) -> dict[str, int]:
        """The seeds drawn so far."""
        with self._guard():
            return dict(self._connection.execute("SELECT key, seed FROM seeds"))

    def begin(self, plan: Plan) -> None:
        """Record a plan and freeze its drawn seeds, before anything is rendered."""
        with self._guard():
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.executemany("INSERT OR IGNORE INTO seeds VALUES (?, ?)", plan.draws.items())
            self._connection.execute(
                "INSERT OR IGNORE INTO plans VALUES (?, ?, ?, ?)",
                (plan.plan_hash, plan.name, plan.bundle.hash, len(plan.jobs)),
            )
            self._connection.execute("COMMIT")

    def rows(self) -> Mapping[str, Row]:
        """Every output the ledger knows."""
        query = (
            "SELECT provider, batch_rows, coalesce(row_rule, 'untested'), "
            "output, job_hash, status, pixel_sha256, file_sha256, file_size, attempts, error FROM images"
        )
        with self._guard():
            return {row[3]: Row(*row[3:], origin=Origin(*row[:3])) for row in self._connection.execute(query)}

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
    ) -> None:
        """Record an image that is durable under its final name."""
        facts = (pixel_sha256, file_sha256, file_size)
        self._put(job, plan, "done", facts, seconds, origin, None)

    def failed(self, job: Job, plan: Plan, error: str, *, seconds: float, origin: Origin) -> None:
        """Record that a job could not be rendered."""
        self._put(job, plan, "failed", (None, None, None), seconds, origin, error)

    def _put(
        self,
        job: Job,
        plan: Plan,
        status: str,
        facts: tuple[str | None, str | None, int | None],
        seconds: float,
        origin: Origin,
        error: str | None,
    ) -> None:
        query = (
            "INSERT INTO images VALUES (?, ?, ?, ?, ?, ?, ?, 1, ?, ?, ?, ?, ?) ON CONFLICT (output) DO UPDATE SET "
            "plan_hash=excluded.plan_hash, job_hash=excluded.job_hash, status=excluded.status, "
            "pixel_sha256=excluded.pixel_sha256, file_sha256=excluded.file_sha256, file_size=excluded.file_size, "
            # Attempts count tries at one picture; another picture under the same name starts over.
            "attempts=CASE WHEN images.job_hash=excluded.job_hash THEN images.attempts + 1 ELSE 1 END, "
            "seconds=excluded.seconds, batch_rows=excluded.batch_rows, provider=excluded.provider, "
            "error=excluded.error, row_rule=excluded.row_rule"
        )
        values = (str(job.output), plan.plan_hash, job.job_hash, status, *facts, seconds)
        values += (origin.batch_rows, origin.provider, error, origin.row_rule)
        with self._guard():
            self._connection.execute(query, values)

    @contextlib.contextmanager
    def _guard(self) -> Generator[None]:
        try:
            with self._turn:
                yield
        except sqlite3.OperationalError as error:
            raise EnvironmentFailure(
                f"{self.path}: the ledger cannot be used ({error}); free the disk or fix its permissions, then resume"
            ) from None
        except sqlite3.DatabaseError as error:
            raise UsageError(
                f"{self.path}: the ledger is damaged ({error}); render into another folder with -o"
            ) from None
