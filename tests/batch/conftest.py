"""The fixtures of a bundle and an executor that cost nothing, and of runs that faults befall."""

import shutil
import tempfile
from pathlib import Path

import pytest

from eight import Eight
from fakes import facts, folder, go, manifest, new_executor, planned
from faulted import Runner
from four import begun

__all__ = ["begun", "eight", "facts", "folder", "go", "manifest", "new_executor", "planned"]

# A folder in memory, where there is one: to sync a file there costs nothing, and what a fault does is the same.
MEMORY = Path("/dev/shm")


@pytest.fixture(scope="module")
def eight(tmp_path_factory):
    """Eight pictures to be rendered while faults befall the run."""
    scratch = Path(tempfile.mkdtemp(dir=MEMORY)) if MEMORY.is_dir() else tmp_path_factory.mktemp("faults")
    with Runner(scratch) as runner:
        yield Eight(runner, scratch)
    shutil.rmtree(scratch)
