"""SQLite in the output folder: the plan, and what of it is done, durably. An image without a `done` row does not count.

A rollback journal with synchronous=EXTRA: a committed row survives a power cut, and nothing lies beside the file when
no one writes.
"""

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import TracebackType

from latentpress.batch.ledger import schema
from latentpress.batch.ledger.seal import break_seal, seal, sealed
from latentpress.batch.pictures.guided import Guided, went_wrong
from latentpress.batch.place import LEDGER, home_of
from latentpress.batch.plan.database import Database
from latentpress.batch.plan.identity import VERSION
from latentpress.batch.plan.job import Job, canonical_json
from latentpress.batch.plan.jobs import seed_column, seed_of
from latentpress.batch.plan.plan import Plan
from latentpress.errors import UsageError
from latentpress.files import folder_syncs
from latentpress.runtime.request import Origin


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


_ORIGIN = (
    "provider, batch_rows, coalesce(row_rule, 'untested'), coalesce(device, ''), coalesce(versions, ''), "
    "coalesce(gradient, '')"
)
_IMAGE = (
    f"SELECT {_ORIGIN}, output, job_hash, status, pixel_sha256, file_sha256, file_size, attempts, error FROM images"
)


def ledger_path(folder: Path) -> Path:
    """Where the ledger of an output folder lies; raises UsageError where that place is gone (place.py)."""
    return home_of(folder) / LEDGER


class Ledger(Database):
    """An open ledger, brought up to this version. Any thread may use it; they take turns."""

    def __init__(self, path: Path, *, trust_seal: bool = False) -> None:
        """trust_seal: do not look through the tables of a file that is as it was when it was sealed (seal.py)."""
        super().__init__(path)
        self.sealed = trust_seal and sealed(path)
        break_seal(path)
        try:
            # EXTRA syncs the folder too, and fails where that cannot be done.
            self.run(f"PRAGMA synchronous={'EXTRA' if folder_syncs(path.parent) else 'FULL'}")
            version = self.one("PRAGMA user_version")[0]
            check_version(version, path)
            if version and not self.sealed:
                self.check_tables(*schema.tables_of(version))
            if version != schema.VERSION:
                later = range(version + 1, schema.VERSION + 1)
                steps = [schema.UPGRADES[step] for step in later] if version else [schema.TABLES]
                with self.transaction():
                    self.script("".join(steps) + f"PRAGMA user_version={schema.VERSION}")
        except BaseException:
            self.close()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        if self.path is not None and (kind is None or issubclass(kind, KeyboardInterrupt)):
            seal(self.path)

    def record(self, plan: Plan, manifest: str, paths: Mapping[str, str]) -> None:
        """Record a plan, whose table this is, and freeze its drawn seeds, before anything is rendered.

        manifest: its path from the output folder; paths: a bundle's hash -> the folder it lies in. Finished pictures
        that the plan wants where they are belong to it from now on.
        """
        self.run("DELETE FROM seeds")  # `draws` holds what is to stay
        self.many("INSERT INTO seeds VALUES (?, ?)", ((key, seed_column(seed)) for key, seed in plan.draws.items()))
        contents = " ".join(facts.content for facts in plan.rendered_on)
        self.run(
            "INSERT OR REPLACE INTO plans (plan_hash, name, bundle_hash, jobs, manifest, began) VALUES (?, ?, ?, ?, ?, ?)",
            (plan.plan_hash, plan.name, contents, len(plan.jobs), manifest, plan.began),
        )
        self.many(
            "INSERT OR REPLACE INTO bundles VALUES (?, ?, ?, ?, ?)",
            (
                (facts.content, facts.source, facts.name, paths.get(facts.hash), canonical_json(dict(facts.parts)))
                for facts in plan.bundles.values()
            ),
        )
        self.run(
            "UPDATE images SET plan_hash=:plan WHERE plan_hash<>:plan AND status='done' AND EXISTS "
            "(SELECT 1 FROM jobs WHERE jobs.output=images.output AND jobs.job_hash=images.job_hash)",
            {"plan": plan.plan_hash},
        )

    def image(self, output: str) -> Image | None:
        """What is known of one output, None where nothing is."""
        return next(iter(self._images("output=?", output)), None)

    def images(self) -> Mapping[str, Image]:
        """Every output the ledger knows."""
        return {image.output: image for image in self._images("?", 1)}

    def finished(self, job_hash: str) -> list[Image]:
        """The finished pictures of a job, under whatever names."""
        return self._images("job_hash=? AND status='done' ORDER BY output", job_hash)

    def _images(self, where: str, value: object) -> list[Image]:
        found = self.answers(f"{_IMAGE} WHERE {where}", (value,))
        return [Image(*row[6:], origin=Origin(*row[:6])) for row in found]

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
        stamp: str,
        losses: Sequence[tuple[str, float]] = (),
        guided: Guided | None = None,
        **otherwise: str,
    ) -> None:
        """Record an image that is durable under its final name; `stamp` is of the file (intact.py).

        otherwise: what is not the job's own, such as the `output` of a picture that had to be kept elsewhere.
        """
        facts: dict[str, object] = {"pixel_sha256": pixel_sha256, "file_sha256": file_sha256, "file_size": file_size}
        facts["stamp"] = stamp
        rose = went_wrong(guided, [loss.scale for loss in job.request.losses]) if guided else None
        facts |= {"losses": json.dumps(losses) if losses else None, "drift": None}
        facts |= {"guided": canonical_json(guided) if guided else None, "rose": json.dumps(rose) if rose else None}
        facts |= otherwise
        self._put(job, plan, "done", facts, seconds, origin)

    def failed(self, job: Job, plan: Plan, error: str, *, seconds: float, origin: Origin, cause: str = "") -> None:
        """Record that a job could not be rendered; cause: one of `runtime.request.CAUSES`, "" where nobody knows."""
        none = dict.fromkeys(("pixel_sha256", "file_sha256", "file_size", "stamp", "losses", "guided", "drift", "rose"))
        self._put(job, plan, "failed", none | {"error": error, "cause": cause or None}, seconds, origin)

    def _put(
        self, job: Job, plan: Plan, status: str, facts: Mapping[str, object], seconds: float, origin: Origin
    ) -> None:
        values: dict[str, object] = {
            "output": str(job.output),
            "plan_hash": plan.plan_hash,
            "job_hash": job.job_hash,
            "status": status,
            "attempts": 1,
            "seconds": seconds,
            "batch_rows": origin.batch_rows,
            "provider": origin.provider,
            "error": None,
            "cause": None,
            "row_rule": origin.row_rule,
            "finished": time.time(),
            "device": origin.device,
            "versions": origin.versions,
            "gradient": origin.gradient or None,
            "identity": VERSION,
            **facts,
        }
        self.run(_put_query(tuple(values)), (*values.values(), job.index))

    def moving(self, output: str, target: str) -> None:
        """Record that the file of `output` is at `target` too, before it is moved there: no kill leaves it unknown."""
        self._copy(output, {"output": target})

    def moved(self, output: str) -> None:
        """Nothing of ours is at `output` any more."""
        self.run("DELETE FROM images WHERE output=?", (output,))

    def taken(self, source: str, job: Job, plan: Plan, stamp: str) -> None:
        """Record that the picture of `source` is at the job's name too."""
        self._copy(source, {"output": str(job.output), "plan_hash": plan.plan_hash, "stamp": stamp})

    def _copy(self, output: str, changes: Mapping[str, str]) -> None:
        names = ", ".join(name for name in schema.COLUMNS if name not in changes)
        self.run(
            f"INSERT OR REPLACE INTO images ({', '.join(changes)}, {names}) "
            f"SELECT {', '.join('?' * len(changes))}, {names} FROM images WHERE output=?",
            (*changes.values(), output),
        )

    def stamp(self, stamps: Iterable[tuple[str, str]]) -> None:
        """Note (output, stamp) of files that were read and found whole."""
        self.many("UPDATE images SET stamp=? WHERE output=?", ((stamp, output) for output, stamp in stamps))

    def recognise(self, rows: Iterable[tuple[str, int, str]]) -> None:
        """(output, job, job_hash) of rows of an earlier ledger: the job in the plan that each is, and its hash now."""
        self.many(
            "UPDATE images SET job_hash=?, identity=?, (contents, unseeded)="
            "(SELECT contents, unseeded FROM jobs JOIN drafts USING (draft) WHERE job=?) WHERE output=?",
            ((job_hash, VERSION, job, output) for output, job, job_hash in rows),
        )

    def writing(self, output: str, sha256: str, manifest: str) -> None:
        """Record what a document (a sheet, a table) will hold, before it is written, and the manifest it is for."""
        self.run(
            "INSERT INTO documents VALUES (?, ?, NULL, ?) ON CONFLICT (output) DO UPDATE SET manifest=excluded.manifest, "
            "previous=CASE WHEN file_sha256=excluded.file_sha256 THEN previous ELSE file_sha256 END, "
            "file_sha256=excluded.file_sha256",
            (output, sha256, manifest),
        )


@cache
def _put_query(values: tuple[str, ...]) -> str:
    """What puts a row with these values, and those that the plan has of a job, in place of an earlier one of its name."""
    # Attempts count tries at one picture; another picture under the same name starts over.
    again = "attempts=CASE WHEN images.job_hash=excluded.job_hash THEN images.attempts + 1 ELSE 1 END"
    names = [*values, "contents", "unseeded"]
    updates = ", ".join(f"{name}=excluded.{name}" for name in names if name not in ("output", "attempts"))
    return (
        f"INSERT INTO images ({', '.join(names)}) SELECT {', '.join('?' * len(values))}, contents, unseeded "
        "FROM jobs JOIN drafts USING (draft) WHERE job=? "
        f"ON CONFLICT (output) DO UPDATE SET {updates}, {again}"
    )


def documents(database: Database) -> dict[str, set[str]]:
    """Each document that was written -> what it may hold: what was written last, and before that."""
    found = database.answers("SELECT output, file_sha256, previous FROM documents")
    return {output: {one for one in sums if one} for output, *sums in found}


def draws(database: Database) -> dict[str, int]:
    """The seeds drawn by earlier renders, of a ledger or of a database `beside` it."""
    return {key: seed_of(column) for key, column in database.answers("SELECT key, seed FROM seeds")}


def begun(database: Database, manifest: str) -> str | None:
    """When the first render of a manifest began that the ledger knows of, as `Plan.began`."""
    return database.one("SELECT min(began) FROM plans WHERE manifest=?", (manifest,))[0]


def check_version(version: int, path: Path) -> None:
    """Raise UsageError for a ledger that a later latentpress wrote."""
    if not 0 <= version <= schema.VERSION:
        raise UsageError(
            f"{path}: ledger version {version}, this latentpress reads {schema.VERSION}; "
            "render into another folder with -o"
        )
