"""The plan of a manifest for its output folder: the one that the ledger keeps while it holds, or else a new one."""

from collections.abc import Callable
from pathlib import Path

from latentpress.batch.kept import kept_plan
from latentpress.batch.ledger.ledger import begun, draws
from latentpress.batch.ledger.lost_seeds import lost_seeds
from latentpress.batch.plan.database import Database
from latentpress.batch.plan.plan import Plan, build_plan
from latentpress.manifest.manifest import Manifest
from latentpress.runtime.facts import Bundles


def planned(
    manifest: Manifest, bundles: Bundles, table: Database, key: str, folder: Path, draw: Callable[[], int]
) -> Plan:
    """The plan of `manifest`, which the ledger of `folder` calls `key`.

    table: that ledger, or a database beside it; draw: gives seeds still to be drawn. Raises as `build_plan` does.
    """
    if (kept := kept_plan(manifest, bundles, table, key)) is not None:
        return kept
    found = lost_seeds(manifest, table, folder)
    return build_plan(manifest, bundles, draws(table), draw, table, found, begun(table, key))
