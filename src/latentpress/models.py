"""From a manifest's models and `concepts` to opened bundles that have them all; keeps derived bundles in a cache."""

import hashlib
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from latentpress.bundle.content import TaughtVectors, content_hash, parts_of, source_hash
from latentpress.bundle.info import Bundle, open_bundle
from latentpress.errors import BundleError, ConceptError, ManifestError
from latentpress.export.reading.concept_paths import AskedConcept, single_tokens
from latentpress.files import folder_beside, publish_folder
from latentpress.manifest.concepts import ConceptFile
from latentpress.manifest.fields import DEMO
from latentpress.manifest.manifest import Manifest
from latentpress.runtime.facts import BundleFacts, Bundles


@dataclass(frozen=True)
class Models:
    """The bundles a manifest renders on and refines with: the name that the manifest gives each -> the bundle.

    known: what planning needs to know of them, by default read from them.
    """

    bundles: dict[str, Bundle]
    known: Bundles | None = None

    @property
    def facts(self) -> Bundles:
        """What planning needs to know of the bundles."""
        return facts_of(self.bundles) if self.known is None else self.known

    @property
    def by_hash(self) -> dict[str, Bundle]:
        """Hash -> bundle."""
        return {bundle.hash: bundle for bundle in self.bundles.values()}


def models_for(manifest: Manifest, cache: Path, *, verify: bool = True) -> Models:
    """The bundles `manifest` names, or copies of them in `cache` with the missing concepts baked in.

    verify: as in `named_bundle`. Raises ManifestError, at the place of each model or concept that cannot be used.
    """
    bundles: dict[str, Bundle] = {}
    problems: dict[str, None] = {}
    for name, place in manifest.models.items():
        try:
            bundle = named_bundle(name, cache, verify=verify)
            missing = [concept for concept in manifest.concepts if not _has(bundle, concept)]
            bundles[name] = with_concepts(bundle, missing, cache, verify) if missing else bundle
        except ManifestError as error:
            problems |= dict.fromkeys(error.problems)
        except BundleError as error:
            problems[f"{place}: {error}"] = None
    if problems:
        raise ManifestError(list(problems))
    return Models(bundles)


def named_bundle(name: str, cache: Path, *, verify: bool = True) -> Bundle:
    """The bundle in the folder `name`, or the built-in one for `demo`, exported to `cache` at first; raises BundleError.

    verify: hash its files, those excepted that `cache` remembers (see `open_bundle`); not before a bundle is only shown.
    """
    return open_bundle(_demo(cache, verify) if name == DEMO else Path(name), verify=verify, cache=cache)


def facts_of(bundles: Mapping[str, Bundle]) -> Bundles:
    """What planning needs to know of opened bundles, by the same names."""
    from latentpress.runtime.limits import Limits
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


def with_concepts(bundle: Bundle, missing: Sequence[ConceptFile], cache: Path, verify: bool) -> Bundle:
    """A copy of `bundle` in `cache` with `missing` baked in, made once; verify: as in `named_bundle`.

    Raises ManifestError, at the place of each concept that cannot be used, and BundleError for a bundle that is damaged.
    """
    text = "\n".join([bundle.hash, *(f"{concept.token} {concept.sha256}" for concept in missing)])
    final = cache / "derived" / hashlib.sha256(text.encode()).hexdigest()[:32]
    if final.exists():
        try:
            return open_bundle(final, verify=verify, cache=cache)
        except BundleError:
            # A cache may be thrown away at any time: a damaged copy is made again rather than complained about.
            shutil.rmtree(final)
    open_bundle(bundle.path, cache=cache)  # only what is whole is copied
    # Built beside its final name and renamed, so that a killed run leaves no bundle that looks whole.
    with folder_beside(final) as temporary:
        copy = temporary / "bundle"
        shutil.copytree(bundle.path, copy)
        _add(copy, missing)
        publish_folder(copy, final, replace=False)  # what another process put there meanwhile is the same
    return open_bundle(final, verify=verify, cache=cache)


def _demo(cache: Path, verify: bool) -> Path:
    from latentpress.export.demo import ensure_demo_bundle

    return ensure_demo_bundle(cache, verify=verify)


def _has(bundle: Bundle, concept: ConceptFile) -> bool:
    taught = {baked.token for baked in bundle.info.concepts if baked.sha256 == concept.sha256}
    return concept.token in taught or taught.issuperset(single_tokens(concept.token))


def _add(bundle: Path, concepts: Sequence[ConceptFile]) -> None:
    from latentpress.export.concepts import add_concepts

    problems: list[str] = []
    for concept in concepts:
        try:
            add_concepts(bundle, [AskedConcept(concept.files, concept.token)])
        except ConceptError as error:
            problems.append(f"{concept.place}: {error}")
    if problems:
        raise ManifestError(problems)
