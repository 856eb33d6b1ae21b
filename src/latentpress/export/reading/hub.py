"""Brings what an export is given by its name on a hub (ORG/NAME[@REVISION][:FILE]) into the Hugging Face cache.

What the cache holds whole is taken from it and nothing is asked of the network. Otherwise huggingface_hub downloads the
files that an export reads, and no others, with a progress bar, with the token of the environment or of `hf auth login`;
`hub_resume` makes it go on where it was interrupted. Knows nothing of what is in the files; `hub_files` says which are
wanted.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from latentpress.errors import CheckpointError, ConceptError, UsageError
from latentpress.export.reading.concept_paths import AskedConcept, other_half
from latentpress.export.reading.hub_files import Kind, is_weights, is_whole, main_file, wanted_files
from latentpress.export.reading.hub_resume import bring_blob

_NAME = re.compile(
    r"(?P<repository>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?:@(?P<revision>[^:@\s]+))?(?::(?P<file>[^:]+))?"
)
# A path that is not there: nobody calls a repository so.
_FILES = (".safetensors", ".ckpt", ".bin", ".pt", ".pth", ".json", ".yaml")


@dataclass(frozen=True)
class HubName:
    """ORG/NAME[@REVISION][:FILE]. file: a file or folder of the repository."""

    repository: str
    revision: str | None
    file: str | None

    def __str__(self) -> str:
        return self.repository + (f"@{self.revision}" if self.revision else "")


def hub_name(text: str) -> HubName | None:
    """What `text` names on a hub; None for a path that is there, and for what is no such name."""
    if Path(text).exists() or (found := _NAME.fullmatch(text)) is None:
        return None
    if found["file"] is None and found["repository"].endswith(_FILES):
        return None
    return HubName(found["repository"], found["revision"], found["file"])


def on_disk(
    given: Path,
    kind: Kind,
    error: type[UsageError] = CheckpointError,
    *,
    variant: str | None = None,
    report: Callable[[str], None] = lambda line: None,
) -> Path:
    """The file or folder `given`, or, for a name on a hub, what the cache holds of it, downloaded where it lacks some.

    variant: of the weights. Raises `error`: there is no such repository, revision or file, its licence must be accepted
    first, or the hub cannot be reached and the cache does not hold it.
    """
    name = hub_name(str(given))
    if name is None:
        return given
    snapshot = _cached(name)
    if snapshot is None or not is_whole(snapshot, kind, name.file, variant):
        report(f"{name}: downloading into the Hugging Face cache")
        snapshot = _downloaded(name, kind, variant, error)
    found = main_file(_names_in(snapshot), kind, name.file)
    return snapshot / found if found else snapshot


def concepts_on_disk(
    given: Sequence[Path | AskedConcept] | Mapping[str, Path], report: Callable[[str], None]
) -> list[AskedConcept]:
    """Concepts that were asked for, `given` as for an export, with paths in place of names. Raises ConceptError."""

    def here(path: Path) -> list[Path]:
        found = on_disk(Path(path), "concept", ConceptError, report=report)
        # A repository is what a folder is: both of SDXL's files are meant.
        name = hub_name(str(path))
        other = other_half(found) if name is not None and name.file is None else None
        return [found] if other is None else [found, other]

    if isinstance(given, Mapping):
        given = [AskedConcept((Path(path),), token) for token, path in given.items()]
    asked = [each if isinstance(each, AskedConcept) else AskedConcept((Path(each),)) for each in given]
    return [replace(each, files=tuple(file for path in each.files for file in here(path))) for each in asked]


def _cached(name: HubName) -> Path | None:
    """The snapshot of the revision, as far as the cache has it.

    Looked up by the cache's layout: newer versions of huggingface_hub refuse a snapshot that lacks any file of the
    repository, whether it is wanted or not.
    """
    folder = _folder(name)
    revision = name.revision or "main"
    try:
        commit = (folder / "refs" / revision).read_text(encoding="utf-8").strip()
    except OSError:
        commit = revision  # which may be a commit itself
    found = folder / "snapshots" / commit
    return found if found.is_dir() else None


def _folder(name: HubName) -> Path:
    from huggingface_hub.constants import HF_HUB_CACHE

    return Path(HF_HUB_CACHE) / f"models--{name.repository.replace('/', '--')}"


def _downloaded(name: HubName, kind: Kind, variant: str | None, error: type[UsageError]) -> Path:
    from huggingface_hub import HfApi

    try:
        info = HfApi().model_info(name.repository, revision=name.revision)
        names = [sibling.rfilename for sibling in info.siblings or ()]
        wanted = wanted_files(str(name), names, kind, name.file, variant)
        for file in filter(is_weights, wanted):
            bring_blob(_folder(name), name.repository, info.sha or name.revision or "main", file)
        if kind in ("lora", "concept") and wanted[1:]:
            # First what stands beside the file that `is_whole` looks for: where that one is, the others then are too.
            _taken(name, wanted[1:])
        return _taken(name, wanted)
    except UsageError as refused:
        raise error(str(refused)) from None
    except Exception as failed:
        raise error(_sentence(name, failed)) from failed


def _taken(name: HubName, wanted: Sequence[str]) -> Path:
    """The snapshot, with these files of it downloaded."""
    from huggingface_hub import snapshot_download

    patterns = [re.sub(r"([*?\[])", r"[\1]", file) for file in wanted]  # that match these names alone
    # At the revision asked for, not at its commit: the cache remembers which commit the name stands for.
    return Path(snapshot_download(name.repository, revision=name.revision, allow_patterns=patterns))


def _sentence(name: HubName, failed: Exception) -> str:
    """What went wrong; the classes are told by their names, which all versions of huggingface_hub share."""
    kinds = {each.__name__ for each in type(failed).__mro__}
    causes = [failed, failed.__cause__, failed.__context__]
    status = next((code for each in causes if (code := _status(each)) is not None), None)
    if "GatedRepoError" in kinds or status == 403:
        return (
            f"{name}: its owner lets only those have it who accepted its licence; accept it at "
            f"https://huggingface.co/{name.repository} and log in with `hf auth login` (or set HF_TOKEN)"
        )
    if "RevisionNotFoundError" in kinds:
        return (
            f"{name}: the repository has no such revision; name a branch, tag or commit of it, or leave it out for main"
        )
    if "RepositoryNotFoundError" in kinds or status == 401:
        return (
            f"{name}: neither a path on this machine nor a repository of the hub that you may read; check the name, "
            "or log in with `hf auth login` if it is private"
        )
    if "EntryNotFoundError" in kinds and "LocalEntryNotFoundError" not in kinds:
        return f"{name}: lists a file that the hub does not have; try again, or name another revision with @"
    if status is not None:
        return f"{name}: the hub answers with HTTP {status}; try again later, what is downloaded already is kept"
    reason = " ".join(str(failed).split())[:120] or type(failed).__name__
    return (
        f"{name}: not a path on this machine, not whole in the Hugging Face cache, and the hub cannot be reached "
        f"({type(failed).__name__}: {reason}); try again when it can, what is downloaded already is kept"
    )


def _status(failed: Any) -> int | None:
    response = getattr(failed, "response", None)
    code = getattr(response, "status_code", None)
    return code if isinstance(code, int) and code >= 400 else None


def _names_in(snapshot: Path) -> list[str]:
    return sorted(path.relative_to(snapshot).as_posix() for path in snapshot.rglob("*") if path.is_file())
