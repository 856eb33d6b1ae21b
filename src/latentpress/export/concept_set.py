"""A set of concepts on a bundle that is left as it is: what it would teach, and the overlay (bundle/overlay.py) that has it.

Planning needs the first alone, which is read from the concepts' files and the bundle's tokenizer. The overlay is the same,
byte for byte, as what `add_concepts` makes of a copy of the bundle, as far as its files go.
"""

import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from latentpress.bundle.content import VECTORS
from latentpress.bundle.info import Bundle, Concept
from latentpress.bundle.overlay import Overlay, write_overlay
from latentpress.bundle.taught import Taught
from latentpress.errors import ConceptError
from latentpress.export.concepts import add_tokens, grow, learned, shared_vocabulary, vectors_of, write_vectors
from latentpress.export.publish import hash_files, share, sizes_in, write_info
from latentpress.export.reading.concept_file import ConceptFile, fitted, read_concepts
from latentpress.export.reading.concept_paths import AskedConcept, concepts_asked
from latentpress.export.reading.hub_cache import revisions_of
from latentpress.version import __version__


@dataclass(frozen=True)
class ConceptSet:
    """The concepts of `files` on the bundle `base`; concepts: all it then has; ids: of the tokens that are added.

    tokens: how many the tokenizers of `base` have; revisions: of what came from a hub.
    """

    base: Bundle
    files: list[ConceptFile]
    concepts: list[Concept]
    ids: dict[str, int]
    tokens: int
    revisions: dict[str, str]

    @property
    def planned(self) -> Bundle:
        """The base as a plan sees it with these concepts: they are in none of its files, and its hash is the base's."""
        base = self.base
        return Bundle(
            base.path,
            base.info.model_copy(update={"concepts": self.concepts}),
            base.hash,
            base.cache,
            keeps=base.keeps,
            overlay=base.overlay,
            base=base.base,
            taught=Taught(self.ids, vectors_of(self.files), base),
        )

    @property
    def bytes(self) -> int:
        """What its overlay takes on the disk, but for a few kilobytes."""
        texts = sum(self.base.file(name).stat().st_size for name in _own(self.base))
        return texts + sum(2 * rows.nbytes for file in self.files for rows in file.vectors.values())


def read_set(
    base: Bundle, asked: Iterable[AskedConcept], refuse: Callable[[AskedConcept, ConceptError], None]
) -> ConceptSet:
    """The concepts `asked` for on `base`, one after the other as `add_concepts` bakes them; writes nothing.

    refuse: hears of each that cannot be used. Raises BundleError for a bundle whose tokenizers are of no use.
    """
    encoders = base.info.text_encoders
    vocabulary = shared_vocabulary(base.file, encoders)
    made = ConceptSet(base, [], list(base.info.concepts), {}, max(vocabulary.values()) + 1, dict(base.info.revisions))
    for one in asked:
        try:
            whole = concepts_asked([one])
            files = [fitted(concept, encoders) for each in whole for concept in read_concepts(each)]
            baked, ids = learned(files, vocabulary, made.concepts)
        except ConceptError as error:
            refuse(one, error)
            continue
        vocabulary |= ids
        made.ids.update(ids)
        made.files.extend(files)
        made.concepts.extend(baked)
        made.revisions.update(revisions_of(file for each in whole for file in each.files))
    return made


def write_set(made: ConceptSet, folder: Path, manifest: str = "") -> None:
    """Write the overlay into the empty folder `folder`; manifest: the path of the one it is for, for people."""
    base = made.base
    for name in _own(base):
        if name != VECTORS and not name.endswith((".onnx", ".onnx.data")):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(base.file(name), folder / name)
    for encoder in base.info.text_encoders:
        graph = f"{encoder.component}.onnx"
        grow(base.file(graph), encoder, made.files, made.tokens, folder / graph)
        add_tokens(folder / encoder.tokenizer, made.ids)
    write_vectors(base.file(VECTORS), made.files, folder / VECTORS)
    share(folder)
    own = hash_files(folder)
    update: dict[str, object] = {"concepts": made.concepts, "files": base.info.files | own, "revisions": made.revisions}
    if base.info.sizes:
        update["sizes"] = base.info.sizes | sizes_in(folder, own)
    write_info(folder, base.info.model_copy(update=update))
    root = base.base or base
    now = datetime.now(UTC).isoformat(timespec="seconds")
    overlay = Overlay(
        base=str(root.path.resolve()), own=sorted(own), name=base.info.name, made=now, by=__version__, manifest=manifest
    )
    write_overlay(folder, overlay)


def _own(base: Bundle) -> list[str]:
    """The files of `base` that concepts change, or that lie in one folder with such."""
    folders = tuple(f"{encoder.tokenizer}/" for encoder in base.info.text_encoders)
    graphs = tuple(f"{encoder.component}.onnx" for encoder in base.info.text_encoders)
    names = (*graphs, *(f"{graph}.data" for graph in graphs), VECTORS)
    return [name for name in base.info.files if name in names or name.startswith(folders)]
