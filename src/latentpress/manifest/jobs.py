"""The jobs of a manifest as a stream: those it lists, and those of the files that it names with `from`.

Knows which keys a job has and what it is called, not what its fields mean. A file of lines is read anew on each pass and
never held; a list within a manifest, or in a YAML or JSON file, is.
"""

import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from latentpress.errors import shown
from latentpress.manifest.fields import FIELDS
from latentpress.manifest.inputs import note_unknown
from latentpress.manifest.named_files import FROM, NamedFiles
from latentpress.manifest.nodes import ListNode, MapNode, Node, Problems, described
from latentpress.manifest.readers import read_root
from latentpress.manifest.readers.csv_rows import CsvRows
from latentpress.manifest.readers.jsonl import JsonLines
from latentpress.manifest.shape import JobNode, LineJob, quick_text
from latentpress.manifest.source import JSONL, STREAMED, Source
from latentpress.manifest.values import not_given, parse_text

if TYPE_CHECKING:
    from latentpress.manifest.openai.requests import Requests

JOB_KEYS = ("id", *FIELDS, "n")
# The key beside FROM that names the folder with the files that OpenAI's requests name by `file_id`.
FILES = "files"
EMPTY = "the manifest is empty; give it defaults, a matrix or jobs, at least one with a prompt"
_KNOWN = frozenset(JOB_KEYS)
_LIST_ALONE = (
    "from names a file with jobs, which only the list `jobs` of YAML or JSON can; name that file and this one there"
)
_TEXTS = ("id", "prompt", "negative_prompt")
# After so many mistakes the rest of a file of lines says nothing new.
_MOST_MISTAKES = 10_000


@dataclass(frozen=True)
class Jobs:
    """Jobs in order, made anew on each pass.

    parts: what they come from, each to be passed over as often.
    """

    parts: Sequence[Iterable[JobNode]]

    def __iter__(self) -> Iterator[JobNode]:
        for part in self.parts:
            yield from part


def jobs_of(source: Source, problems: Problems) -> Jobs:
    """The jobs of a file of lines that stands for a whole manifest."""
    return Jobs([_lines(source, _Given(source.stem, "", {}), problems)])


def requests_of(
    source: Source,
    problems: Problems,
    *,
    uploads: Path | None = None,
    skip: Collection[int] = (),
    defaults: Mapping[str, Node] = MappingProxyType({}),
) -> Jobs:
    """The jobs of an OpenAI Batch file, where every line is a request.

    uploads: the folder that has the files that requests name by `file_id`; skip: lines that are left out; defaults: fields
    of every job, which go before those of the manifest.
    """
    given = _Given(source.stem, "", defaults, uploads)
    return Jobs([_Lines(source, JsonLines(source, problems, skip), given, problems, requests_alone=True)])


def listed_jobs(node: Node, source: Source, problems: Problems) -> Jobs:
    """The jobs that the manifest's list `node` holds or names; mistakes go to `problems`."""
    if not isinstance(node, ListNode):
        problems.add(node.place, f"jobs is {described(node)}; it must be a list of maps such as - {{prompt: ...}}")
        return Jobs([])
    if not node.items:
        problems.add(node.place, EMPTY)
    return Jobs(list(_parts(node, _Given("", "", {}), [source], NamedFiles(problems))))


@dataclass(frozen=True)
class _Given:
    """What the jobs of one file are given by the entry that names it.

    numbers: what stands before the number of a job without an id, empty for nothing; ids: the same before an id;
    uploads: the folder with the files that OpenAI's requests name by `file_id`.
    """

    numbers: str
    ids: str
    defaults: Mapping[str, Node]
    uploads: Path | None = None


def _lines(source: Source, given: _Given, problems: Problems) -> "_Lines":
    maps = (
        JsonLines(source, problems, known=_KNOWN)
        if source.format == JSONL
        else CsvRows(source, JOB_KEYS, _TEXTS, problems, {FROM: _LIST_ALONE})
    )
    return _Lines(source, maps, given, problems)


@dataclass(frozen=True)
class _Lines:
    """The jobs of a file of lines; a job without an id is called after the file and its line.

    A line that has a `custom_id`, and any line if there are `requests_alone`, is a request for OpenAI's API.
    """

    source: Source
    maps: JsonLines | CsvRows
    given: _Given
    problems: Problems
    requests_alone: bool = False

    @cached_property
    def _requests(self) -> "Requests":
        # The client is imported by who needs it.
        from latentpress.manifest.openai.requests import Requests

        note_unknown()  # a request may hold a picture
        return Requests(Path(self.source.name).parent, self.given.uploads, self.problems)

    def __iter__(self) -> Iterator[JobNode]:
        empty = True
        given, problems, parse = self.given, self.problems, self._parse
        for item in self.maps:
            empty = False
            if isinstance(item, tuple):
                key, own, prompt, digits, number, text = item
                prefix, name = (given.ids, own) if own else (given.numbers, str(number))
                seed = None if digits is None else int(digits)
                job_id = f"{prefix}-{name}" if prefix else name
                yield LineJob(job_id, key, prompt, seed, given.defaults, number, text, parse)
                continue
            if (self.requests_alone or "custom_id" in item.values) and isinstance(self.maps, JsonLines):
                item = self._requests.job(self.maps.with_places(item))
                if item is None:
                    continue
            if problems.count > _MOST_MISTAKES:
                problems.add(item.place, f"more than {_MOST_MISTAKES:,} mistakes; the rest of the file is not read")
                return
            if FROM in item.values:
                problems.add(item.keys[FROM].place, _LIST_ALONE)
                continue
            yield _job(item, item.place.line, given, problems)
        if empty and not problems.count:
            problems.add(self.source.start, "the file holds no job")

    def _parse(self, number: int, text: str) -> JobNode:
        """The job of a line that was read before."""
        item = self.maps.node(number, text)
        assert item is not None, "it is written as a line that holds a job"
        return _job(item, number, self.given, self.problems)


def _job(
    item: MapNode,
    number: int,
    given: _Given,
    problems: Problems,
    where: str = "a job",
    keys: Sequence[str] = JOB_KEYS,
) -> JobNode:
    """One job; `number` is what it is called by where it has no id.

    where: what a key that it does not have is said of; keys: what might have been meant by it.
    """
    fields = item.values
    if not fields.keys() <= _KNOWN:
        for key in fields.keys() - _KNOWN:
            problems.unknown_key(item.keys[key], keys, where)
        fields = {key: value for key, value in fields.items() if key in _KNOWN}
    own = None
    node = fields.get("id")
    if node is not None:
        if not_given(node):
            fields = {key: value for key, value in fields.items() if key != "id"}
        else:
            own = quick_text(node) or parse_text("id", node, problems)
    prefix, name = (given.ids, own) if own else (given.numbers, str(number))
    return JobNode(_joined(prefix, name) if prefix else name, fields, item.place, given.defaults)


def _joined(prefix: str, own: str) -> str:
    return f"{prefix}-{own}" if prefix and own else prefix or own


def _parts(node: ListNode, given: _Given, within: Sequence[Source], named: NamedFiles) -> Iterator[Iterable[JobNode]]:
    """The entries of a list of jobs: runs of jobs, and what files give. within: the files that led here, this one last."""
    jobs: list[JobNode] = []
    problems = named.problems
    for number, item in enumerate(node.items, 1):
        if isinstance(item, MapNode) and FROM in item.values:
            yield jobs
            jobs = []
            yield from _included(item, given, within, named)
        elif isinstance(item, MapNode):
            jobs.append(_job(item, number, given, problems, f"job {number}", (*JOB_KEYS, FROM)))
        else:
            what = f"job {number} is {described(item)}; it must be a map of fields such as {{prompt: ...}}"
            problems.add(item.place, what)
    yield jobs


def _included(item: MapNode, given: _Given, within: Sequence[Source], files: NamedFiles) -> Iterator[Iterable[JobNode]]:
    """The jobs of the file that the entry `item` names, if there is one."""
    problems = files.problems
    for key in item.values.keys() - {FROM, FILES, *JOB_KEYS}:
        problems.unknown_key(item.keys[key], (FROM, FILES, *JOB_KEYS), "an entry with `from`")
    named = item.values[FROM]
    source = files.source(named, within)
    if source is None:
        return
    own = item.values.get("id")
    prefix = "" if own is None or not_given(own) else parse_text("id", own, problems) or ""
    defaults = {key: value for key, value in item.values.items() if key in _KNOWN and key != "id"}
    uploads = given.uploads
    if (folder := item.values.get(FILES)) is not None and not not_given(folder):
        uploads = Path(folder.place.file).parent / (parse_text(FILES, folder, problems) or "")
        if not os.path.isdir(uploads):  # noqa: PTH112 - which a path that is too long does not stop
            problems.add(
                folder.place, f"files is {shown(str(uploads))}, which is no folder; name the one with the files"
            )
    for_jobs = _Given(
        _joined(given.ids, prefix or source.stem),
        _joined(given.ids, prefix),
        {**given.defaults, **defaults},
        uploads,
    )
    if not files.is_new(named, source.path, for_jobs.numbers, for_jobs.ids):
        return
    if source.format in STREAMED:
        yield _lines(source, for_jobs, problems)
        return
    root = read_root(source, problems)
    if isinstance(root, ListNode) and root.items:
        yield from _parts(root, for_jobs, [*within, source], files)
    elif isinstance(root, MapNode):
        what = "the file is a map, perhaps a manifest; what `from` names is a list of jobs"
        problems.add(root.place, what)
    else:
        problems.add(source.start, "the file holds no job; it must be a list of maps such as - {prompt: ...}")
