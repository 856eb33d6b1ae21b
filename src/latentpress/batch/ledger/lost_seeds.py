"""The seeds of pictures whose draws no ledger remembers: those that `rebuild` recorded and no render has met yet."""

from collections.abc import Mapping
from pathlib import Path

from latentpress.batch.pictures.chunks import read_claim
from latentpress.batch.plan.database import Database
from latentpress.manifest.manifest import Manifest


def lost_seeds(manifest: Manifest, table: Database, folder: Path) -> Mapping[str, list[int]]:
    """What the ledger calls `unseeded` -> the seeds of such pictures, in the order of their names, numbers by value.

    table: sees the ledger of `folder`; nothing is read for a manifest that draws no seeds.
    """
    seeds: dict[str, list[int]] = {}
    query = (
        "SELECT output, job_hash, unseeded FROM images WHERE plan_hash='' AND status='done' AND unseeded IS NOT NULL "
        "ORDER BY output LIKE '.latentpress/%', length(output), output"
    )
    for output, job_hash, unseeded in table.answers(query) if manifest.expansion.drawn else ():
        claim = read_claim(folder / output)
        seed = claim.data["request"].get("seed") if claim is not None and claim.job_hash == job_hash else None
        if isinstance(seed, int):
            seeds.setdefault(unseeded, []).append(seed)
    return seeds
