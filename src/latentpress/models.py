"""From a manifest's models and `concepts` to opened bundles that have them all; keeps derived bundles in a cache."""

import hashlib
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from latentpress.bundle.info import Bundle, Lora, SeparateVae, open_bundle
from latentpress.errors import BundleError, ConceptError, ManifestError
from latentpress.files import folder_beside, publish_folder
from latentpress.manifest.concepts import ConceptFile
from latentpress.manifest.manifest import Manifest
from latentpress.manifest.nodes import Place
from latentpress.runtime.prompts.parts import PromptCheck, Reading
from latentpress.runtime.request import RenderRequest

CACHE_VARIABLE = "LATENTPRESS_CACHE"
DEMO = "demo"


def cache_dir() -> Path:
    """$LATENTPRESS_CACHE, or ~/.cache/latentpress."""
    given = os.environ.get(CACHE_VARIABLE)
    return Path(given) if given else Path.home() / ".cache" / "latentpress"


@dataclass(frozen=True)
class BundleFacts:
    """What planning needs to know of a bundle. default_size: (height, width); concepts: token -> sha256 of its file.

    loras and vae: what was fused into it, and the VAE that replaced the checkpoint's own, if any;
    zeros_for_no_negative: no negative prompt is not the empty one; refiners: path as the manifest has it -> its facts;
    refusal: (field, reason) where the bundle, or a refiner, cannot do what a request asks, else None.
    """

    hash: str
    name: str
    source_sha256: str
    default_size: tuple[int, int]
    concepts: Mapping[str, str]
    versions: Mapping[str, str]
    check: Callable[[str, Reading], PromptCheck]
    loras: tuple[Lora, ...] = ()
    vae: SeparateVae | None = None
    zeros_for_no_negative: bool = False
    refiners: Mapping[str, "BundleFacts"] = field(default_factory=dict[str, "BundleFacts"])
    refusal: Callable[[RenderRequest], tuple[str, str] | None] = lambda request: None


@dataclass(frozen=True)
class Models:
    """The bundles a manifest renders on; `refiners`: path as the manifest has it -> bundle."""

    bundle: Bundle
    refiners: dict[str, Bundle]


def models_for(manifest: Manifest, cache: Path, *, verify: bool = True) -> Models:
    """The bundles `manifest` names, or copies of them in `cache` with the missing concepts baked in.

    verify: as in `named_bundle`. Raises ManifestError, at the place of the model or of the concept that cannot be used.
    """
    refiners: dict[str, Bundle] = {}
    for draft in manifest.drafts:
        if (refiner := draft.refiner) is not None and refiner.model not in refiners:
            refiners[refiner.model] = _opened(refiner.model, refiner.place, manifest.concepts, cache, verify)
    return Models(_opened(manifest.model, manifest.model_place, manifest.concepts, cache, verify), refiners)


def named_bundle(name: str, cache: Path, *, verify: bool = True) -> Bundle:
    """The bundle in the folder `name`, or the built-in one for `demo`, exported to `cache` at first; raises BundleError.

    verify: hash its files, those excepted that `cache` remembers (see `open_bundle`); not before a bundle is only shown.
    """
    return open_bundle(_demo(cache, verify) if name == DEMO else Path(name), verify=verify, cache=cache)


def _opened(model: str, place: Place, concepts: Sequence[ConceptFile], cache: Path, verify: bool) -> Bundle:
    try:
        bundle = named_bundle(model, cache, verify=verify)
        missing = [concept for concept in concepts if not _has(bundle, concept)]
        return _derived(bundle, missing, cache, verify) if missing else bundle
    except BundleError as error:
        raise ManifestError([f"{place}: {error}"]) from None


def facts_of(models: Models) -> BundleFacts:
    """What planning needs to know of the bundles."""
    from latentpress.runtime.limits import Limits

    limits = Limits(models.bundle.info, {refiner.hash: refiner.info for refiner in models.refiners.values()})
    refiners = {path: _facts(refiner) for path, refiner in models.refiners.items()}
    return replace(_facts(models.bundle), refiners=refiners, refusal=limits.refusal)


def _facts(bundle: Bundle) -> BundleFacts:
    from latentpress.runtime.prompts.tokens import PromptTokenizer

    info = bundle.info
    return BundleFacts(
        hash=bundle.hash,
        name=info.name,
        source_sha256=info.source_sha256,
        default_size=info.default_size,
        concepts={concept.token: concept.sha256 for concept in info.concepts},
        versions=info.versions,
        loras=tuple(info.loras),
        vae=info.vae,
        check=PromptTokenizer(bundle).check,
        zeros_for_no_negative=info.force_zeros_for_empty_prompt,
    )


def _demo(cache: Path, verify: bool) -> Path:
    from latentpress.export.demo import ensure_demo_bundle

    return ensure_demo_bundle(cache, verify=verify)


def _has(bundle: Bundle, concept: ConceptFile) -> bool:
    return any(baked.token == concept.token and baked.sha256 == concept.sha256 for baked in bundle.info.concepts)


def _derived(bundle: Bundle, missing: Sequence[ConceptFile], cache: Path, verify: bool) -> Bundle:
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


def _add(bundle: Path, concepts: Sequence[ConceptFile]) -> None:
    from latentpress.export.concepts import add_concepts

    problems: list[str] = []
    for concept in concepts:
        try:
            add_concepts(bundle, [concept.path], {concept.path: concept.token})
        except ConceptError as error:
            problems.append(f"{concept.place}: {error}")
    if problems:
        raise ManifestError(problems)
