"""People's own losses in a plan: whose code a render would run, whether it may, and the ledger's copy of it. Runs none.

The ledger has a table `codes` where a plan has such losses: sha256 -> the source of the loss's file and of the local modules
that it imports (runtime/guidance/own/source.py), as JSON.
"""

import json
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from latentpress.batch.plan.database import Database
from latentpress.batch.plan.job import canonical_json, request_from
from latentpress.batch.state.status import FAILED, MISSING, Status
from latentpress.errors import LatentpressError, UsageError
from latentpress.runtime.guidance.own.source import LossSource, read_source
from latentpress.runtime.guidance.own.trust import codes_of, refuse_untrusted
from latentpress.runtime.request import LossCode

_WITH_CODE = "SELECT shape, request FROM shapes WHERE instr(request, '\"code\"')"
_JOBS = "SELECT shape, job FROM jobs JOIN prompts USING (draft) WHERE shape IN (SELECT value FROM json_each(?))"


def check_codes(state: Status, *, allow: bool, given: Collection[str] = ()) -> None:
    """Raise UsageError where a picture that is to be rendered has a loss whose code may not run.

    given: the sha256 of losses that are at hand as Python functions.
    """
    asked = {sha256: code for sha256, code in codes_left(state).items() if sha256 not in given}
    refuse_untrusted(asked, allow=allow)


def untrusted_lines(state: Status, given: Collection[str] = ()) -> Iterator[str]:
    """What a plan says where its render would be refused for the code of its losses: a warning."""
    try:
        check_codes(state, allow=False, given=given)
    except UsageError as error:
        yield f"warning: `render` refuses this as it is: {error}"


def codes_left(state: Status) -> dict[str, LossCode]:
    """sha256 -> the code of people's own losses in pictures that are to be rendered."""
    of_shape = _of_shapes(state.plan.table) if state.left else {}
    found: dict[str, LossCode] = {}
    for shape, job in state.plan.table.answers(_JOBS, (json.dumps(list(of_shape)),)) if of_shape else ():
        if state.state(job) in (FAILED, MISSING) and state.asks(job):
            found |= of_shape[shape]
    return found


def keep_codes(ledger: Database, given: Mapping[str, LossSource]) -> None:
    """Have `ledger`, which has just recorded a plan, keep the code of its losses.

    given: sha256 -> the code of losses that are at hand. Raises UsageError for code that has changed since it was planned.
    """
    codes = {sha256: code for found in _of_shapes(ledger).values() for sha256, code in found.items()}
    if not codes:
        return
    ledger.run("CREATE TABLE IF NOT EXISTS codes (sha256 TEXT PRIMARY KEY, source TEXT NOT NULL)")
    known = {sha256 for (sha256,) in ledger.answers("SELECT sha256 FROM codes")}
    for sha256, code in codes.items():
        if sha256 not in known:
            source = given.get(sha256) or source_of(code)
            if source.sha256 != sha256:
                raise UsageError(f"{code.path}: has changed since the manifest was read; run the command again")
            ledger.run("INSERT INTO codes VALUES (?, ?)", (sha256, canonical_json(source.data())))


def source_of(code: LossCode) -> LossSource:
    """The code as it is now where it lies; raises UsageError where it cannot be read."""
    return read_source(code.path, only=code.package.partition(".")[0], name=code.package)


def kept_code(table: Database, sha256: str) -> Mapping[str, Any] | None:
    """The data of the source that a ledger keeps; None where it keeps none with this sha256."""
    try:
        if table.answers("PRAGMA table_info(codes)"):
            row = table.one("SELECT source FROM codes WHERE sha256=?", (sha256,))
            return json.loads(row[0]) if row else None
    except (LatentpressError, ValueError):
        pass
    return None


def _of_shapes(table: Database) -> dict[int, dict[str, LossCode]]:
    """Shape -> the codes of its losses, of those that have any."""
    found = {shape: codes_of([request_from(json.loads(text))]) for shape, text in table.answers(_WITH_CODE)}
    return {shape: codes for shape, codes in found.items() if codes}
