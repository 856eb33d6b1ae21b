"""Renders a Batch file: what can be rendered is, and each request is answered, with pictures or with what is wrong with it.

Knows the manifest and the output folder, not how an answer is written (answers.py).
"""

import io
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from latentpress.batch.folder import OutputFolder
from latentpress.errors import ManifestError, UsageError
from latentpress.manifest.fields import PROMPTS
from latentpress.manifest.jobs import requests_of
from latentpress.manifest.manifest import KEYS, VERSION, Manifest, read_manifest
from latentpress.manifest.names import component_problem
from latentpress.manifest.nodes import MapNode, Node, Problems, Scalar
from latentpress.manifest.readers import read_root
from latentpress.manifest.shape import JobNode
from latentpress.manifest.source import STREAMED, YAML, Source, spooled
from latentpress.manifest.values import verbatim
from latentpress.openai_batch.answers import Answered, check_places, write_answers

# What a manifest has that says how the requests of a batch are rendered.
_SETTINGS = tuple(key for key in KEYS if key not in ("jobs", "matrix", "sheet"))


@dataclass(frozen=True)
class Batch:
    """A Batch file and how its requests are rendered.

    settings: a manifest without jobs; uploads: the folder with files by their `file_id`.
    """

    requests: Source
    settings: Source
    uploads: Path | None = None

    @classmethod
    def on(cls, requests: Source, model: str, uploads: Path | None = None) -> "Batch":
        """A batch that is rendered on `model`, with everything else as it is where nobody says it."""
        name = requests.stem if component_problem(requests.stem) is None else "batch"
        text = json.dumps({"version": VERSION, "name": name, "model": model})
        return cls(requests, spooled(io.BytesIO(text.encode()), "--model", YAML), uploads)


def run_batch(
    batch: Batch,
    output: Path | None,
    render: Callable[[OutputFolder], object],
    open_folder: Callable[[Manifest, Path | None], OutputFolder] = OutputFolder,
) -> Answered:
    """Render what `batch` asks for into `output`, by default out/NAME, and write output.jsonl and errors.jsonl there.

    render: renders what a folder lacks. Raises ManifestError for mistakes in the settings, UsageError where something else
    lies under the names of the two files, and what `render` raises.
    """
    folder, refused, name = _checked(batch, output, open_folder)
    path = folder.path if folder else output or Path("out") / name
    check_places(path)
    if folder is not None:
        render(folder)
    return write_answers(batch.requests, path, folder.plan() if folder else None, refused)


def _checked(
    batch: Batch, output: Path | None, open_folder: Callable[[Manifest, Path | None], OutputFolder]
) -> tuple[OutputFolder | None, Mapping[int, str], str]:
    """The folder of the requests that can be rendered, None if none can; of each other line what is wrong; the name.

    What is wrong with one is found in turns, for a request that cannot be read has no prompt that could be looked at.
    """
    defaults = _defaults(batch.settings)
    refused: dict[int, str] = {}

    def jobs(problems: Problems) -> Iterable[JobNode]:
        return requests_of(batch.requests, problems, uploads=batch.uploads, skip=refused, defaults=defaults)

    while True:
        try:
            manifest = replace(read_manifest(batch.settings, jobs), path=Path(batch.requests.name))
            folder = open_folder(manifest, output)
            folder.plan()
            return folder, refused, manifest.name
        except ManifestError as error:
            lines = {line: message for file, line, message in reversed(error.found) if file == batch.requests.name}
            if lines.keys() <= refused.keys():
                if refused and lines:
                    return None, refused, batch.requests.stem
                raise
            if any(file != batch.requests.name for file, _, _ in error.found):
                raise
            refused |= lines


def _defaults(settings: Source) -> dict[str, Node]:
    """What jobs are given before the manifest's own defaults: seeds to be drawn, unless it says which, and prompts as plain
    text, as a request's own are.

    A request has no seed, and who sends the same one twice wants two pictures.
    """
    if settings.format in STREAMED:
        raise UsageError(f"{settings.name}: is a file of jobs, and --settings takes a manifest without them")
    root = read_root(settings, Problems())
    values = root.values if isinstance(root, MapNode) else {}
    for key in values.keys() & (set(KEYS) - set(_SETTINGS)):
        raise UsageError(f"{settings.name}: has {key}, and the jobs of a batch are its requests; leave {key} out")
    defaults = values.get("defaults")
    given = defaults.values if isinstance(defaults, MapNode) else {}
    plain = {name: verbatim(given[name]) for name in PROMPTS if name in given}
    for name, node in plain.items():
        if isinstance(node, MapNode):
            what = f"{name} is a map, and a request has one text that is no file's; write the text itself"
            raise ManifestError([f"{node.place}: {what}"])
    return plain if "seed" in given else {"seed": Scalar("-1", True, settings.start), **plain}
