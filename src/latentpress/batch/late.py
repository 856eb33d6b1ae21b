"""A manifest of which all is known but its jobs, which are read once someone asks for them."""

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, cast

from latentpress.errors import ManifestError
from latentpress.manifest.draft import Expansion
from latentpress.manifest.inputs import Read
from latentpress.manifest.manifest import Manifest, read_manifest
from latentpress.manifest.shape import JobNode


class LateJobs:
    """The jobs of the manifest at `path`. read: what it was read from when the rest of it became known."""

    def __init__(self, path: Path, read: Read) -> None:
        self._path, self._read = path, read

    @cached_property
    def manifest(self) -> Manifest:
        """The manifest, read. Raises ManifestError where it is another by now."""
        manifest = read_manifest(self._path)
        if not self._read.holds():
            raise ManifestError(
                [f"{self._path}:1:1: the file has changed since it was read first; run the command again"]
            )
        return manifest

    @property
    def expansion(self) -> Expansion:
        """How the manifest's jobs are crossed with its matrix, once that is asked for."""
        return cast(Expansion, _LateExpansion(self))

    def __iter__(self) -> Iterator[JobNode]:
        return iter(self.manifest.jobs)


class _LateExpansion:
    def __init__(self, jobs: LateJobs) -> None:
        self._jobs = jobs

    def __getattr__(self, name: str) -> Any:
        return getattr(self._jobs.manifest.expansion, name)
