"""Crosses a manifest's jobs with its matrix: what each picture asks for, one at a time. Mistakes go to the reader."""

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, islice
from typing import Any

from latentpress.manifest.axes import Matrix, SeedRange
from latentpress.manifest.draws import Draw, Sharing
from latentpress.manifest.field import WRONG, Reader, Values
from latentpress.manifest.fields import FIELDS, PROMPTS, label
from latentpress.manifest.nodes import Node, Place
from latentpress.manifest.seeds import MAX_SEED, ToDraw
from latentpress.manifest.shape import Draft, JobNode, LineJob, Shape, key_of, quick_seed, quick_text
from latentpress.manifest.templates import BUILT_IN
from latentpress.manifest.text_file import mentions
from latentpress.manifest.timesteps import counted_steps
from latentpress.manifest.values import MAX_JOBS, not_given, parse_number
from latentpress.manifest.wildcards import Wildcards
from latentpress.manifest.wordings import Wordings

# Drafts of one job that are kept for the seeds to come, where the seeds are not the fastest axis, and shapes of jobs.
_SHARED = 16_384
# The combinations of no axes.
_ONE: tuple[tuple[int, ...], ...] = ((),)
# Seeds as the field gives them.
_Seeds = Sequence[int] | ToDraw
# What every picture needs, and no field has by default: the way out where it is missing, and where null switches it off.
_NEEDED = {
    "prompt": (
        "give it in defaults, in the job or in the matrix",
        "write text, in quotes if it is that word, which a CSV file cannot say",
    ),
    "model": ("write `model: demo`, or the path of a bundle",) * 2,
}
# The same of a file of lines, which has no defaults.
_NEEDED_OF_LINES = {
    "prompt": ("give each job one", _NEEDED["prompt"][1]),
    "model": (
        "give each job one, `demo` or the path of a bundle, or write a manifest that names it and says `jobs: [from: FILE]`",
        _NEEDED["model"][1],
    ),
}


class Expansion:
    """`defaults`, a job's own fields and one choice of every axis come to drafts; each shared node is parsed once.

    start: where the manifest begins, for what is missing from all of it; lines: whether it is a file of lines;
    drawn: whether a picture asked for so far has a
    drawn seed.
    """

    def __init__(
        self,
        defaults: Mapping[str, Node],
        matrix: Matrix,
        reader: Reader,
        start: Place,
        *,
        wildcards: Wildcards | None = None,
        lines: bool = False,
    ) -> None:
        self._needed, self._each = (_NEEDED_OF_LINES if lines else _NEEDED), lines
        self._defaults, self._matrix, self._reader, self._start = defaults, matrix, reader, start
        self.matrix = matrix
        self.wordings = Wordings(reader, wildcards, [*BUILT_IN, *FIELDS, *matrix.variables])
        self._sharing = Sharing(matrix)
        self.drawn = False
        # Nodes of defaults and of the matrix, which live as long as this does; a job's own are read with it.
        self._shared: dict[tuple[str, Node], Any] = {}
        # Reading every default at once reports its mistakes even where each job overrides it.
        self._base = {
            name: self._parse_shared(name, defaults[name]) if name in defaults else known.default
            for name, known in FIELDS.items()
        }
        self._wrong = {name for name in defaults.keys() & FIELDS.keys() if self._base[name] is WRONG}
        self._alike: dict[tuple[Hashable, tuple[int, ...]], _Seeded] = {}
        # Jobs that differ in such an axis alone share a draft, which is what makes planning many seeds cheap.
        self._seed_axis = next((index for index, axis in enumerate(matrix.axes) if axis.seeds_alone), None)

    def drafts(self, jobs: Iterable[JobNode]) -> Iterator[tuple[Draft, int | Draw, str | None]]:
        """Every picture of every job in order: its draft, its seed or its draw, and the seed's label if it has one."""
        count = 0
        pictures_of = self._combined if self._seed_axis is None else self._seeds_apart
        for number, job in enumerate(jobs, 1):
            for found in pictures_of(job, number):
                count += 1
                if count > MAX_JOBS:
                    message = f"the manifest asks for more than {MAX_JOBS:,} pictures; split it"
                    self._reader.problems.add(job.place, message)
                    return
                yield found

    def _seeds_apart(self, job: JobNode, number: int) -> Iterator[tuple[Draft, int | Draw, str | None]]:
        """The pictures of a job where an axis has seeds alone."""
        axis = self._seed_axis
        assert axis is not None
        own = self._own(job)
        shared: dict[tuple[int | None, ...], tuple[_Seeded, ...]] = {}
        rows = groupby(self._matrix.combinations(), lambda indices: (*indices[:axis], None, *indices[axis + 1 :]))
        for others, row in rows:
            if others not in shared:
                if len(shared) >= _SHARED:
                    shared.clear()
                shared[others] = tuple(islice(self._seeded(job, own, others), 2))
            if len(shared[others]) < 2:
                for indices in row:
                    for seeded in shared[others]:
                        yield from self._on_axis(seeded, job, own, number, axis, indices)
                continue
            kept = list(row)  # several wordings: seeds move faster
            for seeded in self._seeded(job, own, others):
                for indices in kept:
                    yield from self._on_axis(seeded, job, own, number, axis, indices)

    def _combined(self, job: JobNode, number: int) -> Iterator[tuple[Draft, int | Draw, str | None]]:
        """The pictures of a job where no axis has seeds alone; of a job like an earlier one only its own is read."""
        key, own, told = key_of(job), None, self._reader.problems.told
        for indices in self._matrix.combinations() if self._matrix.axes else _ONE:
            first = self._alike.get((key, indices)) if key is not None else None
            if first is not None and (seeded := self._again(job, first)) is not None:
                if isinstance(seeded.seeds, ToDraw):
                    yield from self._pictures(seeded, number, indices)
                    continue
                for seed in seeded.seeds:
                    yield seeded.draft, seed, seeded.label
                continue
            own = self._own(job) if own is None else own
            for seeded in self._seeded(job, own, indices):
                # What is told of one job must be told of each.
                if key is not None and seeded.alike and told == self._reader.problems.told:
                    if len(self._alike) >= _SHARED:
                        self._alike.clear()
                    self._alike[key, indices] = seeded
                yield from self._pictures(seeded, number, indices)

    def _own(self, job: JobNode) -> Values:
        """What the job sets itself, or all jobs of its file."""
        own = {name: self._parse_shared(name, node) for name, node in job.defaults.items() if name in FIELDS}
        return own | {
            name: FIELDS[name].read(node, self._reader) for name, node in job.fields.items() if name in FIELDS
        }

    def _again(self, job: JobNode, first: "_Seeded") -> "_Seeded | None":
        """The draft of a job that differs from the first in its id, prompt and seed alone; None where it must be read."""
        draft, seeds = first.draft, first.seeds
        prompt = draft.prompt
        if isinstance(job, LineJob):
            if job.prompt is not None and not self.wordings.is_plain(prompt := job.prompt):
                return None
            if job.seed is not None:
                seeds = (job.seed,)
            return _Seeded(Draft(job, draft.shape, prompt, self._defaults, draft.chosen), seeds, first.label, None)
        fields = job.fields
        if (node := fields.get("prompt")) is not None:
            if (quick := quick_text(node)) is None:
                quick = FIELDS["prompt"].read(node, self._reader)
            if quick is WRONG or not self.wordings.is_plain(quick):
                return None
            prompt = str(quick)
        if (node := fields.get("seed")) is not None:
            seeds = quick_seed(node) or FIELDS["seed"].read(node, self._reader)
            if seeds is WRONG:
                return None
        return _Seeded(Draft(job, draft.shape, prompt, self._defaults, draft.chosen), seeds, first.label, None)

    def _on_axis(
        self, seeded: "_Seeded", job: JobNode, own: Values, number: int, axis: int, indices: tuple[int, ...]
    ) -> Iterator[tuple[Draft, int | Draw, str | None]]:
        """The pictures of a draft at one combination, which has its seeds from the axis `axis`."""
        if seeded.names_seed:  # a prompt that says its seed is shared by none
            for own_seeded in self._seeded(job, own, indices):
                yield from self._pictures(own_seeded, number, indices)
            return
        seeds, text = self._axis_seeds(axis, indices[axis])
        if seeded.count is not None:
            seeds = self._counted(seeded.count, seeds)
        for seed in self._spread(seeds, number, indices, text, seeded.key):
            yield seeded.draft, seed, text

    def _pictures(
        self, seeded: "_Seeded", number: int, indices: Sequence[int]
    ) -> Iterator[tuple[Draft, int | Draw, str | None]]:
        for seed in self._spread(seeded.seeds, number, indices, seeded.label, seeded.key):
            yield seeded.draft, seed, seeded.label

    def _spread(
        self, seeds: _Seeds, number: int, indices: Sequence[int], label: str | None, words: str
    ) -> Iterable[int | Draw]:
        """Each seed or draw of job `number` at one combination."""
        if not isinstance(seeds, ToDraw):
            return seeds
        self.drawn = True
        return self._sharing.draws(seeds, number, indices, label, words)

    def _axis_seeds(self, position: int, index: int) -> tuple[_Seeds, str | None]:
        axis = self._matrix.axes[position]
        if isinstance(axis, SeedRange):
            return (axis.numbers[index],), None
        choice = axis.choice(index)
        seeds = self._parse_shared("seed", choice.fields["seed"])
        return () if seeds is WRONG else seeds, choice.labels.get("seed")

    def _parse_shared(self, name: str, node: Node) -> Any:
        if (name, node) not in self._shared:
            self._shared[name, node] = FIELDS[name].read(node, self._reader)
        return self._shared[name, node]

    def _seeded(self, job: JobNode, own: Values, indices: Sequence[int | None]) -> "Iterator[_Seeded]":
        """The drafts of `job` with these choices, one of each wording, and its seeds; none once a mistake is reported."""
        problems = self._reader.problems
        choice = self._matrix.choice(indices)
        apart = None in indices
        for name in job.fields.keys() & (choice.fields.keys() | ({"seed"} if apart else set())):
            if not not_given(job.fields[name]):
                problems.add(
                    job.fields[name].place, f"{name} is set by this job and by the matrix; leave it to one of them"
                )
        nodes = {**self._defaults, **job.defaults, **job.fields, **choice.fields}
        set_here = {**own, **{name: self._parse_shared(name, node) for name, node in choice.fields.items()}}
        values = self._base | set_here
        missing = [name for name in self._needed if name not in nodes or not_given(nodes[name])]
        for name in missing:
            absent, null = self._needed[name]
            if name in nodes:
                what = f"{name} is null, which switches it off, and every picture needs one; {null}"
                problems.add(nodes[name].place, what)
            else:
                problems.add(
                    job.place if self._each or name == "prompt" else self._start, f"{name} is missing; {absent}"
                )
        wrong = any(value is WRONG for value in set_here.values())
        if missing or wrong or not self._wrong <= set_here.keys():
            return
        counted = counted_steps(values, nodes, self._reader)
        if counted is None:
            return
        values |= counted
        prompts = {name: values[name] for name in PROMPTS if values[name] is not None}
        base, chosen = self._defaults, choice.fields
        if apart and any(mentions(prompt, "{seed") for prompt in prompts.values()):
            draft = Draft(job, Shape(values, choice.labels), "", base, chosen)
            yield _Seeded(draft, (), None, None, names_seed=True)
            return
        texts = choice.texts | {
            name: label(name, {**values, "seed": FIELDS["seed"].default[0]})
            for name, node in choice.fields.items()
            if not_given(node)
        }
        places = {name: node.place for name, node in nodes.items()}
        count = None if "n" not in nodes or not_given(nodes["n"]) else nodes["n"]
        seeds = values["seed"] if apart or count is None else self._counted(count, values["seed"])
        alike = count is None and all(map(self.wordings.is_plain, prompts.values()))
        for one in self.wordings.each(prompts, places, texts):
            labels = {**one.labels, **choice.labels} if one.labels else choice.labels
            shape = Shape({**values, **one.prompts}, labels)
            draft = Draft(job, shape, one.prompts["prompt"], base, chosen, one.lines, one.words)
            yield _Seeded(draft, seeds, choice.labels.get("seed"), count, one.key, alike=alike)

    def _counted(self, node: Node, seeds: _Seeds) -> _Seeds:
        """`n` seeds from the one given; none once a mistake is reported."""
        problems = self._reader.problems
        rule = f"a whole number from 1 to {MAX_JOBS:,}"
        count = parse_number("n", node, problems, 1, MAX_JOBS, whole=True, rule=rule)
        if isinstance(seeds, ToDraw) and count is not None:
            if seeds.count > 1:
                problems.add(node.place, f"n and draw: {seeds.count:,} are both given; leave it to one of them")
            return replace(seeds, count=int(count))
        if isinstance(seeds, ToDraw) or count is None or not seeds:
            return ()
        if len(seeds) > 1:
            problems.add(node.place, "n and a range of seeds are both given; leave it to one of them")
            return ()
        if seeds[0] + int(count) - 1 > MAX_SEED:
            problems.add(node.place, "the seeds would pass 2^64-1; start from a smaller one")
            return ()
        return range(seeds[0], seeds[0] + int(count))


@dataclass(slots=True, eq=False)
class _Seeded:
    """A draft, its seeds and what they are called. count: the node of `n`, if there is one; key: its wording's.

    names_seed: a prompt holds {seed}, so that each seed of the axis needs a draft of its own; this one is not whole.
    alike: whether a job that differs in id, prompt and seed has the same but for these.
    """

    draft: Draft
    seeds: _Seeds
    label: str | None
    count: Node | None
    key: str = ""
    names_seed: bool = False
    alike: bool = False
