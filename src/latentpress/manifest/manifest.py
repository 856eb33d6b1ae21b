"""Reads a manifest: a YAML file to the pictures it asks for. Knows nothing of bundles, output folders or ledgers."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from latentpress.errors import ManifestError, shown
from latentpress.manifest import names
from latentpress.manifest.concepts import ConceptFile, parse_concepts
from latentpress.manifest.draft import Draft, draft_from
from latentpress.manifest.fields import DRAWN, FIELDS, MAX_SEED
from latentpress.manifest.matrix import Choice, Matrix, parse_matrix
from latentpress.manifest.nodes import ListNode, MapNode, Node, Place, Problems, described, read_yaml
from latentpress.manifest.values import MAX_JOBS, parse_number, parse_text

KEYS = ("version", "name", "model", "concepts", "defaults", "matrix", "jobs", "output", "sheet")
VERSION = 1
DEFAULT_OUTPUT = "{index}-{hash:12}.png"
EMPTY = "the manifest is empty; give it defaults, a matrix or jobs, at least one with a prompt"


@dataclass(frozen=True)
class SheetSpec:
    """Which placeholder runs down the contact sheet and which along its top."""

    rows: str | None
    columns: str | None


@dataclass(frozen=True)
class Manifest:
    """A manifest that has been read and checked; `model` is `demo` or a path."""

    path: Path
    name: str
    model: str
    model_place: Place
    concepts: tuple[ConceptFile, ...]
    drafts: tuple[Draft, ...]
    output: str
    output_place: Place
    sheet: SheetSpec | None


def read_manifest(path: Path) -> Manifest:
    """The manifest at `path`. Raises ManifestError listing every mistake found."""
    problems = Problems()
    root = read_yaml(path, problems)
    start = Place(str(path), 1, 1)
    if root is None or (isinstance(root, MapNode) and not root.values.keys() & {"defaults", "matrix", "jobs"}):
        if isinstance(root, MapNode):
            _check_keys(root, KEYS, "the manifest", problems)
        problems.add(start, EMPTY)
        problems.raise_if_any()
    if not isinstance(root, MapNode):
        raise ManifestError([f"{start}: the manifest is not a map; begin with `version: {VERSION}`"])
    _check_keys(root, KEYS, "the manifest", problems)
    _check_version(root, problems)
    values = root.values
    matrix = parse_matrix(values["matrix"], problems) if "matrix" in values else Matrix()
    defaults = _job_map(values.get("defaults"), "defaults", (*FIELDS, "n"), problems)
    name = _name(root, path, problems)
    jobs = _jobs(root, name, problems)
    drafts = _Expansion(defaults, matrix, problems).drafts(jobs)
    output, output_place = _output(root, matrix, problems)
    manifest = Manifest(
        path=path,
        name=name,
        model=_model(root, path, problems),
        model_place=values["model"].place if "model" in values else start,
        concepts=parse_concepts(values["concepts"], path, problems) if "concepts" in values else (),
        drafts=tuple(drafts),
        output=output,
        output_place=output_place,
        sheet=_sheet(values.get("sheet"), matrix, problems),
    )
    problems.raise_if_any()
    return manifest


def _check_keys(node: MapNode, known: Sequence[str], where: str, problems: Problems) -> None:
    for key in node.values.keys() - set(known):
        problems.unknown_key(node.keys[key], known, where)


def _check_version(root: MapNode, problems: Problems) -> None:
    node = root.values.get("version")
    if node is None:
        problems.add(root.place, f"version is missing; begin the manifest with `version: {VERSION}`")
    else:
        parse_number("version", node, problems, VERSION, VERSION, whole=True, rule=f"{VERSION}, the only one so far")


def _name(root: MapNode, path: Path, problems: Problems) -> str:
    if "name" not in root.values:
        return path.stem
    node = root.values["name"]
    name = parse_text("name", node, problems)
    if name is not None and (trouble := names.component_problem(name) if "/" not in name else "holds a /"):
        problems.add(node.place, f"name {shown(name)} {trouble}; it names the output folder, so use a plain word")
    return name or path.stem


def _model(root: MapNode, path: Path, problems: Problems) -> str:
    if "model" not in root.values:
        problems.add(root.place, "model is missing; write `model: demo`, or the path of a bundle")
        return ""
    model = parse_text("model", root.values["model"], problems)
    if not model:
        problems.add(root.values["model"].place, "model is empty; write `demo`, or the path of a bundle")
        return ""
    return model if model == "demo" else str(path.parent / model)


def _output(root: MapNode, matrix: Matrix, problems: Problems) -> tuple[str, Place]:
    node = root.values.get("output")
    if node is None:
        return DEFAULT_OUTPUT, root.place
    template = parse_text("output", node, problems)
    if template is not None:
        for trouble in names.template_problems(template, [*names.BUILT_IN, *FIELDS, *matrix.variables]):
            problems.add(node.place, trouble)
    return template or DEFAULT_OUTPUT, node.place


def _sheet(node: Node | None, matrix: Matrix, problems: Problems) -> SheetSpec | None:
    if node is None:
        return None
    if not isinstance(node, MapNode):
        problems.add(node.place, f"sheet is {described(node)}; write {{rows: AXIS, columns: AXIS}}")
        return None
    _check_keys(node, ("rows", "columns"), "sheet", problems)
    known = list(dict.fromkeys([*matrix.variables, *FIELDS, "id"]))
    chosen: dict[str, str] = {}
    for key in ("rows", "columns"):
        if key in node.values and (text := parse_text(f"sheet {key}", node.values[key], problems)) is not None:
            chosen[key] = text
            if text not in known:
                message = f"sheet {key} is {shown(text)}; it must be one of {', '.join(known)}"
                problems.add(node.values[key].place, message)
    if not chosen:
        problems.add(node.place, "sheet names neither rows nor columns; write {rows: AXIS, columns: AXIS}")
    return SheetSpec(chosen.get("rows"), chosen.get("columns"))


def _job_map(node: Node | None, where: str, known: Sequence[str], problems: Problems) -> dict[str, Node]:
    if node is None:
        return {}
    if not isinstance(node, MapNode):
        problems.add(node.place, f"{where} is {described(node)}; it must be a map of fields such as {{prompt: ...}}")
        return {}
    _check_keys(node, known, where, problems)
    return {key: value for key, value in node.values.items() if key in known}


@dataclass(frozen=True)
class _Job:
    """One entry of `jobs`, or the manifest as a whole where it has none."""

    id: str
    fields: Mapping[str, Node]
    place: Place


def _jobs(root: MapNode, name: str, problems: Problems) -> list[_Job]:
    node = root.values.get("jobs")
    if node is None:
        return [_Job(name, {}, root.place)]
    if not isinstance(node, ListNode):
        problems.add(node.place, f"jobs is {described(node)}; it must be a list of maps such as - {{prompt: ...}}")
        return []
    if not node.items:
        problems.add(node.place, EMPTY)
    jobs: list[_Job] = []
    first: dict[str, Place] = {}
    for number, item in enumerate(node.items, 1):
        fields = _job_map(item, f"job {number}", ("id", *FIELDS, "n"), problems)
        own = parse_text("id", fields["id"], problems) if "id" in fields else None
        job_id = own or str(number)
        if job_id in first:
            place = fields["id"].place if "id" in fields else item.place
            problems.add(place, f"job id {shown(job_id)} is given twice; the first is on line {first[job_id].line}")
        first.setdefault(job_id, item.place)
        jobs.append(_Job(job_id, fields, item.place))
    return jobs


class _Expansion:
    """Crosses jobs with the matrix; parses each node once however many pictures it reaches."""

    def __init__(self, defaults: Mapping[str, Node], matrix: Matrix, problems: Problems) -> None:
        self.defaults = defaults
        self.matrix = matrix
        self.problems = problems
        self.parsed: dict[tuple[str, int], Any] = {}
        # Reading every default at once reports its mistakes even where each job overrides it.
        for key in defaults.keys() & FIELDS.keys():
            self._parse(key, defaults[key])

    def drafts(self, jobs: Sequence[_Job]) -> list[Draft]:
        """Every picture of every job, in order."""
        drafts: list[Draft] = []
        for job, choice in itertools.product(jobs, self.matrix.combinations):
            drafts.extend(itertools.islice(self._drafts(job, choice), MAX_JOBS + 1 - len(drafts)))
            if len(drafts) > MAX_JOBS:
                self.problems.add(job.place, f"the manifest asks for more than {MAX_JOBS:,} pictures; split it")
                break
        return drafts

    def _parse(self, key: str, node: Node) -> Any:
        if (key, id(node)) not in self.parsed:
            parse = FIELDS[key].parse
            self.parsed[key, id(node)] = parse(node, self.problems)
        return self.parsed[key, id(node)]

    def _drafts(self, job: _Job, choice: Choice) -> Iterator[Draft]:
        for key in job.fields.keys() & choice.fields.keys():
            message = f"{key} is set by this job and by the matrix; leave it to one of them"
            self.problems.add(job.fields[key].place, message)
        nodes = {**self.defaults, **job.fields, **choice.fields}
        values: dict[str, Any] = {
            key: self._parse(key, nodes[key]) if key in nodes else field.default for key, field in FIELDS.items()
        }
        if "prompt" not in nodes:
            self.problems.add(job.place, "prompt is missing; give it in defaults, in the job or in the matrix")
            return
        if any(values[key] is None and key in nodes for key in FIELDS):
            return
        place = nodes["prompt"].place
        prompt = self._filled("prompt", values["prompt"], place, choice)
        negative: str | None = None
        if values["negative_prompt"] is not None:
            negative = self._filled(
                "negative_prompt", values["negative_prompt"], nodes["negative_prompt"].place, choice
            )
        if prompt is None or (negative is None and values["negative_prompt"] is not None):
            return
        values |= {"prompt": prompt, "negative_prompt": negative}
        places = {key: node.place for key, node in nodes.items()}
        for seed in self._seeds(nodes, values["seed"]):
            yield draft_from(job.id, seed, values, choice.labels, places)

    def _filled(self, name: str, template: str, place: Place, choice: Choice) -> str | None:
        texts = {key: text for key, text in choice.texts.items() if key not in ("prompt", "negative_prompt")}
        try:
            return names.fill(template, texts)
        except names.TemplateError as error:
            self.problems.add(place, f"{name} {error}")
            return None

    def _seeds(self, nodes: Mapping[str, Node], seeds: Sequence[int]) -> Sequence[int]:
        if "n" not in nodes:
            return seeds
        rule = f"a whole number from 1 to {MAX_JOBS:,}"
        count = parse_number("n", nodes["n"], self.problems, 1, MAX_JOBS, whole=True, rule=rule)
        if count is None:
            return ()
        if len(seeds) > 1:
            self.problems.add(nodes["n"].place, "n and a range of seeds are both given; leave it to one of them")
            return ()
        if seeds[0] == DRAWN:
            return (DRAWN,) * int(count)
        if seeds[0] + int(count) - 1 > MAX_SEED:
            self.problems.add(nodes["n"].place, "the seeds would pass 2^63-1; start from a smaller one")
            return ()
        return range(seeds[0], seeds[0] + int(count))
