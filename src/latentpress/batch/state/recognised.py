"""Recognises the pictures of earlier ledgers, whose job hashes held the hash of bundle.json, by what they say themselves.

Such a picture is a job's if its own text has the job's request, and a bundle (and a refiner) exported from the same
checkpoint, LoRAs and VAE. Which export that was, by which versions, nobody can tell any more; it counts as today's.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from latentpress.batch.pictures.chunks import Claim, read_claim
from latentpress.batch.plan.database import Database
from latentpress.batch.plan.earlier_claims import keys_of_claim, request_key
from latentpress.batch.plan.identity import facts_by_hash, hashed_data
from latentpress.batch.plan.job import Job, request_data
from latentpress.batch.plan.plan import Plan
from latentpress.runtime.prompt_rules import reading_of, texts_drawn
from latentpress.runtime.rules import earlier, numbers


@dataclass(frozen=True)
class Recognised:
    """A finished picture of an earlier ledger: its output, what it says, and the hash that it had then."""

    output: str
    claim: Claim
    job_hash: str


class EarlierPictures:
    """The finished pictures in `folder` whose rows in `table` came from an earlier ledger; read once."""

    def __init__(self, table: Database, folder: Path) -> None:
        self._by_key: dict[str, list[Recognised]] = {}
        for output, job_hash in table.answers("SELECT output, job_hash FROM images WHERE identity=1 AND status='done'"):
            claim = read_claim(folder / output)
            if claim is not None and claim.job_hash == job_hash and (keys := keys_of_claim(claim.data)):
                self._by_key.setdefault(keys[0], []).append(Recognised(output, claim, job_hash))

    def __bool__(self) -> bool:
        return bool(self._by_key)

    def of(self, job: Job, plan: Plan) -> list[tuple[str, int]]:
        """The outputs of `job`'s pictures, each with how many of the rules that touch the job it was drawn by."""
        facts, request = plan.facts(job.bundle), job.request
        refiner = facts_by_hash(plan.bundles, request.refiner.sha256) if request.refiner else None
        key = request_key(hashed_data(request_data(request)), facts.source, refiner.source if refiner else None)
        candidates = self._by_key.get(key, [])
        if not candidates:
            return []
        rules = facts.rules(request)
        states = [*earlier(rules), numbers(rules)]
        used = {token for text in texts_drawn(request) for token in facts.check(text, reading_of(request)).concepts}
        taught = {token: facts.concepts.get(token) for token in used}
        found: list[tuple[str, int]] = []
        for one in candidates:
            concepts: Mapping[str, str] = one.claim.data.get("concepts") or {}
            # The text of a concept's file; what names none of the token was written before concepts were found by tokens.
            same = all(concepts.get(token, sha256) == sha256 for token, sha256 in taught.items())
            had = one.claim.data.get("rules") or {}
            if same and had in states:
                found.append((one.output, len(states) - 1 - states[::-1].index(had)))
        return sorted(found, key=lambda one: -one[1])
