"""What the Hugging Face cache calls things: where the files of a repository lie there, and what people call them.

models--ORG--NAME/refs/main names a commit, snapshots/COMMIT/... are links to blobs/HASH. Asks no network.
"""

import os
import re
from collections.abc import Iterable
from pathlib import Path

from latentpress.errors import CheckpointError

_REPOSITORY = re.compile(r"models--([^/]+?)--([^/]+)|models--([^/]+)")


def in_cache(path: Path) -> Path:
    """`path` as a snapshot has it: main's, for a repository's folder of the cache; the link, for a blob's path.

    Raises CheckpointError for a repository without main's snapshot.
    """
    if _repository(_absolute(path).name) is None or not (path / "snapshots").is_dir():
        return _link_of(path)
    snapshots = sorted(each for each in (path / "snapshots").iterdir() if each.is_dir())
    try:
        named = (path / "refs" / "main").read_text(encoding="utf-8").strip()
    except OSError:
        named = snapshots[0].name if len(snapshots) == 1 else ""
    if not named or not (found := path / "snapshots" / named).is_dir():
        there = ", ".join(each.name[:12] for each in snapshots) or "none"
        raise CheckpointError(
            f"{path}: a Hugging Face cache without main's snapshot (it holds {there}); give one of snapshots/, or "
            "download the model again"
        )
    return found


def called(path: Path) -> str:
    """What people call the file or folder at `path`: ORG/NAME for a repository of the cache, the link's own name else.

    ORG/NAME/part for a folder within one; never the hash of a blob or a commit.
    """
    path = _link_of(_absolute(path))
    for above in (path, *path.parents):
        if above.parent.name == "snapshots" and (repository := _repository(above.parent.parent.name)):
            inside = path.relative_to(above)
            if path.is_dir():
                return "/".join((repository, *inside.parts))
            return path.name
    return path.name


def revisions_of(paths: Iterable[Path]) -> dict[str, str]:
    """ORG/NAME -> the commit of the snapshot, for each of these files and folders that lies in one of a cache."""
    found: dict[str, str] = {}
    for path in paths:
        path = _link_of(_absolute(path))
        for above in (path, *path.parents):
            if above.parent.name == "snapshots" and (repository := _repository(above.parent.parent.name)):
                found[repository] = above.name
                break
    return found


def _link_of(path: Path) -> Path:
    """The link in a snapshot that leads to the blob at `path`; another path as it is."""
    folder = _absolute(path).parent
    if folder.name != "blobs" or not _repository(folder.parent.name):
        return path
    links = sorted((folder.parent / "snapshots").rglob("*"))
    return next((link for link in links if link.is_file() and link.resolve() == path.resolve()), path)


def _absolute(path: Path) -> Path:
    return Path(os.path.abspath(path))  # noqa: PTH100, resolve() would follow a link to its blob


def _repository(folder: str) -> str | None:
    found = _REPOSITORY.fullmatch(folder)
    if found is None:
        return None
    return f"{found[1]}/{found[2]}" if found[1] else found[3]
