"""The ids of a manifest's jobs, of which no two may be equal. Knows nothing of what else a job says."""

from array import array
from collections.abc import Iterable, Iterator

import numpy as np

from latentpress.errors import shown
from latentpress.manifest.nodes import Place, Problems
from latentpress.manifest.shape import JobNode

_CLASH = "; give the entry of `jobs` that names one of the files an `id`, which then stands before the ids of its jobs"


class Ids:
    """The ids of a stream of jobs, of which no two may be equal. Eight bytes are kept of each."""

    def __init__(self) -> None:
        self._hashes = array("q")

    def watching(self, jobs: Iterable[JobNode]) -> Iterator[JobNode]:
        """`jobs`, their ids kept."""
        keep = self._hashes.append
        for job in jobs:
            keep(hash(job.id))
            yield job

    def report(self, jobs: Iterable[JobNode], problems: Problems) -> None:
        """Add each id that is given twice to `problems`; `jobs` are the same as before."""
        hashes = np.sort(np.frombuffer(self._hashes, np.int64))
        twice = set(hashes[1:][hashes[1:] == hashes[:-1]].tolist())
        first: dict[str, Place] = {}
        for job in jobs if twice else ():
            if hash(job.id) not in twice:
                continue
            begins = job.place  # which a line makes anew for each who asks
            before = first.setdefault(job.id, begins)
            if before is not begins:
                place = job.fields["id"].place if "id" in job.fields else begins
                where = f"on line {before.line}" if before.file == place.file else f"at {before}"
                way_out = "" if "id" in job.fields or before.file == place.file else _CLASH
                problems.add(place, f"job id {shown(job.id)} is given twice; the first is {where}{way_out}")
