"""The export from beginning to end: load, fuse, trace, compare with torch, bake concepts, publish."""

import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

from safetensors.numpy import save_file as save_arrays
from safetensors.torch import save_file

from latentpress.bundle.content import VECTORS, parts_in
from latentpress.bundle.info import (
    FORMAT_VERSION,
    Bundle,
    BundleInfo,
    Concept,
    Flavour,
    Parity,
    Precision,
    RowTest,
    TextEncoderInfo,
)
from latentpress.bundle.samples import FILE as SAMPLES
from latentpress.bundle.samples import Sample, flatten
from latentpress.engines.choice import DEFAULT_ENGINE
from latentpress.engines.engine import EngineChoice
from latentpress.engines.proof import parity_line, require_parity, row_test_line
from latentpress.export.concepts import bake, check_claims
from latentpress.export.graphs.build import build_graphs, components_of
from latentpress.export.graphs.flavours import fuse_for_cuda, trace_flavour
from latentpress.export.graphs.memory import release_memory
from latentpress.export.graphs.parity import prove_graph, prove_here, take_samples
from latentpress.export.graphs.precision import cast, check_finite
from latentpress.export.graphs.trace import Graph, quiet
from latentpress.export.publish import check_output, hash_files, publish, sizes_in, workspace, write_info
from latentpress.export.reading.clip_versions import save_tokenizer
from latentpress.export.reading.components import Components, TextPart
from latentpress.export.reading.concept_file import fitted, read_concepts
from latentpress.export.reading.concept_paths import AskedConcept, concepts_asked
from latentpress.export.reading.hub import concepts_on_disk
from latentpress.export.reading.hub_cache import revisions_of
from latentpress.export.source import Loaded, Source, fetched, load_source
from latentpress.export.taught import taught_concepts
from latentpress.version import __version__

PACKAGES = ("torch", "onnx", "diffusers", "transformers")


def run_export(
    source: Source,
    output: Path,
    concepts: Sequence[Path | AskedConcept] | Mapping[str, Path],
    *,
    name: str | None,
    report: Callable[[str], None],
    precision: Precision = "fp32",
    flavour: Flavour = "plain",
    engine: EngineChoice = DEFAULT_ENGINE,
) -> BundleInfo:
    """See `latentpress.export.export_bundle`."""
    check_output(output)
    # Before gigabytes are read.
    source = fetched(source, report)
    given = concepts_asked(concepts_on_disk(concepts, report))
    asked = [concept for each in given for concept in read_concepts(each)]
    report(f"reading {source.checkpoint}")  # and hashing it: seconds for each gigabyte
    with quiet():
        loaded = load_source(source)
    for note in loaded.notes:
        report(note)
    parts = loaded.parts
    encoders = [_encoder_info(part) for part in parts.texts]
    files = [fitted(concept, encoders) for concept in asked]
    taught, vectors = taught_concepts(parts)  # before a graph takes the text encoder's weights
    check_claims(files, parts.texts[0].tokenizer.get_vocab(), taught)  # before minutes of tracing
    parity: list[Parity] = []
    row_tests: list[RowTest] = []
    samples: list[Sample] = []
    with workspace(output) as work:
        for graph in build_graphs(parts, precision, loaded.changes):
            rows, test = _export_graph(graph, parts, work, precision, flavour, engine, samples, report)
            parity += rows
            row_tests += [test] if test is not None else []
        save_arrays(flatten(samples), work / SAMPLES)
        for part in parts.texts:
            save_tokenizer(part.tokenizer, work / part.tokenizer_folder)
        if taught:
            save_arrays(vectors, work / VECTORS)
            report(f"concepts of the checkpoint: {', '.join(concept.token for concept in taught)}")
        baked = bake(work, files, encoders, taught, report)
        info = _info(loaded, encoders, name or loaded.name, hash_files(work), baked, parity, precision)
        revisions = loaded.revisions | revisions_of(file for each in given for file in each.files)
        info = info.model_copy(update={"flavour": flavour, "engine": str(engine), "revisions": revisions})
        more, more_tests = prove_here(Bundle(work, info, ""), engine, report)
        info = info.model_copy(update={"parity": [*parity, *more], "row_tests": [*row_tests, *more_tests]})
        info = info.model_copy(update={"content": parts_in(work, info), "sizes": sizes_in(work, info.files)})
        write_info(work, info)
        publish(work, output)
    size = sum((output / file).stat().st_size for file in info.files)
    report(f"{output}: done, {size / 1e6:.1f} MB; a manifest names it `model: {output}`")
    return info


def _export_graph(
    graph: Graph,
    parts: Components,
    work: Path,
    precision: Precision,
    flavour: Flavour,
    engine: EngineChoice,
    samples: list[Sample],
    report: Callable[[str], None],
) -> tuple[list[Parity], RowTest | None]:
    """Trace one graph and compare it with torch; adds to `samples`, and gives the module's memory back."""
    started = time.perf_counter()
    report(f"{graph.name}: torch in float32")
    taken = take_samples(graph, parts)
    samples += taken
    cast(graph)
    if graph.component.role == "decoder":
        _save_decoder(parts, work / "vae_decoder.safetensors")
    check_finite(graph, parts, samples)
    report(f"{graph.name}: tracing, {time.perf_counter() - started:.0f} s so far")
    path = trace_flavour(graph, work, flavour)
    # No later graph needs these weights, and on the meta device a module takes no memory. What the exporter leaves is held
    # by reference cycles, and the weights must be gone before ONNX Runtime loads its own.
    graph.module.to("meta")
    release_memory()
    report(f"{graph.name}: comparing with torch, {time.perf_counter() - started:.0f} s so far")
    # The default engine runs what is compared here, save for precisions it lacks, and cuda's graph, not fused yet.
    default = engine == DEFAULT_ENGINE and engine.kind.refusal(precision) is None and flavour != "cuda"
    rows, test = prove_graph(path, graph.component, taken, with_rows=default)
    release_memory()
    for row in rows:
        report(parity_line(row))
    require_parity(rows)
    if test is not None:
        report(row_test_line(test))
    if flavour == "cuda":
        fuse_for_cuda(path, graph.component.role)
    return rows, test


def versions() -> dict[str, str]:
    """The versions that shaped a bundle made now."""
    return {"latentpress": __version__, **{package: version(package) for package in PACKAGES}}


def _save_decoder(parts: Components, path: Path) -> None:
    state = parts.vae.state_dict()
    kept = {key: value for key, value in state.items() if key.startswith(("post_quant_conv.", "decoder."))}
    save_file({key: value.contiguous() for key, value in kept.items()}, path)


def _encoder_info(part: TextPart) -> TextEncoderInfo:
    return TextEncoderInfo(
        component=part.component,
        tokenizer=part.tokenizer_folder,
        hidden_size=part.hidden_size,
        layers=part.layers,
        pooled_size=part.pooled_size,
        hides=True,
    )


def _info(
    loaded: Loaded,
    encoders: list[TextEncoderInfo],
    name: str,
    files: dict[str, str],
    concepts: list[Concept],
    parity: list[Parity],
    precision: Precision,
) -> BundleInfo:
    parts = loaded.parts
    side = parts.latent_size * parts.vae_scale_factor
    config = {key: value for key, value in parts.vae.config.items() if key != "_name_or_path"}
    return BundleInfo(
        format_version=FORMAT_VERSION,
        name=name,
        family=parts.family.name,
        source_sha256=loaded.sha256,
        files=files,
        components=components_of(parts, precision),
        precision=precision,
        scheduler=parts.scheduler,
        vae_config=config,
        scaling_factor=parts.scaling_factor,
        vae_scale_factor=parts.vae_scale_factor,
        latent_channels=parts.latent_channels,
        default_size=(side, side),
        max_tokens=parts.max_tokens,
        text_encoders=encoders,
        cross_attention_dim=parts.cross_attention_dim,
        unet_in_channels=parts.unet_in_channels,
        added_conditioning=parts.added_conditioning,
        force_zeros_for_empty_prompt=parts.force_zeros_for_empty_prompt,
        requires_aesthetics_score=parts.requires_aesthetics_score,
        prediction_type=str(parts.scheduler.get("prediction_type", "epsilon")),
        concepts=concepts,
        loras=loaded.loras,
        vae=loaded.vae,
        base=loaded.base,
        any_prompt_length=True,
        parity=parity,
        versions=versions(),
    )
