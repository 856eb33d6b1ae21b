"""Makes pictures again from their own metadata and compares pixels. Writes nothing."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentpress.batch.executors.local import LocalExecutor, Settings
from latentpress.batch.pictures.guided import guided_data
from latentpress.batch.pictures.metadata import text_chunks
from latentpress.batch.pictures.png import pixel_sha256, png_bytes
from latentpress.batch.plan.identity import hash_job
from latentpress.batch.plan.job import Job
from latentpress.bundle.info import Bundle
from latentpress.cache.place import cache_dir
from latentpress.compare.pair import same_channels
from latentpress.engines.choice import parse_engine
from latentpress.errors import LatentpressError
from latentpress.measures.likeness import psnr
from latentpress.models import facts_of
from latentpress.rerender.inputs import Finder, Inputs, Missing, Sources
from latentpress.rerender.ledgers import KnownHere, Ledgers
from latentpress.rerender.original import Original, read_original
from latentpress.rerender.reasons import NOTHING, certain, possible
from latentpress.rerender.request import request_again
from latentpress.runtime.facts import Bundles
from latentpress.runtime.guidance.own.trust import codes_of, refuse_untrusted
from latentpress.runtime.request import Rendered, RenderRequest
from latentpress.runtime.rules import numbers

EQUAL, DIFFERS, MISSING, FAILED = "equal", "differs", "missing", "failed"
# UNet rows a call where the picture names no number: they decide no pixels then, and measuring what is fastest takes longer.
_ROWS = 8


@dataclass(frozen=True)
class Again:
    """What came of making the picture at `path` again.

    state: equal (every pixel is), differs, missing (an input, or metadata) or failed (an engine, or the render); psnr: dB,
    None unless two pictures of one size differ; differing: pixels that do, of `pixels`; size: (width, height) of the new
    picture where the file's is another; reasons: what is known to differ, or why it was not made; pixel_sha256: of the new
    picture; png: it as a file with its own metadata, None where there is none; exit_code: what the command returns.
    """

    path: Path
    state: str
    psnr: float | None = None
    differing: int | None = None
    pixels: int | None = None
    size: tuple[int, int] | None = None
    reasons: tuple[str, ...] = ()
    pixel_sha256: str | None = None
    png: bytes | None = field(default=None, repr=False)
    exit_code: int = 0

    @property
    def line(self) -> str:
        """All of it in one line."""
        if self.state in (MISSING, FAILED):
            return "\n".join(self.reasons)
        if self.state == EQUAL:
            head = "equal to the pixel"
        elif self.size is not None:
            head = f"differs: the new picture is {self.size[0]}x{self.size[1]}"
        else:
            head = f"differs: {self.psnr:.1f} dB, {self.differing:,} of {self.pixels:,} pixels"
        return f"{self.path}: {'; '.join((head, *self.reasons))}"

    def data(self) -> dict[str, Any]:
        """As JSON data."""
        names = ("state", "psnr", "differing", "pixels", "size", "reasons", "pixel_sha256")
        return {"picture": str(self.path)} | {name: getattr(self, name) for name in names}


@dataclass(frozen=True, eq=False)
class _Task:
    """A picture whose inputs were found; group: of those that are rendered together."""

    original: Original
    inputs: Inputs
    facts: Bundles
    request: RenderRequest
    known: KnownHere
    settings: Settings

    @property
    def bundles(self) -> list[Bundle]:
        return [one.bundle for one in (self.inputs.base, self.inputs.refiner) if one is not None]

    @property
    def group(self) -> tuple[object, ...]:
        return (*(bundle.hash for bundle in self.bundles), self.settings)


def rerender_pictures(
    paths: Iterable[Path | str],
    sources: Sources | None = None,
    *,
    engine: str | None = None,
    threads: int | None = None,
    cache: Path | None = None,
    allow_code: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> Iterator[Again]:
    """Make the pictures at `paths` again, each from its own metadata; those that share engines together.

    sources: where their inputs are, beside what the ledgers above them know; engine: by default what each picture names;
    threads: of the engines; cache: as of `OutputFolder`; allow_code: run the code of people's own losses also where the
    user does not trust it; say: hears of warnings. Raises UsageError for `sources` that
    cannot be used; what a picture lacks is in its `Again`.
    """
    if engine is not None:
        parse_engine(engine)
    cache = cache or cache_dir()
    finder = Finder(sources or Sources(), cache)
    groups: dict[tuple[object, ...], list[_Task]] = {}
    with Ledgers() as ledgers:
        for path in map(Path, paths):
            try:
                task = _task(path, finder, ledgers, engine, threads)
                refuse_untrusted(codes_of([task.request]), allow=allow_code)
            except LatentpressError as error:
                problems = error.problems if isinstance(error, Missing) else str(error).splitlines()
                yield Again(path, MISSING, reasons=tuple(problems), exit_code=error.exit_code)
            else:
                groups.setdefault(task.group, []).append(task)
        for tasks in groups.values():
            yield from _render(tasks, cache, say)


def _task(path: Path, finder: Finder, ledgers: Ledgers, engine: str | None, threads: int | None) -> _Task:
    original = read_original(path)
    known = ledgers.above(path)
    inputs = finder.inputs(original, known)
    chosen = [one for one in (inputs.base, inputs.refiner) if one is not None]
    facts = facts_of({one.name: one.bundle for one in chosen})
    rows = int(original.rows) if original.rows and original.rows.isdecimal() else None
    # Another engine that is asked for computes the gradients too: what the picture names may not be here.
    gradient = (original.gradient or None) if engine is None else None
    settings = Settings(engine or original.engine, rows or _ROWS, threads, strict=rows is not None, gradient=gradient)
    return _Task(original, inputs, facts, request_again(original, inputs, facts), known, settings)


def _render(tasks: Sequence[_Task], cache: Path, say: Callable[[str], None]) -> Iterator[Again]:
    """Each picture of `tasks`, which share bundles and settings."""
    first = tasks[0]
    own = [one.loss for task in tasks for one in task.inputs.losses if not one.of_package]
    losses = {loss.code.key: loss for loss in own if loss.code}
    bundles = {bundle.hash: bundle for bundle in first.bundles}
    executor = LocalExecutor(bundles, first.settings, cache, say, losses=losses)
    try:
        executor.open(first.bundles[0].hash, [task.request for task in tasks])
    except LatentpressError as error:
        for task in tasks:
            reason = f"{task.original.path}: {error}"
            yield Again(task.original.path, FAILED, reasons=(reason,), exit_code=error.exit_code)
        return
    for rendered in executor.render((number, task.request) for number, task in enumerate(tasks)):
        task = tasks[rendered.key]
        if rendered.image is None:
            reason = f"{task.original.path}: {rendered.error}"
            yield Again(task.original.path, FAILED, reasons=(reason,), exit_code=LatentpressError.exit_code)
        else:
            yield _compared(task, rendered, rendered.image)


def _compared(task: _Task, rendered: Rendered[int], image: NDArray[np.uint8]) -> Again:
    original, request, facts = task.original, task.request, task.facts
    model = facts[task.inputs.base.name]
    rules = numbers(model.rules(request))
    found = pixel_sha256(image)
    reasons = list(certain(original, task.inputs, rules, rendered.origin, task.known))
    same = original.encoded and found == original.pixel_sha256
    measured = {} if same else _measured(original.image, image)
    if measured:
        if original.retouched:
            if found == original.pixel_sha256:
                retouched = "the picture was retouched: as it was saved it is equal to the pixel"
            else:
                retouched = "the picture was retouched, and as it was saved it differs too"
            reasons.insert(0, retouched)
        if found != original.pixel_sha256:
            reasons += possible(original, request, rendered.origin, task.known.made(original.job_hash))
        reasons = reasons or [NOTHING]
    job = Job(1, "1", request, {}, PurePosixPath("picture.png"), hash_job(request, model, facts), model.hash)
    return Again(
        path=original.path,
        state=DIFFERS if measured else EQUAL,
        reasons=tuple(reasons),
        pixel_sha256=found,
        png=png_bytes(image, text_chunks(job, facts, rendered.origin, found, guided_data(rendered))),
        exit_code=1 if measured else 0,
        **measured,
    )


def _measured(was: NDArray[np.uint8], now: NDArray[np.uint8]) -> dict[str, Any]:
    """How far two pictures are apart, as `Again` has it; nothing where they look the same."""
    if was.shape[:2] != now.shape[:2]:
        return {"size": (now.shape[1], now.shape[0])}
    one, other = same_channels(was, now)
    differing = int((one != other).any(axis=2).sum())
    if not differing:  # one of them was saved with a transparency that is none
        return {}
    return {"psnr": psnr(one, other)[0], "differing": differing, "pixels": one.shape[0] * one.shape[1]}
