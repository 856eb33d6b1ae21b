"""A manifest that makes pictures again, from what they say of themselves and where that is found on this machine."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from latentpress.bundle.overlay import read_overlay
from latentpress.cache.place import cache_dir
from latentpress.errors import LatentpressError, UsageError, one_line
from latentpress.manifest.fields import DEMO, PROMPTS
from latentpress.manifest.manifest import VERSION, read_manifest
from latentpress.manifest.own_losses import LOSS
from latentpress.manifest.quoted import quoted, unbraced, yaml_value
from latentpress.models import facts_of
from latentpress.rerender.codes import FoundLoss
from latentpress.rerender.inputs import Chosen, Finder, Inputs, Sources
from latentpress.rerender.ledgers import KnownHere, Ledgers
from latentpress.rerender.original import Original, read_original
from latentpress.rerender.request import request_again, written_fields
from latentpress.runtime.rules import numbers

# What an id keeps of a file's name.
_OTHER = re.compile(r"[^\w.-]+")


def manifest_of(
    paths: Sequence[Path], sources: Sources | None = None, code: Path | None = None
) -> tuple[str, list[str]]:
    """The text of a manifest whose jobs are the pictures at `paths`, and warnings of those that it makes otherwise.

    sources: where their inputs are, beside what the ledgers above them know; code: a folder to write the code of losses into
    that a ledger alone has, each into a folder called by its sha256. Paths in the text are absolute. Raises UsageError for a
    picture that does not say how it was made, or whose inputs are not found, and for pictures that no one manifest can have.
    """
    sources = sources or Sources()
    finder = Finder(sources, cache_dir())
    jobs: list[str] = []
    concepts: dict[str, Sequence[Path]] = {}
    engines: dict[str, None] = {}
    models: dict[str, None] = {}
    losses: dict[str, str] = {}
    warnings: list[str] = []
    ids: set[str] = set()
    with Ledgers() as ledgers:
        for path in paths:
            original, known = read_original(path), ledgers.above(path)
            inputs = finder.inputs(original, known)
            model, taught = _model(inputs.base, original, known, finder)
            concepts |= taught
            losses |= _losses(original, inputs, losses, code)
            models |= {model: None, **({_path(inputs.refiner): None} if inputs.refiner else {})}
            engines[_engine(original)] = None
            warnings += (f"{path}: {one_line(why)}" for why in _otherwise(original, inputs))
            jobs.append(_job(original, inputs, model, _id(path, ids)))
    if concepts and len(models) > 1:
        raise UsageError(
            f"the pictures are of {len(models)} models, and a manifest's concepts are for all of them; ask for the pictures "
            "of each model apart"
        )
    lines = [f"version: {VERSION}", "wildcards: none"]
    lines += (f"# rendered on {engine}" for engine in engines)
    lines += ["concepts:"] if concepts else []
    for token, files in concepts.items():
        names = [str(file.absolute()) for file in files]
        lines.append(f"  {quoted(token)}: {yaml_value(names if len(names) > 1 else names[0])}")
    lines += ["losses:", *(f"  {name}: {yaml_value(file)}" for name, file in losses.items())] if losses else []
    return "\n".join([*lines, "jobs:", *jobs, 'output: "{id}.png"', ""]), warnings


def _job(original: Original, inputs: Inputs, model: str, job_id: str) -> str:
    values: dict[str, Any] = {"id": job_id, "model": model}
    values |= written_fields(original.request, inputs)
    if inputs.refiner is not None:
        values["refiner"] = {**values["refiner"], "model": _path(inputs.refiner)}
    values["seed"] = original.request["seed"]
    values["size"] = f"{values['size'][0]}x{values['size'][1]}"
    for name in PROMPTS:
        if name in values:
            values[name] = unbraced(values[name])
    if not values["loss"]:
        del values["loss"]
    return "\n".join(f"{'  - ' if not at else '    '}{key}: {yaml_value(values[key])}" for at, key in enumerate(values))


def _losses(original: Original, inputs: Inputs, others: dict[str, str], folder: Path | None) -> dict[str, str]:
    """The files of a picture's own losses; raises UsageError where there is none, or others have one of its names."""
    found: dict[str, str] = {}
    for one in inputs.losses:
        name, code = one.loss.name, one.loss.code
        if code is None or code.package:
            continue
        path = one.file or (folder and _written(one, folder / code.sha256[:12]))
        if path is None:
            raise UsageError(
                f"{original.path}: the code of its loss {name} is in the ledger alone, and a manifest names a file; "
                "name one with this code with --input FILE, or have it written with --losses FOLDER"
            )
        file = str(path.absolute())
        found[name] = file if code.function == LOSS else f"{file}:{code.function}"
        if others.get(name, found[name]) != found[name]:
            raise UsageError(f"{original.path}: another picture has another loss {name}; ask for each apart")
    return found


def _written(loss: FoundLoss, folder: Path) -> Path:
    """The file of the loss, once its code is in `folder`; raises UsageError where it cannot be written.

    Files are called as the modules are, whose names belong to the code's hash; what paths a ledger has for them does not.
    """
    source, files = loss.source, dict[str, Path]()
    for name, module in source.modules.items():
        parts = name.split(".")
        if not all(part.isidentifier() for part in parts):
            raise UsageError(
                f"the code of the loss {loss.loss.name} is damaged in the ledger; name its file with --input"
            )
        files[name] = (
            folder.joinpath(*parts, "__init__.py")
            if module.is_package
            else folder.joinpath(*parts[:-1], f"{parts[-1]}.py")
        )
    try:
        for name, path in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(source.modules[name].text, encoding="utf-8", newline="")
    except OSError as error:
        raise UsageError(f"{folder}: cannot be written ({error.strerror}); choose another folder") from None
    return files[source.entry]


def _model(base: Chosen, original: Original, known: KnownHere, finder: Finder) -> tuple[str, dict[str, Sequence[Path]]]:
    """The bundle as a manifest names it, and the files of those concepts that it was given beside."""
    overlay = read_overlay(base.bundle.path)
    if overlay is None:
        return _path(base), {}
    files: dict[str, Sequence[Path]] = {one.token: one.files for one in finder.concepts}
    for path in known.manifests(original.job_hash):
        try:
            files = {one.token: one.files for one in read_manifest(path).concepts} | files
        except LatentpressError:
            continue
    own = {concept.token for concept in base.bundle.base.info.concepts} if base.bundle.base else set[str]()
    wanted = set(base.claimed.concepts) - own
    if wanted - files.keys():
        return _path(base), {}  # what the cache holds has them
    return overlay.base, {token: files[token] for token in sorted(wanted)}


def _path(chosen: Chosen) -> str:
    path = chosen.bundle.path.absolute()
    # The built-in bundle lies in the cache, under a name that changes with it.
    return DEMO if chosen.bundle.info.name == DEMO and path.parent == cache_dir().absolute() else str(path)


def _otherwise(original: Original, inputs: Inputs) -> Iterator[str]:
    """Why the manifest would make another picture."""
    for chosen in (inputs.base, inputs.refiner):
        if chosen is not None and (not chosen.same or chosen.wrong):
            yield f"{chosen.bundle.path} is another bundle than {chosen.claimed.called}, or has other concepts"
    for name, picture in inputs.pictures.items():
        if picture.sha256 != picture.claimed:
            yield f"{name} {picture.path} is another file than the one it was given"
    facts = facts_of({one.name: one.bundle for one in (inputs.base, inputs.refiner) if one is not None})
    request = request_again(original, inputs, facts)
    if numbers(facts[inputs.base.name].rules(request)) != original.rules:
        yield "it was drawn by other rules than today's (docs/rules.md)"


def _engine(original: Original) -> str:
    rows = f" with --batch-rows {original.rows} --strict" if original.rows and original.rows.isdecimal() else ""
    return f"{one_line(original.engine)}{rows}"


def _id(path: Path, taken: set[str]) -> str:
    stem = _OTHER.sub("-", path.stem).strip(".-") or "picture"
    found, count = stem, 1
    while found.casefold() in taken:
        count += 1
        found = f"{stem}-{count}"
    taken.add(found.casefold())
    return found
