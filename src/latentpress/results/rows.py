"""One row for each picture of an output folder: what its ledger, its plan and the picture itself say of it.

Writes nothing, not even into the ledger, so that who may only read a folder can ask. Rows come as they are read.
"""

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from latentpress.batch.ledger.beside import beside
from latentpress.batch.ledger.ledger import ledger_path
from latentpress.batch.pictures.fault import fault_of
from latentpress.batch.pictures.guided import drift_of, guided_claimed
from latentpress.batch.plan.database import Database
from latentpress.batch.plan.identity import hashed_data
from latentpress.batch.plan.job import Job, request_data
from latentpress.batch.plan.jobs import Jobs
from latentpress.batch.proof.provenance import provenance
from latentpress.compare.folders import pictures_below
from latentpress.engines.choice import engine_called
from latentpress.errors import UsageError
from latentpress.files import OWN_FOLDER
from latentpress.manifest.names import collision_key
from latentpress.sheets.cells import DONE, FAILED, MISSING, REASONS, WAITING

# A picture that says of itself how it was made, and of which the ledger knows nothing.
UNRECORDED = "unrecorded"
_REASONS = {**REASONS, UNRECORDED: "the ledger knows nothing of it"}
_REQUEST = ("prompt", "negative_prompt", "seed", "sampler", "steps", "guidance_scale", "width", "height")
# Every column, in order; what is not known is None. file_name: the path below the folder; status: done, failed, waiting
# (planned), missing (recorded, and gone or another) or unrecorded; reason: why it is not done; losses: name and unscaled
# value on the picture; guided: what they did (batch/pictures/guided.py); drift: the picture beside its unguided twin
# (batch/drift.py); finished: UTC.
COLUMNS = (
    *(
        "file_name",
        "status",
        "reason",
        *_REQUEST,
        "losses",
        "guided",
        "drift",
        "labels",
        "model",
        "source_sha256",
        "bundle_content",
    ),
    *("job_hash", "pixel_sha256", "file_sha256", "engine", "device", "versions", "seconds", "finished"),
    *("attempts", "error", "request"),
)
_RECORDED = (
    *("output", "job_hash", "status", "pixel_sha256", "file_sha256", "file_size", "attempts", "seconds", "provider"),
    *("error", "finished", "device", "versions", "losses", "contents", "stamp"),
    *("guided", "drift"),
)
# Rows of the ledger that are read at once.
_BLOCK = 2000


def result_rows(folder: Path | str) -> Iterator[dict[str, Any]]:
    """A dict of COLUMNS for each picture of an output folder: those that the ledger knows, by name, then planned ones that
    it does not know, in the plan's order, then unrecorded ones.

    Raises UsageError where there is no folder, or neither a ledger nor a picture in it, and as a ledger's opening does.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder; give an output folder, as `render -o` does")
    if not ledger_path(folder).exists() and not pictures_below(folder):
        raise UsageError(f"{folder}: holds no ledger and no pictures; give an output folder, as `render -o` does")
    return _rows(folder)


def _rows(folder: Path) -> Iterator[dict[str, Any]]:
    known: set[str] = set()
    with beside(ledger_path(folder)) as database:
        has_plan = all(_columns(database, table) for table in ("jobs", "drafts"))
        jobs = Jobs(database) if has_plan else None
        for recorded in _recorded(database):
            known.add(recorded["output"])
            yield _recorded_row(folder, recorded, _job(database, jobs, recorded))
        for job in jobs or ():
            if str(job.output) not in known:
                known.add(str(job.output))
                yield _row(str(job.output), WAITING, job_hash=job.job_hash) | _of_job(job)
    for name in pictures_below(folder):
        if name not in known and (said := provenance(folder / name)) is not None:
            yield _row(name, UNRECORDED, job_hash=said["job_hash"]) | _of_picture(said)


def _columns(database: Database, table: str) -> list[str]:
    """The columns of a table of the ledger; none where there is no such table, or no ledger."""
    attached = [name for _, name, _ in database.answers("PRAGMA database_list")]
    return [row[1] for row in database.answers(f"PRAGMA ledger.table_info({table})")] if "ledger" in attached else []


def _recorded(database: Database) -> Iterator[dict[str, Any]]:
    """The rows of the ledger's images, those aside left out; what an older ledger does not hold is None."""
    after = ""
    # What was replaced or is kept for later lies in the folder of latentpress' own.
    query = (
        f"SELECT {', '.join(_RECORDED)} FROM images WHERE output > ? AND output NOT LIKE '{OWN_FOLDER}/%' "
        f"ORDER BY output LIMIT {_BLOCK}"
    )
    while found := database.answers(query, (after,)):
        for row in found:
            yield dict(zip(_RECORDED, row, strict=True))
        after = found[-1][0]


def _job(database: Database, jobs: Jobs | None, recorded: Mapping[str, Any]) -> Job | None:
    """The job of the plan that a recorded picture is of, None where the plan has another job, or none, of that name."""
    if jobs is None:
        return None
    found = database.one("SELECT job FROM jobs WHERE collision=?", (collision_key(recorded["output"]),))
    job = None if found is None else jobs[found[0] - 1]
    return job if job and job.job_hash == recorded["job_hash"] and str(job.output) == recorded["output"] else None


def _recorded_row(folder: Path, recorded: Mapping[str, Any], job: Job | None) -> dict[str, Any]:
    path = folder / recorded["output"]
    status = recorded["status"]
    said = fault = None
    if status == DONE:
        fault = fault_of(path, *(recorded[name] for name in ("pixel_sha256", "file_sha256", "file_size", "stamp")))
        if fault is not None:
            status = MISSING
        if fault != "":
            said = provenance(path)
            # Another picture has taken the name. One that is whole may say an earlier hash of the same job.
            if fault and said and said["job_hash"] != recorded["job_hash"]:
                said = None
    same = ("job_hash", "pixel_sha256", "file_sha256", "attempts", "seconds", "device", "versions", "error")
    found = {name: recorded[name] for name in same} | {
        "engine": engine_called(recorded["provider"]),
        "losses": _losses(recorded["losses"]),
        "guided": recorded["guided"] and json.loads(recorded["guided"]),
        "drift": _drift(recorded["drift"], recorded["pixel_sha256"]),
        "finished": _utc(recorded["finished"]),
    }
    if recorded["contents"]:  # of the bundle, and of its refiner's
        found["bundle_content"] = recorded["contents"].split()[0]
    of_job = _of_job(job) if job else {}
    row = _row(recorded["output"], status, error=found["error"])
    if fault:
        row["reason"] = fault
    return row | of_job | (_of_picture(said) if said else {}) | found


def _row(name: str, status: str, **known: Any) -> dict[str, Any]:
    reason = known.get("error") if status == FAILED else _REASONS.get(status)
    return dict.fromkeys(COLUMNS) | {"file_name": name, "status": status, "reason": reason} | known


def _of_job(job: Job) -> dict[str, Any]:
    return _of_request(hashed_data(request_data(job.request))) | {"labels": dict(job.labels)}


def _of_picture(said: Mapping[str, Any]) -> dict[str, Any]:
    """What a picture says, as `provenance` gives it; whatever is no such thing is left out."""
    bundle = said.get("bundle")
    bundle = bundle if isinstance(bundle, dict) else {}
    columns = {"model": "name", "source_sha256": "source_sha256", "bundle_content": "content"}
    known = {column: bundle[key] for column, key in columns.items() if isinstance(bundle.get(key), str)}
    engine = {"engine": said["engine"]} if isinstance(said.get("engine"), str) else {}
    return _of_request(said["request"]) | known | engine | {"guided": guided_claimed(said.get("guided"))}


# The largest value of the whole numbers of a request: a picture may say anything.
_MOST = {"seed": 2**64 - 1, "steps": 2**31, "width": 2**31, "height": 2**31}


def _of_request(request: Mapping[str, Any]) -> dict[str, Any]:
    columns = {name: request[name] for name in _REQUEST if _fits(name, request.get(name))}
    return columns | {"request": dict(request)}


def _fits(name: str, value: Any) -> bool:
    if name in _MOST:
        return type(value) is int and 0 <= value <= _MOST[name]
    return type(value) in (int, float) if name == "guidance_scale" else isinstance(value, str)


def _losses(text: str | None) -> list[dict[str, Any]] | None:
    """The ledger's [name, value] pairs; JSON has no NaN and no infinity, so such a value is None."""
    if text is None:
        return None
    return [{"name": name, "value": value} for name, value in json.loads(text, parse_constant=lambda _: None)]


def _drift(text: str | None, pixels: str | None) -> dict[str, Any] | None:
    """The twin's name, PSNR and SSIM, of what the ledger keeps."""
    said = drift_of(text, pixels)
    return None if said is None else {name: said[name] for name in ("twin", "psnr", "ssim")}


def _utc(seconds: float | None) -> str | None:
    """Seconds since 1970 as ISO 8601 in UTC, to the millisecond."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
