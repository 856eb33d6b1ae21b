"""From a manifest's models and `concepts` to opened bundles that have them all; keeps sets of concepts in the cache."""

import contextlib
import hashlib
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from pathlib import Path

from latentpress.bundle.content import TaughtVectors, content_hash, parts_of, source_hash
from latentpress.bundle.info import INFO_FILE, Bundle, open_bundle
from latentpress.bundle.overlay import read_overlay, write_overlay
from latentpress.cache.entries import DERIVED
from latentpress.cache.use import used, writing
from latentpress.errors import BundleError, ManifestError
from latentpress.export.concept_set import ConceptSet, read_set, write_set
from latentpress.export.reading.concept_paths import AskedConcept, single_tokens
from latentpress.folders import folder_beside, publish_folder
from latentpress.manifest.concepts import ConceptFile
from latentpress.manifest.fields import DEMO
from latentpress.manifest.manifest import Manifest
from latentpress.runtime.facts import BundleFacts, Bundles

# The built-in bundle, rounded up.
_DEMO_BYTES = 60 << 20


def _unsaid(line: str) -> None:
    """Tell nobody."""


@dataclass(frozen=True)
class Models:
    """The bundles a manifest renders on and refines with: the name that the manifest gives each -> the bundle.

    known: what planning needs to know of them, by default read from them; damage: what a glance found to be wrong with their
    files, each with its place in the manifest, where they were opened for a plan.
    """

    bundles: dict[str, Bundle]
    known: Bundles | None = None
    damage: tuple[str, ...] = ()

    @property
    def facts(self) -> Bundles:
        """What planning needs to know of the bundles."""
        return facts_of(self.bundles) if self.known is None else self.known

    @property
    def by_hash(self) -> dict[str, Bundle]:
        """Hash -> bundle."""
        return {bundle.hash: bundle for bundle in self.bundles.values()}


def models_for(
    manifest: Manifest, cache: Path, *, verify: bool = True, keep: bool = True, say: Callable[[str], None] = _unsaid
) -> Models:
    """The bundles `manifest` names, with the concepts that they lack from overlays in `cache`.

    verify, keep, say: as in `named_bundle`; without `keep` the concepts are in no file, which is enough for a plan, and the
    files are glanced at. Raises ManifestError, at the place of each model or concept that cannot be used.
    """
    bundles: dict[str, Bundle] = {}
    problems: dict[str, None] = {}
    damage: dict[str, str] = {}
    for name, place in manifest.models.items():
        try:
            bundle = named_bundle(name, cache, verify=verify, keep=keep, say=say)
            if not keep and (found := _damage(bundle)):
                damage[name] = f"{place}: {found}"
            missing = [concept for concept in manifest.concepts if not _has(bundle, concept)]
            if missing and keep:
                bundle = with_concepts(bundle, missing, cache, verify, str(manifest.path.resolve()))
            bundles[name] = concept_set(bundle, missing).planned if missing and not keep else bundle
        except ManifestError as error:
            problems |= dict.fromkeys([damage[name]] if name in damage else error.problems)
        except BundleError as error:
            problems[damage.get(name, f"{place}: {error}")] = None
    if problems:
        raise ManifestError(list(problems))
    return Models(bundles, damage=tuple(damage.values()))


def named_bundle(
    name: str, cache: Path, *, verify: bool = True, keep: bool = True, say: Callable[[str], None] = _unsaid
) -> Bundle:
    """The bundle in the folder `name`, or the built-in one for `demo`, exported to `cache` at first; raises BundleError.

    verify: hash its files, those excepted that `cache` remembers (see `open_bundle`); not before a bundle is only shown.
    keep: whether anything is written to `cache`; without it a built-in bundle that is not there is exported elsewhere, for
    as long as the returned bundle lives. say: hears that this takes a while.
    """
    if name != DEMO:
        try:
            return open_bundle(Path(name), verify=verify, cache=cache, keep=keep)
        except BundleError as error:
            if close := _like(Path(name)):
                raise BundleError(f"{str(error).partition('; ')[0]}; did you mean {close!r}?") from None
            raise
    from latentpress.export.demo import demo_path, ensure_demo_bundle, temporary_demo, usable

    path = demo_path(cache)
    there = usable(path, cache, verify=verify and keep)
    if there and not keep:
        there = not _damage(open_bundle(path, verify=False, cache=cache, keep=False))  # a render exports it again
    if not there:
        if not keep:
            say(
                f"the built-in model is not in the cache ({cache}): it is exported for this command alone, which takes "
                "about a minute; `latentpress render` keeps it there"
            )
            return temporary_demo()
        with writing(cache, "the built-in model", _DEMO_BYTES):
            say(f"the built-in model is exported to {path}; this takes about a minute, once")
            ensure_demo_bundle(cache, verify=False)
    bundle = open_bundle(path, verify=verify, cache=cache, keep=keep)
    if keep:
        used(path, bundle)
    return bundle


def _damage(bundle: Bundle) -> str:
    """What a glance at the bundle's files finds to be wrong; empty where that is nothing."""
    try:
        bundle.glance()
    except BundleError as error:
        return str(error)
    return ""


def _like(path: Path) -> str | None:
    """A bundle that may be meant by a path where nothing is: the built-in one, or one beside it."""
    if path.exists():
        return None
    beside = {folder.name: str(folder) for folder in _bundles_in(path.parent)}
    names = get_close_matches(path.name.lower(), [DEMO], 1, 0.7) or get_close_matches(path.name, beside, 1, 0.7)
    return beside.get(names[0], names[0]) if names else None


def _bundles_in(folder: Path) -> list[Path]:
    try:
        return [file.parent for file in folder.glob(f"*/{INFO_FILE}")]
    except OSError:
        return []


def facts_of(bundles: Mapping[str, Bundle]) -> Bundles:
    """What planning needs to know of opened bundles, by the same names."""
    from latentpress.runtime.limits import Limits
    from latentpress.runtime.prompt_rules import alike
    from latentpress.runtime.prompts.tokens import PromptTokenizer
    from latentpress.runtime.rules import Scene, rules_of
    from latentpress.runtime.work import Workload

    parts = {name: parts_of(bundle) for name, bundle in bundles.items()}
    infos = {bundle.hash: bundle.info for bundle in bundles.values()}
    return {
        name: BundleFacts(
            hash=bundle.hash,
            name=bundle.info.name,
            source_sha256=bundle.info.source_sha256,
            default_size=bundle.info.default_size,
            concepts={concept.token: concept.sha256 for concept in bundle.info.concepts},
            versions=bundle.info.versions,
            content=content_hash(parts[name]),
            parts=parts[name],
            vectors=TaughtVectors(bundle),
            source=source_hash(bundle.info),
            loras=tuple(bundle.info.loras),
            vae=bundle.info.vae,
            base=bundle.info.base,
            check=tokenizer.check,
            plain=tokenizer.plain,
            alike=alike,
            ordinary=tokenizer.ordinary,
            zeros_for_no_negative=bundle.info.force_zeros_for_empty_prompt,
            vae_scale_factor=bundle.info.vae_scale_factor,
            inpainting=bundle.info.inpainting,
            refusal=limits.refusal,
            notes=limits.notes,
            rules=partial(rules_of, scene=Scene(bundle.info, infos, tokenizer.found_otherwise)),
            work=Workload(bundle.info, infos).of,
        )
        for name, bundle in bundles.items()
        for tokenizer, limits in ((PromptTokenizer(bundle), Limits(bundle.info, infos)),)
    }


def with_concepts(
    bundle: Bundle, missing: Sequence[ConceptFile], cache: Path, verify: bool, manifest: str = ""
) -> Bundle:
    """`bundle` with `missing` baked in: an overlay in `cache` (bundle/overlay.py), made once; verify: as in `named_bundle`.

    manifest: for people, the path of the one that asks. Raises ManifestError, at the place of each concept that cannot be
    used, BundleError for a bundle that is damaged, and EnvironmentFailure where the overlay cannot be written.
    """
    text = "\n".join([bundle.hash, *(f"{concept.token} {concept.sha256}" for concept in missing)])
    final = cache / DERIVED / hashlib.sha256(text.encode()).hexdigest()[:32]
    found = _derived(final, bundle, cache, verify) if final.exists() else None
    if found is None:
        bundle.verify()  # only on what is whole is anything built
        made = concept_set(bundle, missing)
        with writing(cache, "the text encoder with the manifest's concepts", made.bytes):
            if final.exists():
                # A cache may be thrown away at any time: what is damaged is made again rather than complained about.
                shutil.rmtree(final)
            # Built beside its final name and renamed, so that a killed run leaves nothing that looks whole.
            with folder_beside(final) as work:
                write_set(made, work, manifest)
                publish_folder(work, final, replace=False)  # what another process put there meanwhile is the same
        found = open_bundle(final, verify=verify, cache=cache)
    used(final, found)
    return found


def concept_set(bundle: Bundle, missing: Sequence[ConceptFile]) -> ConceptSet:
    """What `bundle` is with the concepts `missing`; raises as `with_concepts`, and writes nothing."""
    problems: list[str] = []
    places = {AskedConcept(concept.files, concept.token): concept.place for concept in missing}
    made = read_set(bundle, places, lambda one, error: problems.append(f"{places[one]}: {error}"))
    if problems:
        raise ManifestError(problems)
    return made


def _derived(final: Path, bundle: Bundle, cache: Path, verify: bool) -> Bundle | None:
    """The overlay, or the copy of an earlier version, in the folder `final`; None where it must be made again."""
    with contextlib.suppress(BundleError):
        return open_bundle(final, verify=verify, cache=cache)
    with contextlib.suppress(BundleError, OSError):
        # The same bundle may lie elsewhere by now.
        if (overlay := read_overlay(final)) is not None:
            write_overlay(final, overlay.model_copy(update={"base": str((bundle.base or bundle).path.resolve())}))
            return open_bundle(final, verify=verify, cache=cache)
    return None


def _has(bundle: Bundle, concept: ConceptFile) -> bool:
    taught = {baked.token for baked in bundle.info.concepts if baked.sha256 == concept.sha256}
    return concept.token in taught or taught.issuperset(single_tokens(concept.token))
