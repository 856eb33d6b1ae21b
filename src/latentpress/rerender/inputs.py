"""Finds what a picture is made from: its bundles, the concepts in them, its given pictures; or says what is missing.

What the caller names comes first, then what the ledger above the picture knows, then the built-in bundle. Each is known by
what is in it; where the caller or the ledger names another one, that is taken, and what differs in it is told.
"""

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from latentpress.bundle.content import TaughtVectors, content_hash, parts_of, source_hash
from latentpress.bundle.info import Bundle, file_sha256
from latentpress.errors import LatentpressError, UsageError, one_line
from latentpress.export.reading.concept_paths import concept_sha256, parse_concept
from latentpress.files import check_regular
from latentpress.manifest.concepts import ConceptFile
from latentpress.manifest.fields import DEMO
from latentpress.manifest.given import picture_of
from latentpress.manifest.manifest import Manifest, read_manifest
from latentpress.manifest.nodes import Place
from latentpress.models import models_for, named_bundle, with_concepts
from latentpress.rerender.codes import SUFFIX, FoundLoss, codes_of_manifest, losses_of, read_codes
from latentpress.rerender.given import IMAGES, given_in
from latentpress.rerender.ledgers import KnownHere
from latentpress.rerender.original import ClaimedBundle, Original
from latentpress.runtime.guidance.clip_files import clip_sha256


@dataclass(frozen=True)
class Sources:
    """Where the caller says that inputs are.

    models: `demo`, or bundles' folders, those of refiners too; manifest: its bundles, with its concepts baked in, and the
    pictures and losses that its jobs are given; concepts: TOKEN=FILE; inputs: files of given pictures and of people's own
    losses, in any order.
    """

    models: tuple[str, ...] = ()
    manifest: Path | None = None
    concepts: tuple[str, ...] = ()
    inputs: tuple[Path, ...] = ()


@dataclass(frozen=True, eq=False)
class Chosen:
    """A bundle that a picture is made on again: `name`, its absolute path; what is in it; the `claimed` one.

    wrong: tokens that the claimed bundle's prompts draw on, whose vectors here are others -> the sha256 of these.
    """

    bundle: Bundle
    parts: Mapping[str, str]
    claimed: ClaimedBundle

    @property
    def name(self) -> str:
        """What this bundle is called among others."""
        return str(self.bundle.path.absolute())

    @cached_property
    def content(self) -> str:
        """The hash of its content."""
        return content_hash(self.parts)

    @cached_property
    def same_source(self) -> bool:
        """Whether it was exported from what the claimed one was."""
        return source_hash(self.bundle.info) == self.claimed.source

    @property
    def same(self) -> bool:
        """Whether it is the claimed one; pictures of earlier releases name no content."""
        return self.content == self.claimed.content if self.claimed.content else self.same_source

    @cached_property
    def wrong(self) -> dict[str, str]:
        """See above."""
        vectors = TaughtVectors(self.bundle)
        files = {concept.token: concept.sha256 for concept in self.bundle.info.concepts}
        found = vectors if self.claimed.content else files
        return {
            token: found[token] for token, sha256 in self.claimed.concepts.items() if found.get(token, sha256) != sha256
        }

    @cached_property
    def lacking(self) -> list[str]:
        """The tokens that it was never taught."""
        return sorted(set(self.claimed.concepts) - {concept.token for concept in self.bundle.info.concepts})


@dataclass(frozen=True)
class GivenPicture:
    """A given picture: the file that is used, its sha256, and the one that was used."""

    path: Path
    sha256: str
    claimed: str


@dataclass(frozen=True)
class Inputs:
    """Everything that a picture is made from; pictures: field -> given picture; losses: those with code of their own."""

    base: Chosen
    refiner: Chosen | None
    pictures: Mapping[str, GivenPicture] = field(default_factory=dict[str, GivenPicture])
    losses: Sequence[FoundLoss] = ()


class Missing(UsageError):
    """Inputs that were not found; each of `problems` is a sentence with the option that names it."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(problems))


class Finder:
    """Finds inputs for any number of pictures; opens each bundle once. cache: the program's cache folder.

    Raises UsageError for a source that cannot be read.
    """

    def __init__(self, sources: Sources, cache: Path) -> None:
        self._cache = cache
        self._parts: dict[str, Mapping[str, str]] = {}  # by the bundle's hash
        self._manifests: dict[Path, list[Bundle]] = {}
        self._named: dict[str, Bundle | None] = {}
        self.concepts = [_concept(text) for text in sources.concepts]
        self._inputs = {path.absolute(): _sha256(path) for path in sources.inputs if path.suffix != SUFFIX}
        self._codes = read_codes(sources.inputs)
        self._given = [self._open(name) for name in sources.models]
        if sources.manifest is not None:
            manifest = read_manifest(sources.manifest)
            self._given += models_for(manifest, cache).bundles.values()
            self._inputs |= _pictures_of(manifest)
            self._codes += codes_of_manifest(manifest)

    def inputs(self, original: Original, known: KnownHere) -> Inputs:
        """Everything that `original` is made from; raises Missing."""
        problems: list[str] = []
        base = self._choose(original.bundle, original, known, problems)
        refiner = original.refiner and self._choose(original.refiner, original, known, problems)
        pictures: dict[str, GivenPicture] = {}
        claimed = {name: str(sha256) for name, sha256 in given_in(original.request).items()}
        # What another field is known to be is not taken for this one.
        taken = {path for path, sha256 in self._inputs.items() if sha256 in claimed.values()}
        for name, sha256 in claimed.items():
            found = self._picture(sha256, taken, known)
            if found is None:
                what = f"{name} with sha256 {sha256[:12]}"
                problems.append(f"{original.path}: {what} is not found; name its file with --input FILE")
            else:
                taken.add(found.path)
                pictures[name] = found
        losses = tuple(losses_of(original, self._codes, known, problems))
        if base is None or problems:
            raise Missing([one_line(problem) for problem in problems])
        return Inputs(base, refiner, pictures, losses)

    def _choose(
        self, claimed: ClaimedBundle, original: Original, known: KnownHere, problems: list[str]
    ) -> Chosen | None:
        """The bundle that agrees best with the claimed one, the first of several; None once it is told that none is."""
        best: Chosen | None = None
        for bundle, named in self._candidates(claimed, original, known):
            one = Chosen(bundle, self._parts_of(bundle), claimed)
            # A bundle that nobody named for this picture is taken only for what it is.
            if not (one.same or named):
                continue
            if one.same or one.same_source:
                one = self._taught(one)
            if best is None or _rank(one) > _rank(best):
                best = one
            if one.same and not one.wrong and not one.lacking:
                break
        if best is None:
            problems.append(f"{original.path}: {claimed.called} is not found; name its folder with --model BUNDLE")
        elif best.lacking:
            problems.extend(
                f"{original.path}: concept {token} ({claimed.kind} {claimed.concepts[token][:12]}) is not in "
                f"{best.bundle.path}; name its file with --concept '{token}=FILE'"
                for token in best.lacking
            )
        return best

    def _candidates(
        self, claimed: ClaimedBundle, original: Original, known: KnownHere
    ) -> Iterator[tuple[Bundle, bool]]:
        """Bundles that may be the claimed one, and whether they are named for it, whatever is in them now."""
        other = original.refiner if claimed is original.bundle else original.bundle
        alone = other is None and len(self._given) == 1
        for bundle in self._given:
            yield bundle, alone or bundle.info.name == claimed.name or source_hash(bundle.info) == claimed.source
        for path in known.bundle(claimed.content)[0]:
            if (bundle := self._opened(str(path))) is not None:
                yield bundle, not self._given
        for path in known.manifests(original.job_hash):
            for bundle in self._of_manifest(path):
                yield bundle, not self._given and source_hash(bundle.info) == claimed.source
        if claimed.name == DEMO and (bundle := self._opened(DEMO)) is not None:
            yield bundle, False

    def _taught(self, one: Chosen) -> Chosen:
        """The same bundle with the caller's concepts that it lacks."""
        missing = [concept for concept in self.concepts if concept.token in one.lacking]
        if not missing:
            return one
        bundle = with_concepts(one.bundle, missing, self._cache, verify=True)
        return Chosen(bundle, self._parts_of(bundle), one.claimed)

    def _picture(self, sha256: str, taken: Iterable[Path], known: KnownHere) -> GivenPicture | None:
        for path, found in self._inputs.items():
            if found == sha256:
                return GivenPicture(path, sha256, sha256)
        there = [path.absolute() for path in known.pictures(sha256) if path.exists()]
        for path in there:
            if given_sha256(path) == sha256:
                return GivenPicture(path, sha256, sha256)
        # Edited since, or another one given on purpose: what differs is told.
        others = [path for path in self._inputs if path not in taken]
        path = others[0] if len(others) == 1 else next(iter(there), None)
        return path and GivenPicture(path, given_sha256(path), sha256)

    def _of_manifest(self, path: Path) -> list[Bundle]:
        """The bundles of a manifest that the ledger names; none where it cannot be read any more."""
        if path not in self._manifests:
            self._manifests[path] = []
            with contextlib.suppress(LatentpressError):  # one of what it names may be gone
                self._manifests[path] = list(models_for(read_manifest(path), self._cache).bundles.values())
        return self._manifests[path]

    def _open(self, name: str) -> Bundle:
        return named_bundle(name, self._cache)

    def _opened(self, name: str) -> Bundle | None:
        """The bundle of that name; None where there is none."""
        if name not in self._named:
            try:
                self._named[name] = self._open(name)
            except LatentpressError:
                self._named[name] = None
        return self._named[name]

    def _parts_of(self, bundle: Bundle) -> Mapping[str, str]:
        if bundle.hash not in self._parts:
            self._parts[bundle.hash] = parts_of(bundle)
        return self._parts[bundle.hash]


def _rank(one: Chosen) -> tuple[bool, bool, bool, int, int]:
    return one.same, one.same_source, one.bundle.info.name == one.claimed.name, -len(one.lacking), -len(one.wrong)


def _concept(text: str) -> ConceptFile:
    asked = parse_concept(text)
    if asked.token is None:
        raise UsageError(f"--concept {text}: the token is missing; write TOKEN=FILE, e.g. <line-art>=line-art.bin")
    try:
        sha256 = concept_sha256(asked.files)
    except OSError as error:
        raise UsageError(f"--concept {text}: cannot be read ({error.strerror}); give the concept's file") from None
    return ConceptFile(asked.token, asked.files, sha256, Place(f"--concept {text}", 1, 1))


def given_sha256(path: Path) -> str:
    """Of a file, or of the CLIP model in a folder; raises UsageError for a folder with none."""
    return clip_sha256(path) if path.is_dir() else file_sha256(path)


def _sha256(path: Path) -> str:
    try:
        if path.is_dir():
            return clip_sha256(path)
        check_regular(path)
        return file_sha256(path)
    except OSError as error:
        raise UsageError(f"--input {path}: cannot be read ({error.strerror}); give a given picture's file") from None


def _pictures_of(manifest: Manifest) -> dict[Path, str]:
    """The given pictures of a manifest's jobs, each with its sha256."""
    found: dict[Path, str] = {}
    for draft, _, _ in manifest.drafts():
        pictures = [picture_of(draft.values, name) for name in IMAGES]
        files = [picture.file for picture in pictures if picture is not None]
        for loss in draft.values["loss"]:
            files += loss.files.values()
        found |= {file.path.absolute(): file.sha256 for file in files}
    return found
