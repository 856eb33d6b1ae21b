"""The files that a manifest was read from, with the places that they have in a pack, and no path of this machine in them.

Each keeps its place seen from the manifest. A path that a text names from the root is written anew in the packed copy, so
that it leads to the packed file. Knows nothing of pictures and of zips.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from latentpress.batch.folder import OutputFolder
from latentpress.batch.kept import kept_inputs
from latentpress.batch.plan.database import Database
from latentpress.errors import UsageError
from latentpress.files import read_regular
from latentpress.manifest.inputs import Read
from latentpress.manifest.manifest import read_manifest

# Below this folder of the pack they lie; those that lie nowhere near the manifest in the second.
INPUTS, ELSEWHERE = "manifest", "elsewhere"
# Files that may name others, and the largest that is looked through.
_TEXTS = (".yaml", ".yml", ".json", ".jsonl", ".csv", ".txt")
_MAX_TEXT = 64 << 20


@dataclass(frozen=True)
class Input:
    """A file of a manifest. name: in the pack; sha256: of the file; text: what is packed where paths changed."""

    name: str
    path: Path
    size: int
    sha256: str
    text: str | None = None


@dataclass(frozen=True)
class LeftOut:
    """What is not in a pack, and why. sha256, size: of a file, so that who has it can tell."""

    name: str
    why: str
    sha256: str = ""
    size: int = 0


@dataclass(frozen=True)
class Inputs:
    """manifest: its name in the pack; files: those that are packed; changed: names of those with paths written anew;
    models: the bundles, as the packed manifest names them; private: paths that nothing in the pack may hold, each with
    what stands for it there."""

    manifest: str
    files: Sequence[Input]
    left_out: Sequence[LeftOut]
    changed: Sequence[str]
    models: Sequence[str]
    private: Mapping[str, str]

    def told(self, text: str) -> str:
        """A text of ours without those paths."""
        for path in sorted(self.private, key=len, reverse=True):
            text = text.replace(path, self.private[path])
        return text


def inputs_of(folder: Path, key: str, plan_hash: str, table: Database, without: Sequence[str], largest: int) -> Inputs:
    """What the manifest was read from whose plan, `plan_hash`, was recorded in the ledger of `folder`, which `table` sees.

    key: the manifest's path from the folder; without: patterns of names in the pack to leave out; largest: bytes of a file
    that is packed. Raises UsageError where the manifest is gone, is another by now, or lies where it cannot be packed from.
    """
    manifest = Path(os.path.normpath(folder.resolve() / key))
    if not manifest.is_file():
        raise UsageError(
            f"{folder}: its manifest is gone ({key}, seen from there), and a pack needs it; put it back, or render the "
            "folder from where it is now"
        )
    read, models = _read(folder, manifest, plan_hash, table)
    files = {Path(path).parent.resolve() / Path(path).name: sha256 for path, (sha256, _) in read.files.items()}
    manifest = next((path for path in files if path.resolve() == manifest), manifest)  # a link to it keeps its name
    texts = {path: read_regular(path, _MAX_TEXT).decode(errors="surrogateescape") for path in files if _is_text(path)}
    places = _places(manifest, files, texts)
    moved = {str(path): place for path, place in places.items()}
    moved |= {model: PurePosixPath("bundles") / Path(model).name for model in models if Path(model).is_absolute()}
    found, left_out, changed = list[Input](), list[LeftOut](), list[str]()
    for path, place in sorted(places.items(), key=lambda one: str(one[1])):
        name, size = f"{INPUTS}/{place}", path.stat().st_size
        if path != manifest and (why := _why_not(str(place), size, without, largest)):
            left_out.append(LeftOut(name, why, files[path], size))
            continue
        text = _rewritten(texts[path], place, moved) if path in texts else None
        text = None if text == texts.get(path) else text
        changed += [name] if text is not None else []
        found.append(Input(name, path, size, files[path], text))
    seen = {path: str(_seen_from(places[manifest], place)) for path, place in moved.items()}
    private = _private(folder, [path.parent for path in files]) | seen
    bundles = [seen.get(one, one) for one in models]
    return Inputs(f"{INPUTS}/{places[manifest]}", found, left_out, changed, bundles, private)


def _private(folder: Path, folders: Sequence[Path]) -> dict[str, str]:
    """The folders that tell whose machine this is, with a stroke at the end, and what stands for each."""
    named = dict.fromkeys((*folders, folder.resolve(), folder.absolute()), "")
    named |= {Path.home(): "~/", Path.home().resolve(): "~/"}
    return {f"{path}/": text for path, text in named.items() if len(path.parts) > 1}


def _read(folder: Path, manifest: Path, plan_hash: str, table: Database) -> tuple[Read, Sequence[str]]:
    """What a manifest is read from, and its bundles; UsageError where that gives another plan than the ledger's."""
    kept = kept_inputs(table)
    if kept is not None and kept[0] == plan_hash and kept[1].holds():
        return kept[1], kept[2]
    now = read_manifest(manifest)
    read = now.inputs.read() if now.inputs else None
    if read is None:
        raise UsageError(
            f"{_named(manifest, folder)}: not all that it reads are files that can be packed, or they change; pack again"
        )
    if OutputFolder(now, folder).plan().plan_hash != plan_hash:
        changed = kept[1].changed() if kept is not None and kept[0] == plan_hash else []
        others = [path for path in changed if Path(path).resolve() != manifest.resolve()]
        what = f"{_named(manifest, folder)}: is another manifest than"
        if others and len(others) == len(changed):
            what = f"{', '.join(_named(Path(path), folder) for path in others)}: not what it was"
        raise UsageError(
            f"{what} when {folder} was rendered; render {_named(manifest, folder)} again, which renders what differs, and "
            "pack then"
        )
    return read, list(now.models)


def _named(path: Path, folder: Path) -> str:
    """A file as whoever named `folder` so would."""
    return str(path.resolve() if folder.is_absolute() else os.path.relpath(path))


def _is_text(path: Path) -> bool:
    return path.suffix.lower() in _TEXTS and path.stat().st_size <= _MAX_TEXT


def _places(manifest: Path, files: Mapping[Path, str], texts: Mapping[Path, str]) -> dict[Path, PurePosixPath]:
    """Where each file comes to lie, seen from the folder of the pack that has them all."""
    near = [path for path in files if path.is_relative_to(manifest.parent)]
    far = [path for path in files if path not in near]
    named = [path for path in far if any(str(path) in text for text in texts.values())]
    stepped = [path for path in far if path not in named]
    root = Path(os.path.commonpath([manifest.parent, *(path.parent for path in stepped)]))
    if stepped and (root in Path.home().parents or len(root.parts) < 2):
        raise UsageError(
            f"{manifest}: reads {stepped[0]}, which has no place in a pack beside it but from {root} on; copy it into the "
            "manifest's folder, or name it with its whole path"
        )
    places = {path: PurePosixPath(path.relative_to(root).as_posix()) for path in (manifest, *near, *stepped)}
    taken = {str(place) for place in places.values()}
    base = places[manifest].parent
    for path in sorted(named):
        places[path] = base / _free(path.name, str(base / ELSEWHERE), taken)
    return places


def _free(name: str, folder: str, taken: set[str]) -> PurePosixPath:
    stem, suffix, count, found = Path(name).stem, Path(name).suffix, 1, name
    while f"{folder}/{found}" in taken:
        count += 1
        found = f"{stem}-{count}{suffix}"
    taken.add(f"{folder}/{found}")
    return PurePosixPath(ELSEWHERE) / found


def _rewritten(text: str, place: PurePosixPath, moved: Mapping[str, PurePosixPath]) -> str:
    """A text at `place` with the whole paths of what is packed as they are seen from there; the longest first."""
    for path in sorted(moved, key=len, reverse=True):
        if path in text:
            text = text.replace(path, str(_seen_from(place, moved[path])))
    return text


def _seen_from(place: PurePosixPath, target: PurePosixPath) -> PurePosixPath:
    return PurePosixPath(os.path.relpath(target, place.parent))


def _why_not(place: str, size: int, without: Sequence[str], largest: int) -> str:
    if pattern := next(_matching(place, without), None):
        return f"--without {pattern}"
    return f"it has {size:,} bytes, more than --largest allows" if size > largest else ""


def _matching(place: str, patterns: Sequence[str]) -> Iterator[str]:
    return (one for one in patterns if fnmatchcase(place, one) or fnmatchcase(f"{INPUTS}/{place}", one))
