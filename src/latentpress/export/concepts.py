"""Bakes textual-inversion concepts into a bundle: embedding rows in each text encoder, tokens in each tokenizer.

Export and `concepts add` use the same code, on files alone: neither torch nor transformers is needed.
"""

import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

from latentpress.bundle.content import VECTORS
from latentpress.bundle.info import Bundle, BundleInfo, Concept, TextEncoderInfo, open_bundle
from latentpress.bundle.taught import added_token
from latentpress.engines.records import FOLDER as ENGINES
from latentpress.errors import BundleError, ConceptError
from latentpress.export.publish import hash_files, publish, sizes_in, workspace, write_info
from latentpress.export.reading.concept_file import ConceptFile, Vectors, fitted, read_concepts
from latentpress.export.reading.concept_paths import AskedConcept, concepts_asked
from latentpress.export.reading.hub import concepts_on_disk
from latentpress.export.reading.hub_cache import revisions_of
from latentpress.files import replacing, write_durably

# Every bundle's tokenizer begins and ends a prompt with tokens of this form, and an ordinary word is entered in it.
_MARK = "<|{}|>"


def add_concepts(
    bundle_path: Path,
    concepts: Sequence[Path | AskedConcept] | Mapping[str, Path],
    report: Callable[[str], None] = lambda line: None,
) -> BundleInfo:
    """Bake `concepts` into the bundle at `bundle_path`, which is replaced as a whole or left as it was.

    concepts: files, each under its own name (see `read_concepts`), or a map from the token that prompts use to the file.
    report: gets one line per concept. Raises ConceptError (a bad file, a token taken twice) and BundleError (the bundle is
    damaged).
    """
    asked = concepts_asked(concepts_on_disk(concepts, report))
    read = [concept for each in asked for concept in read_concepts(each)]
    bundle = open_bundle(Path(bundle_path))
    read = [fitted(concept, bundle.info.text_encoders) for concept in read]
    with workspace(bundle.path) as work:
        for name in bundle.info.files:
            target = work / name
            target.parent.mkdir(parents=True, exist_ok=True)
            _link(bundle.file(name), target)
        _keep_engines(bundle, work)
        baked = bake(work, read, bundle.info.text_encoders, bundle.info.concepts, report)
        files = hash_files(work, _unchanged(work, bundle))
        revisions = bundle.info.revisions | revisions_of(file for each in asked for file in each.files)
        sizes = sizes_in(work, files) if bundle.info.sizes else {}  # an older bundle stays one
        update = {"concepts": baked, "files": files, "sizes": sizes, "revisions": revisions}
        info = bundle.info.model_copy(update=update)
        write_info(work, info)
        publish(work, bundle.path)
    return info


def bake(
    folder: Path,
    files: Sequence[ConceptFile],
    encoders: Sequence[TextEncoderInfo],
    present: Sequence[Concept] = (),
    report: Callable[[str], None] = lambda line: None,
) -> list[Concept]:
    """Add the concepts of `files` to the bundle files in `folder`; returns all its concepts, `present` ones first.

    Files are replaced, never written in place: they may be hard links into another bundle. report: gets one line each.
    """
    vocabulary = shared_vocabulary(folder.joinpath, encoders)
    baked, ids = learned(files, vocabulary, present, report)
    stored = folder / VECTORS
    write_vectors(stored, files, stored)
    for encoder in encoders if files else ():
        graph = folder / f"{encoder.component}.onnx"
        grow(graph, encoder, files, max(vocabulary.values()) + 1)
        add_tokens(folder / encoder.tokenizer, ids)
    return [*present, *baked]


def learned(
    files: Sequence[ConceptFile],
    vocabulary: Mapping[str, int],
    present: Sequence[Concept] = (),
    report: Callable[[str], None] = lambda line: None,
) -> tuple[list[Concept], dict[str, int]]:
    """The concepts that baking `files` adds, and the ids of the tokens that it adds to a tokenizer with `vocabulary`.

    report: gets one line per concept. Raises ConceptError where a token is claimed twice or is a word.
    """
    check_claims(files, vocabulary, present)
    first = max(vocabulary.values()) + 1
    baked: list[Concept] = []
    ids: dict[str, int] = {}
    for file in files:
        # An ordinary word stays what it is to the tokenizer, where it may be a part of others too: `gray` of "grayish".
        names = [_MARK.format(name) if _is_word(name, vocabulary) else name for name in file.tokens]
        own = {name: first + len(ids) + index for index, name in enumerate(names)}
        ids |= own
        baked.append(Concept(token=file.token, token_ids=list(own.values()), sha256=file.sha256, source=file.source))
        report(_line(file))
        if _is_word(file.token, vocabulary):
            report(f"warning: {file.token} is an ordinary word too; by itself in a prompt it is the concept")
    return baked, ids


def vectors_of(files: Sequence[ConceptFile]) -> dict[str, Vectors]:
    """ENCODER.TOKEN -> the vectors of each concept."""
    return {f"{name}.{file.token}": rows for file in files for name, rows in file.vectors.items()}


def write_vectors(stored: Path, files: Sequence[ConceptFile], target: Path) -> None:
    """Write to `target` the vectors that the file `stored` holds, if it is there, and those of `files`."""
    vectors: dict[str, Vectors] = dict(load_file(stored)) if stored.exists() else {}
    with replacing(target) as fresh:
        save_file(vectors | vectors_of(files), fresh)


def grow(
    graph: Path, encoder: TextEncoderInfo, files: Sequence[ConceptFile], tokens: int, target: Path | None = None
) -> None:
    """Append the vectors of `files` to the embedding of the text encoder at `graph`, or to a copy of it at `target`.

    tokens: how many its tokenizer has, and so how many rows it must.
    """
    from latentpress.export.graphs.embedding import append_rows  # and onnx, which a plan does without

    rows = append_rows(graph, np.concatenate([file.vectors[encoder.component] for file in files]), target)
    if rows != tokens:
        raise BundleError(
            f"{graph.parent.name}: {encoder.component} has {rows} embedding rows, its tokenizer {tokens} tokens; "
            "concepts can be added only where the two agree: export the checkpoint with its own tokenizer"
        )


def shared_vocabulary(file: Callable[[str], Path], encoders: Sequence[TextEncoderInfo]) -> dict[str, int]:
    """token -> id, the same in every tokenizer: a prompt is then split once for all text encoders.

    file: name -> path of a file or folder of the bundle.
    """
    first, *others = [_vocabulary(file(encoder.tokenizer)) for encoder in encoders]
    if any(other != first for other in others):
        raise BundleError(
            f"{file(encoders[0].tokenizer).parent.name}: the tokenizers have different vocabularies; SDXL's share one: "
            "export the checkpoint with its own tokenizers"
        )
    return first


def check_claims(files: Sequence[ConceptFile], vocabulary: Mapping[str, int], present: Sequence[Concept]) -> None:
    """Raise ConceptError if a token is claimed twice, or is a word of the vocabulary already and was not asked for."""
    owners = {concept.token: concept.source for concept in present}
    claimed: dict[str, str] = {}
    for file in files:
        for token in file.tokens:
            if token in claimed:
                raise ConceptError(
                    f"{file.place}: token {token} is claimed by {claimed[token]} too; leave one of them out, or ask for "
                    f"another token: {_another(token)}=FILE"
                )
            if token in owners:
                raise ConceptError(
                    f"{file.place}: token {token} is already baked in, from {owners[token]}; leave the file out, "
                    f"or ask for another token: {_another(token)}=FILE"
                )
            if _is_word(token, vocabulary) and (not file.asked or token.startswith("<|")):
                raise ConceptError(
                    f"{file.place}: token {token} is already a word of the tokenizer's vocabulary; ask for another, "
                    f"<{token.strip('<>|')}-style>=FILE, or for this one by name, {token}=FILE: then each such word in a "
                    "prompt is the concept"
                )
            claimed[token] = file.place


def _is_word(token: str, vocabulary: Mapping[str, int]) -> bool:
    return token in vocabulary or f"{token.lower()}</w>" in vocabulary


def _another(token: str) -> str:
    """A token that is like `token`: <x> -> <x-2>."""
    return f"{token[:-1]}-2>" if token.endswith(">") else f"{token}-2"


def _line(file: ConceptFile) -> str:
    notes = f" ({'; '.join(file.notes)})" if file.notes else ""
    return f"concept {file.token}: {file.count} {'vector' if file.count == 1 else 'vectors'} from {file.source}{notes}"


def _vocabulary(tokenizer: Path) -> dict[str, int]:
    """token -> id of everything the tokenizer in this folder knows, added tokens included."""
    try:
        vocabulary: dict[str, int] = json.loads((tokenizer / "vocab.json").read_bytes())
        config: Any = json.loads((tokenizer / "tokenizer_config.json").read_bytes())
        added = {entry["content"]: int(key) for key, entry in config.get("added_tokens_decoder", {}).items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BundleError(f"{tokenizer}: not a tokenizer that can be read ({error}); export the bundle again") from None
    return {**vocabulary, **added}


def add_tokens(tokenizer: Path, ids: Mapping[str, int]) -> None:
    """Write `ids` where CLIPTokenizer looks for added tokens."""
    config_path, added_path = tokenizer / "tokenizer_config.json", tokenizer / "added_tokens.json"
    config: Any = json.loads(config_path.read_bytes())
    decoder = config.setdefault("added_tokens_decoder", {})
    for token, index in ids.items():
        decoder[str(index)] = added_token(token)
    added: dict[str, int] = json.loads(added_path.read_bytes()) if added_path.exists() else {}
    for path, value in ((config_path, config), (added_path, added | dict(ids))):
        write_durably(path, (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode())


def _keep_engines(bundle: Bundle, work: Path) -> None:
    """Copy the engines, which are not the bundle's own files; those of the text encoders are then stale, and say so."""
    for folder in {bundle.file(f"{component}.onnx").parent for component in bundle.info.component_names}:
        for source in (folder / ENGINES).rglob("*"):
            target = work / source.relative_to(folder)
            if source.is_file() and not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                _link(source, target)


def _link(source: Path, target: Path) -> None:
    """A hard link, or a copy where the file system has none."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _unchanged(work: Path, bundle: Bundle) -> dict[str, str]:
    """The hashes of those files that are still the bundle's own inodes, so need no second reading."""
    return {name: sha for name, sha in bundle.info.files.items() if (work / name).samefile(bundle.file(name))}
