"""The estimate of a render on this machine: its bundles' paces, as the cache remembers them. Writes nothing."""

from dataclasses import dataclass
from pathlib import Path

from latentpress.batch.estimate.disk import Disk
from latentpress.batch.estimate.estimate import Estimate, estimated, past_error
from latentpress.batch.estimate.loads import Loads
from latentpress.batch.estimate.pace import Pace
from latentpress.batch.executors.local import Settings
from latentpress.batch.ledger.runs import runs
from latentpress.batch.plan.database import Database
from latentpress.engines.choice import engine_of
from latentpress.models import Models
from latentpress.runtime.timings import recalled_timings, timings_file, timings_key


@dataclass(frozen=True)
class Prospect:
    """What a render would take. loads: its work; time: how long; engines: of each bundle's hash, as it would be named."""

    loads: Loads
    disk: Disk
    time: Estimate
    engines: dict[str, str]


def prospect(loads: Loads, disk: Disk, table: Database, models: Models, settings: Settings, cache: Path) -> Prospect:
    """What rendering `loads` would take with these settings; table: the plan's, which sees the ledger's renders.

    Raises UsageError for an engine that cannot run a bundle.
    """
    engines = {digest: engine_of(bundle.info, settings.choice) for digest, bundle in models.by_hash.items()}
    paces = {
        digest: Pace(recalled_timings(timings_file(cache), timings_key(bundle, engines[digest], settings.threads)))
        for digest, bundle in models.by_hash.items()
        if loads.loads
    }
    time = estimated(loads, paces, settings.batch_rows, past_error(runs(table)))
    return Prospect(loads, disk, time, {digest: str(engine) for digest, engine in engines.items()})
