"""One function for every kind of file people give to an export, which writes a small one: docs/checkpoints.md has the table.

Files are made here, by the writing library or from the published names and layouts; nothing is copied.
"""

from latentpress.testing.corpus.checkpoints import CHECKPOINTS
from latentpress.testing.corpus.concepts import CONCEPTS
from latentpress.testing.corpus.kind import FileKind as FileKind
from latentpress.testing.corpus.loras import LORAS

# The name that the table in docs/checkpoints.md gives it -> the kind.
KINDS: dict[str, FileKind] = {**CHECKPOINTS, **LORAS, **CONCEPTS}
