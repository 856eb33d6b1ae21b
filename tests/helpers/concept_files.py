"""Concept files as torch writes them, and one read back."""

from pathlib import Path

import torch

from latentpress.export.reading.concept_file import ConceptFile, fitted, read_concepts
from latentpress.export.reading.concept_paths import AskedConcept, concepts_asked


def saved(path: Path, content) -> Path:
    torch.save(content, path)
    return path


def read_concept(path: Path, *, encoders=None, token=None) -> ConceptFile:
    """The one concept of the file or folder at `path`, for the text encoders of a bundle if they are given."""
    (asked,) = concepts_asked([AskedConcept((Path(path),), token)])
    (only,) = read_concepts(asked)
    return only if encoders is None else fitted(only, encoders)
