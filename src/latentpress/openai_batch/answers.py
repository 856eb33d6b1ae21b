"""The two files that OpenAI's Batch gives: output.jsonl has the requests that were answered, errors.jsonl the others.

A line of either is `{"id", "custom_id", "response": {"status_code", "request_id", "body"}, "error"}`.
"""

import base64
import contextlib
import hashlib
import io
import json
import re
from collections import defaultdict
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from PIL import Image

from latentpress.batch.ledger.beside import beside
from latentpress.batch.ledger.ledger import ledger_path
from latentpress.batch.plan.job import Job
from latentpress.batch.plan.plan import Plan
from latentpress.batch.state.status import DONE
from latentpress.errors import UsageError
from latentpress.files import make_folders, replacing
from latentpress.manifest.source import Lines, Source

OUTPUT, ERRORS = "output.jsonl", "errors.jsonl"
_BEGINS = b'{"id": "batch_req_'
# How a manifest begins to say that an id is not a job's alone.
_TWICE = "job id"
# What the fields that pictures become are called in a request.
_CALLED = {"init_image": "image", "mask_image": "mask"}


@dataclass(frozen=True)
class Answered:
    """How many requests were answered with pictures, and how many with an error; the files that say so, if any did."""

    completed: int
    failed: int
    output: Path | None
    errors: Path | None


def check_places(folder: Path) -> None:
    """Raise UsageError where something that is no answer to a batch lies under the name of one of the files."""
    for path in (folder / OUTPUT, folder / ERRORS):
        if path.is_dir() or (path.is_file() and path.stat().st_size and not _is_ours(path)):
            raise UsageError(
                f"{path}: is there, and is no answer to a batch; move it, or choose another folder with -o"
            )


def write_answers(requests: Source, folder: Path, plan: Plan | None, refused: Mapping[int, str]) -> Answered:
    """Answer every line of `requests` from the pictures in `folder`; what was refused, by its line, with the reason."""
    make_folders(folder)
    jobs: defaultdict[str, list[Job]] = defaultdict(list)
    for job in plan.jobs if plan else ():
        jobs[job.id].append(job)
    recorded = _recorded(folder) if plan else {}
    counts = {OUTPUT: 0, ERRORS: 0}
    with _written(folder / OUTPUT) as output, _written(folder / ERRORS) as errors:
        for number, request in _requests(requests):
            if number in refused:
                answer, to = _refusal(number, request, refused[number]), ERRORS
            else:
                answer, to = _answer(request, jobs[request["custom_id"]], folder, recorded)
            counts[to] += 1
            line = json.dumps(answer, ensure_ascii=False).encode("utf-8", "backslashreplace")
            (output if to == OUTPUT else errors).write(line + b"\n")
    for name, count in counts.items():
        if not count:
            (folder / name).unlink()
    places = {name: folder / name if count else None for name, count in counts.items()}
    return Answered(counts[OUTPUT], counts[ERRORS], places[OUTPUT], places[ERRORS])


def _requests(source: Source) -> Iterator[tuple[int, dict[str, Any]]]:
    """The number of each line that is not blank, and what it says, if that can be read."""
    for number, line in enumerate(Lines(source), 1):
        if line.strip():
            try:
                found = json.loads(line)
            except ValueError:
                found = None
            yield number, found if isinstance(found, dict) else {}


def _recorded(folder: Path) -> Mapping[str, tuple[str, str | None, float | None]]:
    """Of each output that the folder's ledger knows its status, error and time."""
    with beside(ledger_path(folder)) as database:
        rows = database.answers("SELECT output, status, error, finished FROM images")
        return {output: (status, error, finished) for output, status, error, finished in rows}


def _answer(
    request: Mapping[str, Any],
    jobs: Sequence[Job],
    folder: Path,
    recorded: Mapping[str, tuple[str, str | None, float | None]],
) -> tuple[dict[str, Any], str]:
    """What a request is answered, and which of the files that stands in."""
    states = [recorded.get(str(job.output), ("missing", None, None)) for job in jobs]
    key = "".join(job.job_hash for job in jobs)
    failed = next((error or "it was not rendered" for status, error, _ in states if status != DONE), None)
    if failed is not None or not jobs:
        body = _error(failed or "it was not rendered", "server_error", "render_failed")
        return _line(request["custom_id"], key, 500, body), ERRORS
    asked = request["body"]
    kind = asked.get("output_format") or "png"
    data = [_image(folder / job.output, asked, kind) for job in jobs]
    created = max(int(finished or 0) for _, _, finished in states)
    size = f"{jobs[0].request.width}x{jobs[0].request.height}"
    body = {"created": created, "background": "opaque", "data": data, "output_format": kind, "size": size}
    return _line(request["custom_id"], key, 200, body), OUTPUT


def _image(path: Path, asked: Mapping[str, Any], kind: str) -> dict[str, Any]:
    if asked.get("response_format") == "url":
        return {"url": path.absolute().as_uri()}
    content = path.read_bytes()
    if kind != "png":
        stream = io.BytesIO()
        compression = asked.get("output_compression")
        with Image.open(io.BytesIO(content)) as picture:
            picture.save(stream, kind, quality=100 if compression is None else compression)
        content = stream.getvalue()
    return {"b64_json": base64.b64encode(content).decode()}


def _refusal(number: int, request: Mapping[str, Any], message: str) -> dict[str, Any]:
    """The answer to a request that cannot be rendered as it is written."""
    custom_id = request.get("custom_id")
    if not isinstance(custom_id, str):
        error = {"code": "invalid_request", "message": f"line {number}: {message}", "line": number}
        return _line(None, str(number), None, None) | {"error": error}
    found = re.match(r"(?:unknown key )?'?(\w+)", message)
    name = _CALLED.get(found[1], found[1]) if found else None
    body = request.get("body")
    param = name if isinstance(body, dict) and name in {*body, "prompt", "image"} else None
    code = "unknown_parameter" if message.startswith("unknown key") else "invalid_value"
    if message.startswith(_TWICE):
        message, code = message.replace(_TWICE, "custom_id", 1), "duplicate_custom_id"
    return _line(custom_id, str(number), 400, _error(message, "invalid_request_error", code, param))


def _error(message: str, kind: str, code: str, param: str | None = None) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def _line(custom_id: str | None, key: str, status: int | None, body: Mapping[str, Any] | None) -> dict[str, Any]:
    """A line of an answer. Its ids are made of the request and of what it came to, so that the same has the same."""
    digest = hashlib.sha256(f"{custom_id}\0{key}".encode()).hexdigest()
    response = None if status is None else {"status_code": status, "request_id": digest[32:64], "body": body}
    return {"id": f"batch_req_{digest[:24]}", "custom_id": custom_id, "response": response, "error": None}


@contextlib.contextmanager
def _written(path: Path) -> Generator[BinaryIO]:
    """A file that takes the place of `path` once all is in it."""
    with replacing(path) as temporary, temporary.open("wb") as stream:
        yield stream


def _is_ours(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(len(_BEGINS)) == _BEGINS
