"""Lists the jobs of a plan with their states, as lines for people and as JSON for programs.

There may be a million, so they are made of the plan's rows and of no `Job`: what the jobs of a shape share is put into words
once, and each fills in what is its own.
"""

import json
import re
import secrets
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from json.encoder import encode_basestring
from operator import itemgetter
from typing import Any

from latentpress.batch.plan.job import data_of_stored
from latentpress.batch.plan.jobs import seed_of
from latentpress.batch.state.status import STATES, Status
from latentpress.errors import one_line

_BLOCK = 2000
_SHAPES_KEPT = 4096
_COLUMNS = "job, seed, seed_label, output, job_hash, shape, prompts.id, prompt, prompt_label"
_EVERY = f"SELECT {_COLUMNS} FROM jobs CROSS JOIN prompts USING (draft) WHERE job > ? AND job <= ? ORDER BY job"
_THESE = (
    f"SELECT {_COLUMNS} FROM json_each(?) AS wanted CROSS JOIN jobs ON job=wanted.value CROSS JOIN prompts USING (draft) "
    "ORDER BY job"
)
# Stands for what is a job's own in the JSON of its shape; nobody writes it by chance.
_OWN = secrets.token_hex(16)


def plan_lines(state: Status) -> Iterator[str]:
    """A line for each job that is asked for, then one for each bundle of the plan."""
    plan, states = state.plan, state.states
    words = [f"{name:<7}" for name in STATES]

    @lru_cache(_SHAPES_KEPT)
    def shared(shape: int) -> tuple[str, str]:
        width, height, request, labels = plan.table.one(
            "SELECT width, height, request, json_extract(labels, '$.loss') FROM shapes WHERE shape=?", (shape,)
        )
        data = json.loads(request)
        scale = f"scale {data['guidance_scale']:g}"
        return f"{width}x{height}  {data['sampler']} {data['steps']}  {scale}  seed ", f"  loss {one_line(labels)}  "

    for job, seed, _, output, _, shape, _, prompt, _ in _rows(state):
        before, after = shared(shape)
        yield f"{job:>4}  {words[states[job - 1]]}  {output}  {before}{seed_of(seed)}{after}{prompt!r}"
    if plan.undrawn:
        seeds = "1 seed is" if plan.undrawn == 1 else f"{plan.undrawn:,} seeds are"
        yield f"{seeds} still to be drawn; the ones shown, and names made of them, will differ"
    for bundle in plan.rendered_on:
        yield f"plan {plan.plan_hash[:12]}, bundle {bundle.name} {bundle.content[:12]}"


def job_texts(state: Status) -> Iterator[str]:
    """Each job that is asked for, as the JSON text of an object."""
    table, states, text = state.plan.table, state.states, encode_basestring
    words = [text(name) for name in STATES]

    @lru_cache(_SHAPES_KEPT)
    def shared(shape: int) -> tuple[str, Callable[[Sequence[str]], Any]]:
        labels, request = table.one("SELECT labels, request FROM shapes WHERE shape=?", (shape,))
        return _template(json.loads(labels), data_of_stored(json.loads(request)))

    for job, column, seed_label, output, job_hash, shape, job_id, prompt, prompt_label in _rows(state):
        template, chosen = shared(shape)
        seed, said = str(seed_of(column)), text(prompt)
        own = (
            *(str(job), text(job_id), text(output), words[states[job - 1]], text(job_hash)),
            said if prompt_label is None else text(prompt_label),
            text(seed if seed_label is None else seed_label),
            *(said, seed),
        )
        yield template % chosen(own)


def _template(labels: dict[str, Any], request: dict[str, Any]) -> tuple[str, Callable[[Sequence[str]], Any]]:
    """The JSON of the jobs of a shape, for `%`, and what gives of a job's own texts those that fill it, in their order."""
    index, job_id, output, state, job_hash, prompt_label, seed_label, prompt, seed = (f"{_OWN}{n}" for n in range(9))
    item = {
        "index": index,
        "id": job_id,
        "output": output,
        "state": state,
        "job_hash": job_hash,
        "labels": {**labels, "id": job_id, "prompt": prompt_label, "seed": seed_label},
        "request": {**request, "prompt": prompt, "seed": seed},
    }
    texts = re.split(f'"{_OWN}([0-9])"', json.dumps(item, ensure_ascii=False))
    return "%s".join(part.replace("%", "%%") for part in texts[::2]), itemgetter(*map(int, texts[1::2]))


def _rows(state: Status) -> Iterator[Any]:
    """The rows of the jobs that are asked for, in order."""
    table, chosen = state.plan.table, state.chosen
    if chosen is None:
        for after in range(0, len(state.states), _BLOCK):
            yield from table.answers(_EVERY, (after, after + _BLOCK))
        return
    ordered = sorted(chosen)
    for first in range(0, len(ordered), _BLOCK):
        yield from table.answers(_THESE, (json.dumps(ordered[first : first + _BLOCK]),))
