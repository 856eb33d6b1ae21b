"""Reads a manifest: a file to the pictures it asks for. Knows nothing of bundles, output folders or ledgers."""

import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from latentpress.errors import ManifestError, shown
from latentpress.manifest import names, templates
from latentpress.manifest.axes import Matrix
from latentpress.manifest.concepts import ConceptFile, parse_concepts
from latentpress.manifest.draft import Expansion
from latentpress.manifest.draws import Draw
from latentpress.manifest.field import Reader
from latentpress.manifest.fields import FIELDS
from latentpress.manifest.ids import Ids
from latentpress.manifest.inputs import Inputs, noting
from latentpress.manifest.jobs import EMPTY, jobs_of, listed_jobs
from latentpress.manifest.losses import LOSS_KEYS
from latentpress.manifest.matrix import parse_matrix
from latentpress.manifest.nodes import ListNode, MapNode, Node, Place, Problems, Scalar, described
from latentpress.manifest.own_losses import KnownLosses, parse_own_losses
from latentpress.manifest.policy import NO_POLICY, Policy, parse_policy
from latentpress.manifest.readers import read_root
from latentpress.manifest.shape import Draft, JobNode, Shape
from latentpress.manifest.sheets import TermPlaces, parse_sheets
from latentpress.manifest.source import JSON, STREAMED, Source
from latentpress.manifest.values import given, parse_number, parse_text
from latentpress.manifest.wildcards import parse_wildcards
from latentpress.manifest.wordings import VARIANT
from latentpress.runtime.guidance.own.objects import Given, GivenLoss, given_losses
from latentpress.runtime.guidance.own.source import LossSource
from latentpress.sheets.spec import Sheet

KEYS = (
    *("version", "name", "model", "concepts", "losses", "wildcards", "defaults", "matrix", "jobs", "output"),
    *("twins", "quality", "sheet", "sheets"),
    "policy",
)
VERSION = 1
_NO_LOSSES: Mapping[str, Given] = {}
# Without {index}, so that a job put in front of others renames none.
DEFAULT_OUTPUT = "{seed}-{hash:.12}.png"


@dataclass(frozen=True)
class Manifest:
    """A manifest that has been read and checked.

    losses: those that a Python program gave beside it;
    jobs: made anew on each pass, for there may be more than memory should hold;
    models: the bundles that some picture is rendered on or refined by, each as the manifest names it (`demo`, or a path)
    -> the first place that names it; warnings: what to know of it whatever the bundles are, `file:line:col: warning: ...`;
    wildcards: whether prompts have any, from a folder; `__color__` is characters otherwise; policy: when a render ends
    early, unless its options say otherwise; twins: whether the unguided twin of each guided picture is rendered too;
    quality: of pictures in a format that loses some, 1..100, None for its default;
    sheet_places: of what sheets say, for a plan's messages; inputs: what it was read from.
    """

    path: Path
    name: str
    models: Mapping[str, Place]
    concepts: tuple[ConceptFile, ...]
    output: str
    output_place: Place
    sheets: tuple[Sheet, ...]
    expansion: Expansion
    jobs: Iterable[JobNode]
    warnings: tuple[str, ...] = ()
    wildcards: bool = False
    policy: Policy = NO_POLICY
    quality: int | None = None
    twins: bool = False
    sheet_places: TermPlaces = field(default_factory=TermPlaces, compare=False, repr=False)
    inputs: Inputs | None = field(default=None, compare=False, repr=False)
    losses: tuple[GivenLoss, ...] = field(default=(), compare=False, repr=False)

    def drafts(self) -> Iterator[tuple[Draft, int | Draw, str | None]]:
        """Every picture, in order: what it shares with others, its seed or its draw, the seed's label if any.

        Made as they are asked for, each time they are.
        """
        return self.expansion.drafts(self.jobs)

    @property
    def given_codes(self) -> dict[str, LossSource]:
        """sha256 -> the source of the losses that a Python program gave."""
        return {one.code.sha256: one.source for one in self.losses}


def read_manifest(
    path: Path | str | Source,
    jobs_from: Callable[[Problems], Iterable[JobNode]] | None = None,
    *,
    losses: Mapping[str, Given] = _NO_LOSSES,
) -> Manifest:
    """The manifest at `path`, or of a source. Raises ManifestError listing every mistake found.

    jobs_from: gives the jobs in place of the manifest's own, and tells their mistakes to what it is given; losses: your
    own, beside those of the manifest, as of `render_picture`. Raises UsageError for what is no loss.

    >>> from pathlib import Path
    >>> text = "version: 1\\nmodel: demo\\ndefaults: {prompt: a red heart, steps: 2}\\nmatrix: {seed: 1..3}\\n"
    >>> _ = Path("hearts.yaml").write_text(text)
    >>> manifest = read_manifest("hearts.yaml")
    >>> manifest.name, [seed for _, seed, _ in manifest.drafts()]
    ('hearts', [1, 2, 3])
    """
    source = path if isinstance(path, Source) else Source.of(Path(path))
    with noting() as inputs:
        held = given_losses(losses, LOSS_KEYS)
        manifest = _read(source, jobs_from, inputs, held)
    # What a program gives beside a file is none of the files that say whether a kept plan holds.
    inputs.known = inputs.known and jobs_from is None and source.kept is None and not held
    inputs.manifest = weakref.ref(manifest)
    return manifest


def _read(
    source: Source,
    jobs_from: Callable[[Problems], Iterable[JobNode]] | None,
    inputs: Inputs,
    held: Mapping[str, GivenLoss],
) -> Manifest:
    """As `read_manifest`, which gives `inputs` what is noted meanwhile, and the losses that the program gave."""
    path, start = Path(source.name), source.start
    problems = Problems(source.name)
    root = _bare(source) if source.format in STREAMED else read_root(source, problems)
    asking = {"defaults", "matrix", "jobs"}
    if root is None or (isinstance(root, MapNode) and jobs_from is None and not given(root).keys() & asking):
        if isinstance(root, MapNode):
            _check_keys(root, KEYS, "the manifest", problems)
        problems.add(start, EMPTY)
        problems.raise_if_any()
    if not isinstance(root, MapNode):
        raise ManifestError([f"{start}: {_no_map(root, source)}"])
    _check_keys(root, KEYS, "the manifest", problems)
    values = given(root)
    own = parse_own_losses(values.get("losses"), path, problems, LOSS_KEYS)
    own |= {name: one.loss for name, one in held.items()}
    broken = [name for name, loss in own.items() if loss is None]
    reader = Reader(problems, KnownLosses(own, LOSS_KEYS), _axes(values.get("matrix")), broken)
    _check_version(values.get("version"), root.place, problems)
    matrix = parse_matrix(values["matrix"], reader) if "matrix" in values else Matrix()
    defaults = _job_map(values.get("defaults"), "defaults", (*FIELDS, "n"), problems)
    if "model" in values:
        defaults = {"model": values["model"], **defaults}
    name = _name(values.get("name"), source.stem, problems)
    if jobs_from is not None:
        jobs = jobs_from(problems)
    elif source.format in STREAMED:
        jobs = jobs_of(source, problems)
    elif "jobs" in values:
        jobs = listed_jobs(values["jobs"], source, problems)
    else:
        jobs = [JobNode(name, {}, root.place)]
    wildcards = parse_wildcards(values.get("wildcards"), path, problems)
    of_lines = source.format in STREAMED
    expansion = Expansion(defaults, matrix, reader, root.place, wildcards=wildcards, lines=of_lines)
    ids = Ids()
    models = _models(expansion, ids.watching(jobs))
    ids.report(jobs, problems)
    for place, note in wildcards.notes if wildcards else ():
        problems.warn(place, note)
    filled = list(dict.fromkeys([*matrix.variables, *FIELDS, "id", VARIANT, *expansion.wordings.names]))
    output, output_place = _output(values.get("output"), root.place, filled, problems)
    places: TermPlaces = {}
    manifest = Manifest(
        path=path,
        losses=tuple(held.values()),
        name=name,
        models=models,
        concepts=parse_concepts(values["concepts"], path, problems) if "concepts" in values else (),
        output=output,
        output_place=output_place,
        sheets=parse_sheets(values.get("sheet"), values.get("sheets"), filled, places, problems),
        sheet_places=places,
        expansion=expansion,
        jobs=jobs,
        warnings=tuple(problems.warnings),
        wildcards=wildcards is not None,
        inputs=inputs,
        policy=parse_policy(values.get("policy"), problems),
        quality=_quality(values.get("quality"), values.get("output"), problems),
        twins=_twins(values.get("twins"), problems),
    )
    problems.raise_if_any()
    return manifest


def _bare(source: Source) -> MapNode:
    """What a manifest would say beside its jobs that is a file of lines alone."""
    return MapNode(
        {"version": Scalar(str(VERSION), True, source.start), "jobs": ListNode([], source.start)}, {}, source.start
    )


def _no_map(root: Node | None, source: Source) -> str:
    """What is wrong with a manifest that is no map, and a way out."""
    what = f"the manifest is {described(root) if root else 'empty'}, and must be a map"
    if not isinstance(root, ListNode):
        return f"{what}; begin with `version: {VERSION}`"
    way_out = "write `version: 1`, `model: demo` and `jobs:` above it"
    if source.format == JSON:
        way_out = 'write {"version": 1, "model": "demo", "jobs": [...]} around it'
    # What is read from stdin has no name by which another manifest could call it.
    named = "" if source.kept else f", or name the file in a manifest, `jobs: [{{from: {source.path.name}}}]`"
    return f"{what}; {way_out}{named}"


def _axes(node: Node | None) -> list[str]:
    return [name for name in node.values if name != "exclude"] if isinstance(node, MapNode) else []


def _models(expansion: Expansion, jobs: Iterable[JobNode]) -> dict[str, Place]:
    """Expand everything once, for its mistakes, and say which bundles it names, and where first."""
    models: dict[str, Place] = {}
    last: Shape | None = None
    for draft, _, _ in expansion.drafts(jobs):
        if draft.shape is not last:
            last = draft.shape
            for choice in last.values["refiner"]:
                models.setdefault(choice.model, choice.place)
            if last.values["model"] not in models:
                models[last.values["model"]] = draft.places["model"]
    return models


def _check_keys(node: MapNode, known: Sequence[str], where: str, problems: Problems) -> None:
    for key in node.values.keys() - set(known):
        problems.unknown_key(node.keys[key], known, where)


def _check_version(node: Node | None, start: Place, problems: Problems) -> None:
    if node is None:
        problems.add(start, f"version is missing; begin the manifest with `version: {VERSION}`")
    else:
        parse_number("version", node, problems, VERSION, VERSION, whole=True, rule=f"{VERSION}, the only one so far")


def _name(node: Node | None, stem: str, problems: Problems) -> str:
    if node is None:
        return stem
    name = parse_text("name", node, problems)
    if name is not None and (trouble := names.component_problem(name) if "/" not in name else "holds a /"):
        problems.add(node.place, f"name {shown(name)} {trouble}; it names the output folder, so use a plain word")
    elif name is not None and ("{date}" in name or "{time}" in name):
        way_out = "write them in `output`, or in -o, as -o 'out/{date}'"
        problems.add(node.place, f"name {shown(name)} has a date, and must be the same every day; {way_out}")
    return name or stem


def _output(node: Node | None, start: Place, filled: Sequence[str], problems: Problems) -> tuple[str, Place]:
    if node is None:
        return DEFAULT_OUTPUT, start
    template = parse_text("output", node, problems)
    if template is not None:
        for trouble in templates.template_problems(template, [*templates.BUILT_IN, *filled]):
            problems.add(node.place, trouble)
            return DEFAULT_OUTPUT, node.place
        for said in templates.old_formats(template):
            problems.warn(node.place, f"output {said}")
    return template or DEFAULT_OUTPUT, node.place


def _quality(node: Node | None, output: Node | None, problems: Problems) -> int | None:
    if node is None:
        return None
    # What else is wrong with an output is told of that.
    if output is None or (isinstance(output, Scalar) and output.text.endswith(".png")):
        problems.add(
            node.place, "quality is for pictures whose names end in .webp, .jpg or .avif; a PNG keeps every pixel"
        )
    rule = "a whole number from 1 to 100"
    number = parse_number("quality", node, problems, 1, 100, whole=True, rule=rule)
    return None if number is None else int(number)


def _twins(node: Node | None, problems: Problems) -> bool:
    if node is None:
        return False
    if isinstance(node, Scalar) and isinstance(node.value, bool):
        return node.value
    problems.add(node.place, f"twins is {described(node)}; it must be true or false")
    return False


def _job_map(node: Node | None, where: str, known: Sequence[str], problems: Problems) -> dict[str, Node]:
    if node is None:
        return {}
    if not isinstance(node, MapNode):
        problems.add(node.place, f"{where} is {described(node)}; it must be a map of fields such as {{prompt: ...}}")
        return {}
    _check_keys(node, known, where, problems)
    return {key: value for key, value in node.values.items() if key in known}
