"""Pictures without a manifest: the fields of a job as keywords, PIL images back."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from numbers import Number
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from latentpress.batch.executors.local import LocalExecutor, Settings
from latentpress.batch.folder import drawn_seed
from latentpress.batch.pictures.encode import check_format, picture_bytes
from latentpress.batch.pictures.guided import guided_data
from latentpress.batch.pictures.metadata import text_chunks
from latentpress.batch.pictures.png import pixel_sha256
from latentpress.batch.plan.identity import hash_job
from latentpress.batch.plan.job import Job
from latentpress.batch.plan.plan import build_plan
from latentpress.batch.plan.prompts import PromptChecks
from latentpress.bundle.info import Bundle
from latentpress.cache.place import cache_dir
from latentpress.errors import LatentpressError, ManifestError, UsageError
from latentpress.manifest.axes import Matrix
from latentpress.manifest.braces import Braces
from latentpress.manifest.draft import Expansion
from latentpress.manifest.field import Reader
from latentpress.manifest.fields import DEMO, FIELDS, PROMPTS, request_of
from latentpress.manifest.losses import LOSS_KEYS
from latentpress.manifest.manifest import Manifest
from latentpress.manifest.nodes import ListNode, MapNode, Node, Place, Problems, Scalar, described
from latentpress.manifest.own_losses import KnownLosses
from latentpress.manifest.shape import Draft, JobNode
from latentpress.manifest.values import verbatim
from latentpress.models import Models, facts_of, models_for, named_bundle
from latentpress.runtime.facts import Bundles
from latentpress.runtime.guidance.loss import Loss
from latentpress.runtime.guidance.own.objects import Given, given_losses
from latentpress.runtime.guidance.own.trust import codes_of, refuse_untrusted
from latentpress.runtime.request import RenderRequest

if TYPE_CHECKING:
    from PIL.Image import Image

# Where every value stands, as far as messages are concerned; paths start at the current directory.
_HERE = Place("keywords", 1, 1)
_NO_LOSSES: Mapping[str, Given] = {}


def open_bundle(name: str | Path) -> Bundle:
    """The bundle in the folder `name`, or the built-in one for "demo", exported at first; its files are verified.

    Raises BundleError where the folder is not a whole bundle.

    >>> import latentpress
    >>> latentpress.open_bundle("demo").info.family
    'sd1'
    """
    # A Path means the folder, also one that is called demo.
    return named_bundle(f"./{name}" if isinstance(name, Path) and str(name) == DEMO else str(name), cache_dir())


def render_picture(
    bundle: Bundle | str | Path, prompt: str, *, losses: Mapping[str, Given] = _NO_LOSSES, **fields: Any
) -> "Image":
    """Render one picture; `fields` are those of a manifest's job (docs/manifest.md), e.g. seed, steps, sampler, loss.

    bundle: an opened one, the path of one, or "demo"; prompt: taken as it is, braces are characters. The image is RGB, 8
    bits a channel; its `info` holds the texts that `latentpress render` writes into a PNG. losses: your own, by the names
    that `loss` has for them: functions `loss(image, ...)`, or paths of files with one. Raises UsageError for a field
    that cannot be, EnvironmentFailure for what this machine lacks.

    >>> import latentpress
    >>> owl = latentpress.render_picture("demo", "an owl in the style of <line-art>", seed=41, steps=4)
    >>> owl.size
    (64, 64)
    """
    return next(iter(render_pictures(bundle, [{"prompt": prompt, **fields}], losses=losses)))


def render_pictures(
    bundle: Bundle | str | Path,
    jobs: Iterable[Mapping[str, Any]],
    settings: Settings | None = None,
    *,
    losses: Mapping[str, Given] = _NO_LOSSES,
) -> Iterator["Image"]:
    """Render many pictures, in the order of `jobs`, together: they share the engines and their batches.

    jobs: the fields of each; every one is checked before the first is rendered; losses: as of `render_picture`. Raises as
    that does, and LatentpressError where a picture fails.

    >>> import latentpress
    >>> jobs = [{"prompt": "a red heart", "seed": seed, "steps": 2} for seed in (1, 2, 3)]
    >>> [picture.size for picture in latentpress.render_pictures("demo", jobs)]
    [(64, 64), (64, 64), (64, 64)]
    """
    from PIL import Image

    opened = bundle if isinstance(bundle, Bundle) else open_bundle(bundle)
    models = {str(opened.path): opened}
    own = given_losses(losses, LOSS_KEYS)
    known = KnownLosses({name: one.loss for name, one in own.items()}, LOSS_KEYS)
    asked = [_draft(fields, str(opened.path), f"picture {number}: ", known) for number, fields in enumerate(jobs, 1)]
    for draft, _ in asked:
        for choice in draft.values["refiner"]:
            models.setdefault(choice.model, named_bundle(choice.model, cache_dir()))
    facts = facts_of(models)
    requests = [_request(*one, facts, f"picture {number}: ") for number, one in enumerate(asked, 1)]
    held = {one.code.key: one.loss for one in own.values()}
    by_hash = Models(models).by_hash
    executor = LocalExecutor(by_hash, settings or Settings(), cache_dir(), lambda line: None, losses=held)
    executor.open(opened.hash, requests)
    finished: dict[int, Image.Image] = {}
    shown = 0
    for rendered in executor.render(enumerate(requests)):
        if rendered.image is None:
            raise LatentpressError(f"picture {rendered.key + 1}: {rendered.error}")
        request = requests[rendered.key]
        name, digest = PurePosixPath("picture.png"), hash_job(request, facts[str(opened.path)], facts)
        job = Job(rendered.key + 1, str(rendered.key + 1), request, {}, name, digest, opened.hash)
        image = finished[rendered.key] = Image.fromarray(rendered.image)
        image.info |= text_chunks(*(job, facts, rendered.origin, pixel_sha256(rendered.image), guided_data(rendered)))
        while shown in finished:
            yield finished.pop(shown)
            shown += 1


class Drawing:
    """The pictures of a manifest without an output folder: planned at once, rendered when asked for, kept nowhere.

    Raises as the planning of an output folder does, and UsageError for code that may not run.
    """

    def __init__(self, manifest: Manifest, settings: Settings | None = None) -> None:
        self._models = models_for(manifest, cache_dir())
        self._settings = settings or Settings()
        self.plan = build_plan(manifest, self._models.facts, {}, drawn_seed)
        refuse_untrusted(codes_of(job.request for job in self.plan.jobs), allow=self._settings.allow_code)

    def render(self, say: Callable[[str], None] = lambda line: None) -> Iterator[tuple[Job, bytes | str]]:
        """Each picture as the file that `latentpress render` writes, or why there is none. say: hears of choices."""
        check_format(self.plan.jobs[0].output)
        executor = LocalExecutor(self._models.by_hash, self._settings, cache_dir(), say)
        by_bundle: dict[str, list[Job]] = {}
        for job in self.plan.jobs:
            by_bundle.setdefault(job.bundle, []).append(job)
        for bundle, jobs in by_bundle.items():
            executor.open(bundle, [job.request for job in jobs])
            for rendered in executor.render((job.index, job.request) for job in jobs):
                job = self.plan.jobs[rendered.key - 1]
                if rendered.image is None:
                    yield job, rendered.error or "no picture came of it"
                    continue
                pixels, guided = pixel_sha256(rendered.image), guided_data(rendered)
                texts = text_chunks(job, self.plan.bundles, rendered.origin, pixels, guided)
                yield job, picture_bytes(rendered.image, texts, job.output, self.plan.quality)


def node_of(value: Any, name: str) -> Node:
    """A Python value as the node that a manifest would have in its place; `name` begins what UsageError says of it."""
    if isinstance(value, Mapping):
        values = {str(key): node_of(one, name) for key, one in value.items()}
        return MapNode(values, {key: Scalar(key, True, _HERE) for key in values}, _HERE)
    if isinstance(value, list | tuple):
        return ListNode([node_of(one, name) for one in value], _HERE)
    if value is None or isinstance(value, bool):
        return Scalar("null" if value is None else str(value).lower(), True, _HERE)
    if isinstance(value, str | Number | Path):  # numpy's numbers are numbers too
        node = Scalar(str(value), not isinstance(value, Path), _HERE)
        # Python's text is text, also where YAML would read null or a truth value.
        return Scalar(node.text, False, _HERE) if isinstance(node.value, bool | None) else node
    raise UsageError(f"{name} is of type {type(value).__name__}; give text, a number, a path, a list or a dict")


def _draft(fields: Mapping[str, Any], model: str, where: str, losses: Mapping[str, Loss]) -> tuple[Draft, int]:
    """The draft and the seed of one job's keywords; `where` begins what is said of a mistake; losses: that it may name."""
    if not isinstance(fields, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise UsageError(
            f"{where}the fields are of type {type(fields).__name__}; give a dict such as {{'prompt': 'an owl'}}"
        )
    if fields.get("prompt") is None:
        raise UsageError(f"{where}prompt is missing; it must be text")
    problems = Problems()
    nodes = {name: node_of(value, f"{where}{name}") for name, value in fields.items() if value is not None}
    known = [name for name in FIELDS if name != "model"]
    for name in nodes.keys() - set(known):
        problems.unknown_key(Scalar(name, True, _HERE), known, "the keywords")
    _raise(problems, where)
    nodes |= {name: verbatim(nodes[name]) for name in PROMPTS if name in nodes}
    nodes["model"] = Scalar(model, False, _HERE)
    found = list(Expansion({}, Matrix(), Reader(problems, losses), _HERE).drafts([JobNode("1", nodes, _HERE)]))
    _raise(problems, where)
    for name in PROMPTS:
        tokens = [token for draft, *_ in found if draft.words for token in draft.words.tokens.get(name, ())]
        drawn = any(isinstance(token, Braces) for token in tokens)
        if drawn or len({draft.values[name] for draft, *_ in found}) > 1:
            raise UsageError(f"{where}the file of {name} comes to several texts; a picture has one")
    if len(found) != 1 or not isinstance(found[0][1], int):
        raise UsageError(f"{where}seed is {described(nodes['seed'])}; a picture has one seed, from 0 to 2^64-1")
    return found[0][0], found[0][1]


def _request(draft: Draft, seed: int, bundles: Bundles, where: str) -> RenderRequest:
    """The request of a draft, if its bundle can do what it asks and knows the concepts of its prompts."""
    facts = bundles[draft.values["model"]]
    problems = Problems()
    PromptChecks(bundles, problems).check(draft, facts)
    request = request_of({**draft.values, "seed": seed}, bundles)
    if (refused := facts.refusal(request)) is not None:
        problems.add(_HERE, refused[1])
    _raise(problems, where)
    return request


def _raise(problems: Problems, where: str) -> None:
    """Raise UsageError with the mistakes found, after `where` and without the place that they do not have."""
    try:
        problems.raise_if_any()
    except ManifestError as error:
        raise UsageError("\n".join(where + one.removeprefix(f"{_HERE}: ") for one in error.problems)) from None
