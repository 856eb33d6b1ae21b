"""A part of a plan, as `--only` and `--limit` choose it: by axes, fields, id or file name, and the first of the run.

It chooses among the jobs of the whole plan, whatever is done of them, so that the same command chooses the same pictures.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from latentpress.batch.plan.jobs import RUN_ORDER, seed_of
from latentpress.batch.plan.plan import Plan
from latentpress.choosing import like, meant, readings
from latentpress.errors import UsageError, nearest, short, shown
from latentpress.manifest.manifest import Manifest

_IN_RUN_ORDER = f"SELECT job FROM jobs JOIN drafts USING (draft) ORDER BY {RUN_ORDER}"
# Values that a message lists.
_LISTED = 8


@dataclass(frozen=True)
class Selection:
    """only: what each picture must be, all of them: KEY=VALUE, or a pattern of file names; limit: how many at most, the
    first ones of the run; None for all.
    """

    only: Sequence[str] = ()
    limit: int | None = None

    @property
    def whole(self) -> bool:
        """Whether it chooses everything."""
        return not self.only and self.limit is None

    def jobs(self, manifest: Manifest, plan: Plan) -> frozenset[int] | None:
        """The jobs chosen, by their indices, None for all. Raises UsageError for an unknown key, or where none is chosen."""
        if self.whole:
            return None
        chosen: set[int] | None = None
        for term in self.only:
            found = _matching(term, manifest, plan)
            chosen = found if chosen is None else chosen & found
        if chosen is not None and not chosen:
            raise UsageError(f"{_terms(self.only)} chooses no picture: each is there, but no picture has all of them")
        if self.limit is None:
            return frozenset(chosen or ())
        ordered = (job for (job,) in plan.table.answers(_IN_RUN_ORDER) if chosen is None or job in chosen)
        return frozenset(job for job, _ in zip(ordered, range(self.limit), strict=False))


EVERYTHING = Selection()


def _matching(term: str, manifest: Manifest, plan: Plan) -> set[int]:
    """The jobs that a term of --only means."""
    key, equals, value = term.partition("=")
    if not equals or key == "output":
        fits, jobs = like(value if equals else term), plan.table.answers("SELECT job, output FROM jobs")
        return _found(term, {job for job, output in jobs if fits(output)}, "no output has that name")
    known = _keys(manifest, plan)
    if key not in known:
        near = nearest(key, known)
        hint = f"did you mean {near!r}?" if near else f"it must be one of {', '.join(known)}"
        raise UsageError(f"--only {shown(term)}: {key!r} is no axis and no field; {hint}")
    if key == "seed":
        # There may be a million different ones, which no table holds.
        for fits in readings(value):
            jobs = plan.table.answers("SELECT job, seed, seed_label FROM jobs")
            found = {job for job, seed, label in jobs if fits(str(seed_of(seed))) or (label and fits(label))}
            if found:
                return found
        return _found(term, set(), "no picture has that seed")
    texts = _texts(key, plan)
    aliases = _aliases(key, manifest)
    chosen = meant({text: aliases.get(text, ()) for text in texts}, value)
    listed = ", ".join(short(text) for text in list(texts)[:_LISTED]) + (", ..." if len(texts) > _LISTED else "")
    drafts = {draft for text in chosen for draft in texts[text]}
    jobs = plan.table.answers("SELECT job, draft FROM jobs")
    return _found(term, {job for job, draft in jobs if draft in drafts}, f"{key} is one of {listed}")


def _keys(manifest: Manifest, plan: Plan) -> list[str]:
    """What a term may name: the axes first."""
    (labels,) = plan.table.one("SELECT labels FROM drafts LIMIT 1")
    axes = manifest.expansion.matrix.variables
    return list(dict.fromkeys([*axes, *json.loads(labels), "seed", "id", "output"]))


def _texts(key: str, plan: Plan) -> dict[str, list[int]]:
    """What names show for `key` -> the drafts that show it, in the plan's order."""
    column = "id" if key == "id" else "json_extract(labels, ?)"
    values = () if key == "id" else (f'$."{key}"',)
    found: dict[str, list[int]] = {}
    for draft, text in plan.table.answers(f"SELECT draft, {column} FROM drafts ORDER BY draft", values):
        found.setdefault("none" if text is None else str(text), []).append(draft)
    return found


def _aliases(key: str, manifest: Manifest) -> dict[str, set[str]]:
    """What is shown for each of an axis' values -> the other texts by which the matrix has it."""
    found: dict[str, set[str]] = {}
    for axis in manifest.expansion.matrix.axes:
        for choice in map(axis.choice, range(len(axis)) if key in axis.variables else ()):
            if key in choice.labels:
                found.setdefault(choice.labels[key], set()).update(choice.aliases.get(key, ()))
    return found


def _found(term: str, jobs: set[int], rule: str) -> set[int]:
    if not jobs:
        raise UsageError(f"--only {shown(term)} chooses no picture: {rule}")
    return jobs


def _terms(only: Sequence[str]) -> str:
    return " ".join(f"--only {shown(term)}" for term in only)
