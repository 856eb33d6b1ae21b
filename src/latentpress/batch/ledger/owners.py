"""Which manifest a finished picture was rendered for: an edited manifest may replace its own pictures, not another's."""

import os
from functools import lru_cache
from pathlib import Path
from typing import Protocol

from latentpress.batch.plan.database import Database
from latentpress.batch.plan.sheet_facts import last_plan


def manifest_key(manifest: Path, folder: Path) -> str:
    """A manifest as the ledger of `folder` has it: its path from there, so that both may be moved together."""
    return os.path.relpath(manifest.resolve(), folder.resolve())


class Planned(Protocol):
    """What is asked of a plan: its manifest's name, and the ledger's tables beside its own."""

    @property
    def name(self) -> str: ...
    @property
    def plan_hash(self) -> str: ...
    @property
    def table(self) -> Database: ...


class Owners:
    """The manifests that the ledger of `folder` knows, as the manifest `key` of `plan` sees them."""

    def __init__(self, plan: "Planned", folder: Path, key: str) -> None:
        self._plan, self._folder, self.key = plan, folder, key
        self.other = lru_cache(1024)(self._other)

    def of_manifest(self, manifest: str) -> str | None:
        """The manifest with this key, if it is another one that is still there; None where it is ours.

        A manifest whose file is gone was renamed: nobody can render it again.
        """
        if not self.key or manifest == self.key or not (self._folder / manifest).exists():
            return None
        return f"the manifest {os.path.relpath((self._folder / manifest).resolve())}"

    def planned_alike(self, manifest: str) -> bool:
        """Whether the manifest with this key was the last that was rendered here, and planned the very same pictures."""
        found = last_plan(self._plan.table)
        query = "SELECT 1 FROM plans WHERE plan_hash=? AND manifest=?"
        return found == self._plan.plan_hash and self._plan.table.one(query, (found, manifest)) is not None

    def _other(self, plan_hash: str) -> str | None:
        """As `of_manifest`, of the manifest that a recorded plan is of."""
        query = "SELECT name, manifest FROM plans WHERE plan_hash=?"
        name, manifest = self._plan.table.one(query, (plan_hash,)) or ("", None)
        if manifest is None:  # a ledger of an earlier version has the name alone
            return None if name in ("", self._plan.name) else f"the manifest {name!r}"
        return self.of_manifest(manifest)
