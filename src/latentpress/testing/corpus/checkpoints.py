"""The kinds of checkpoints and VAEs, of both sorts."""

from latentpress.testing.corpus.folders import FOLDERS
from latentpress.testing.corpus.folders import write_folder as write_folder
from latentpress.testing.corpus.kind import FileKind
from latentpress.testing.corpus.models import models_of as models_of
from latentpress.testing.corpus.others import OTHERS
from latentpress.testing.corpus.single_files import FILES
from latentpress.testing.corpus.unets import UNETS

CHECKPOINTS: dict[str, FileKind] = {**FOLDERS, **FILES, **UNETS, **OTHERS}
