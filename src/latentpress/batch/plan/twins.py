"""What is to be said of large seeds: those that draw one picture, and those that other programs read wrongly.

As in torch, noise takes of a seed its low 32 bits alone. Programs in JavaScript, such as ComfyUI's page, keep 53 bits.
"""

from pathlib import Path

from latentpress.batch.plan.database import Database
from latentpress.batch.plan.job import title_of
from latentpress.batch.plan.jobs import seed_of
from latentpress.runtime.sampling.samplers import parse_sampler

_LOW = 2**32 - 1
_EXACT = 2**53


def seed_warnings(table: Database, manifest: Path) -> list[str]:
    """Warnings that name the first jobs of such seeds and count the others.

    Costs a look at every seed, and more only where one has more than 32 bits.
    """
    if not table.one(f"SELECT 1 FROM jobs WHERE seed NOT BETWEEN 0 AND {_LOW} LIMIT 1"):
        return []
    return [line for line in (_twins(table, manifest), _rounded(table, manifest)) if line]


def _rounded(table: Database, manifest: Path) -> str | None:
    large = f"seed NOT BETWEEN 0 AND {_EXACT}"
    (count,) = table.one(f"SELECT count(*) FROM jobs WHERE {large}")
    if not count:
        return None
    query = f"SELECT job, id, seed FROM jobs JOIN drafts USING (draft) WHERE {large} ORDER BY job LIMIT 1"
    job, job_id, seed = table.one(query)
    others = f" (and {count - 1} more like it)" if count > 1 else ""
    return (
        f"{manifest}: warning: {title_of(job, job_id, seed_of(seed))} has a seed above 2^53{others}, which programs in "
        "JavaScript, such as ComfyUI's page, round when they read it from the picture; the picture is right"
    )


def _twins(table: Database, manifest: Path) -> str | None:
    # A Brownian path grows from the whole seed.
    samplers = [name for (name,) in table.answers("SELECT DISTINCT json_extract(request, '$.sampler') FROM shapes")]
    whole = [name for name in samplers if parse_sampler(name).base.noise == "path"]
    # Drafts of equal requests count as the first of them.
    same = (
        "WITH same AS (SELECT draft, id, min(draft) OVER (PARTITION BY bundle, request) AS first FROM drafts "
        f"WHERE json_extract(request, '$.sampler') NOT IN ({', '.join('?' * len(whole))})) "
    )
    query = (
        f"{same} SELECT first, seed & {_LOW} AS low, count(DISTINCT seed) - 1 FROM jobs JOIN same USING (draft) "
        "GROUP BY first, low HAVING min(seed) <> max(seed) ORDER BY min(job)"
    )
    found = table.answers(query, whole)
    if not found:
        return None
    first, low, _ = found[0]
    query = (
        f"{same} SELECT job, id, seed FROM jobs JOIN same USING (draft) WHERE first=? AND seed & {_LOW}=? ORDER BY job"
    )
    jobs = table.answers(query, (*whole, first, low))
    other = next(job for job in jobs if job[2] != jobs[0][2])
    one, two = (title_of(job, job_id, seed_of(seed)) for job, job_id, seed in (jobs[0], other))
    more = sum(count for *_, count in found) - 1
    others = f" (and {more:,} more like them)" if more else ""
    return (
        f"{manifest}: warning: {one} and {two} draw one picture{others}, because noise takes of a seed its low 32 bits, as "
        "in torch, and these seeds agree in them; change one of the seeds"
    )
