"""An output folder: a manifest's plan, how far it has come, rendering what is missing, and its contact sheet.

It composes lock, ledger, plan, checks and executor. Planning and status leave nothing behind; `render` alone writes.
"""

import secrets
from collections.abc import Callable, Container
from dataclasses import replace as changed
from pathlib import Path
from typing import TYPE_CHECKING

from latentpress.batch.aside import Aside, orphans
from latentpress.batch.codes import check_codes
from latentpress.batch.ledger.beside import beside
from latentpress.batch.ledger.ledger import Ledger
from latentpress.batch.ledger.lock import locked, read_only
from latentpress.batch.ledger.owners import Owners, manifest_key
from latentpress.batch.place import LEDGER, home_of
from latentpress.batch.plan.plan import Plan
from latentpress.batch.planned import planned
from latentpress.batch.policy import NO_POLICY, Policy
from latentpress.batch.selection import EVERYTHING, Selection
from latentpress.batch.state.quarantine import quarantined, tried
from latentpress.batch.state.sorting import plan_status
from latentpress.batch.state.status import Status
from latentpress.batch.tally import Progress
from latentpress.cache.place import cache_dir
from latentpress.errors import BundleError, ManifestError, UsageError
from latentpress.manifest.manifest import Manifest, read_manifest
from latentpress.models import Models, models_for

if TYPE_CHECKING:  # what rendering needs waits for a render: a plan and a status are asked for often
    from latentpress.batch.estimate.disk import Disk
    from latentpress.batch.estimate.here import Prospect
    from latentpress.batch.executors.local import Engines, Settings
    from latentpress.batch.rehearsal import Rehearsal
    from latentpress.batch.render import Executor
    from latentpress.batch.run import Outcome
    from latentpress.batch.sheets import SheetsDrawn

# A drawn seed fits 32 bits, as the seeds of other tools do, so that it can be carried over to them.
SEED_BITS = 32


def drawn_seed() -> int:
    """A seed for a picture whose manifest asks for one to be drawn."""
    return secrets.randbits(SEED_BITS)


class OutputFolder:
    """The folder `path` and the manifest, read or yet to be read, whose pictures belong in it.

    path: by default out/NAME in the current directory; cache: where derived bundles and calibrations are kept, by
    default `cache_dir()`; models: the manifest's bundles, opened; draw: gives the seeds behind -1; ledger: a folder to
    keep lock and ledger in, as `--ledger` names one; say: hears of what takes a while before there is progress.
    Raises UsageError where `path` is a file, or a second ledger would begin. Every method raises ManifestError for bundles
    that cannot be used; `render` alone hashes their files, once per change.

    >>> import latentpress
    >>> from pathlib import Path
    >>> text = "version: 1\\nmodel: demo\\ndefaults: {prompt: a red heart, steps: 2}\\nmatrix: {seed: 1..3}\\n"
    >>> _ = Path("hearts.yaml").write_text(text)
    >>> folder = latentpress.OutputFolder(latentpress.read_manifest("hearts.yaml"), "out/hearts")
    >>> [job.request.seed for job in folder.plan().jobs]
    [1, 2, 3]
    >>> folder.render().summary
    Summary(done=3, skipped=0, failed=0)
    >>> folder.status().counts
    {'done': 3, 'failed': 0, 'missing': 0, 'earlier': 0, 'other': 0, 'found': 0}
    """

    def __init__(
        self,
        manifest: Manifest | Path | str,
        path: Path | str | None = None,
        *,
        cache: Path | None = None,
        models: Models | None = None,
        ledger: Path | str | None = None,
        draw: Callable[[], int] = drawn_seed,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.manifest = manifest if isinstance(manifest, Manifest) else read_manifest(manifest)
        self.path = Path(path) if path else Path("out") / self.manifest.name
        self._models, self._draw, self._say = models, draw, say
        self._planned: Models | None = None
        if self.path.exists() and not self.path.is_dir():
            raise UsageError(f"{self.path}: is a file, and the output must be a folder; choose another with -o")
        self._cache = cache or cache_dir()
        self._key = manifest_key(self.manifest.path, self.path)
        self._home = home_of(self.path, Path(ledger) if ledger else None)

    @property
    def home(self) -> Path:
        """The folder that has its lock and its ledger, or will."""
        return self._home

    def plan(self) -> Plan:
        """Everything the manifest asks for. Raises ManifestError listing what cannot be rendered."""
        table = beside(self._home / LEDGER, trust_seal=True)
        try:
            facts = self._opened(verify=False).facts
        except BundleError:
            self.check_bundles()
            raise
        return planned(self.manifest, facts, table, self._key, self.path, self._draw)

    @property
    def damage(self) -> tuple[str, ...]:
        """What is wrong with files of the bundles, each with its place, as far as that is seen without reading large ones.

        A plan may be made all the same.
        """
        return self._opened(verify=False).damage

    def check_bundles(self) -> None:
        """Raise ManifestError, as `render` does, for the bundles' `damage`."""
        if self.damage:
            raise ManifestError(list(self.damage))

    def status(self, selection: Selection = EVERYTHING, *, redraw: bool = False) -> Status:
        """The plan, and which of its pictures are done, failed or missing.

        selection: which are asked for, as --only and --limit say; redraw: what `render` would draw anew is missing.
        """
        state = plan_status(self.plan(), self.path, manifest=self._key, redraw=redraw)
        state = changed(state, chosen=selection.jobs(self.manifest, state.plan))
        return changed(state, quarantined=quarantined(state, self.manifest.policy))

    def disk(self, state: Status) -> "Disk":
        """The space that the pictures take which a render of `state` tries."""
        from latentpress.batch.estimate.disk import disk_of
        from latentpress.batch.estimate.loads import loads_of

        return disk_of(loads_of(tried(state)), state.plan.table, self.path)

    def prospect(self, state: Status, settings: "Settings | None" = None) -> "Prospect":
        """What rendering the rest would take on this machine: its work, and its time as far as that is known.

        Without what is quarantined, which a render leaves out.
        Raises UsageError for an engine that cannot run a bundle.
        """
        from latentpress.batch.estimate.disk import disk_of
        from latentpress.batch.estimate.here import prospect
        from latentpress.batch.estimate.loads import loads_of
        from latentpress.batch.executors.local import Settings

        loads, table = loads_of(tried(state)), state.plan.table
        disk = disk_of(loads, table, self.path)
        return prospect(loads, disk, table, self._opened(verify=False), settings or Settings(), self._cache)

    def refuse(
        self, state: Status, settings: "Settings | None" = None, *, mixed: bool = False, replace: bool = False
    ) -> None:
        """Raise where `render` with these arguments would not begin, whatever room and rights there are by then.

        UsageError where a bundle is damaged, names that the plan wants have other owners, or pictures would be made
        otherwise than those that are there; EnvironmentFailure or ModuleNotFoundError where a package is missing.
        """
        from latentpress.batch.executors.local import Settings
        from latentpress.batch.run import Orders, Run

        self.check_bundles()
        orders = Orders(mixed, replace=replace)
        settings = settings or Settings()
        Run(self.manifest, self._key, self.path, self._opened(verify=False), orders, self._home).check(state, settings)
        check_codes(state, allow=settings.allow_code, given=self.manifest.given_codes)

    def orphans(self, state: Status) -> list[str]:
        """The outputs of this manifest's finished pictures that its plan does not want any more, nor takes for others."""
        (finished,) = state.plan.table.one("SELECT count(*) FROM images WHERE status='done'")
        if finished == state.recorded:
            return []
        found = orphans(state.plan.table, self.path, Owners(state.plan, self.path, self._key))
        return [output for output in found if output not in set(state.sources.values())]

    def render(
        self,
        settings: "Settings | None" = None,
        *,
        mixed: bool = False,
        redraw: bool = False,
        replace: bool = False,
        only: Container[str] | None = None,
        any_space: bool = False,
        selection: Selection = EVERYTHING,
        progress: Progress | None = None,
        say: Callable[[str], None] = lambda line: None,
        executor: "Executor | None" = None,
        engines: "Engines | None" = None,
        policy: Policy | None = None,
        retry: bool = False,
    ) -> "Outcome":
        """Render what is missing; safe to interrupt and start again.

        mixed: go on where the folder's pictures were made another way; redraw: render those too that an earlier rule
        (runtime/rules.py) or another export drew, which are kept otherwise; replace: move files that are not this folder's
        out of the way, to .latentpress/replaced; only: the outputs to render, by default all; selection: which
        of them, as --only and --limit say; any_space: begin also where
        the disk has less room than the pictures are expected to take; progress: hears of each picture; say: of warnings and
        choices, a sentence each; executor: renders instead of this process, and answers for the engine it renders on;
        engines: those that renders before this one opened and left open, for this one to go on with; policy: when it ends
        before all is done; what it leaves out the manifest's says; retry: try what is
        quarantined too.
        Raises ManifestError, UsageError and EnvironmentFailure before anything is rendered, and OutputLocked.
        """
        from latentpress.batch.executors.local import Settings
        from latentpress.batch.finished import found_finished
        from latentpress.batch.run import Orders, Run

        if read_only(self.path):
            return found_finished(self.status(selection, redraw=redraw), self.path, say)
        # Told before the folder comes to be.
        models = self._opened(verify=True)
        policy = (policy or NO_POLICY).over(self.manifest.policy)
        orders = Orders(mixed, redraw, replace, only, any_space, selection, policy, retry)
        run = Run(self.manifest, self._key, self.path, models, orders, self._home)
        return run.render(settings or Settings(), self._draw, self._cache, progress, say, executor, engines)

    def rehearse(
        self,
        settings: "Settings | None" = None,
        *,
        mixed: bool = False,
        redraw: bool = False,
        replace: bool = False,
        any_space: bool = False,
        selection: Selection = EVERYTHING,
        policy: Policy | None = None,
        retry: bool = False,
        state: Status | None = None,
    ) -> "Rehearsal":
        """What `render` would do with the same arguments; raises what it would, but for what only opened engines tell.

        state: of the whole plan or of the selection, with the same `redraw`, where it is known already.
        """
        from latentpress.batch.executors.local import Settings
        from latentpress.batch.finished import found_finished
        from latentpress.batch.run import Orders, Run

        orders = Orders(
            mixed, redraw, replace, None, any_space, selection, (policy or NO_POLICY).over(self.manifest.policy), retry
        )
        self.check_bundles()
        state = state or self.status(redraw=redraw)
        if read_only(self.path):
            found_finished(changed(state, chosen=selection.jobs(self.manifest, state.plan)), self.path)
        run = Run(self.manifest, self._key, self.path, self._opened(verify=False), orders, self._home)
        return run.rehearse(state, settings or Settings(), self._cache)

    def sheet(self, *, replace: bool = False) -> Path:
        """As `sheets`; returns the first file."""
        return self.sheets(replace=replace).paths[0]

    def sheets(self, *, replace: bool = False) -> "SheetsDrawn":
        """Draw the manifest's sheets of the plan that was last rendered, whatever has become of its pictures.

        Needs no bundle. replace: move a sheet that is not this manifest's, as `render` does. Raises UsageError where the
        manifest asks for none, or was not rendered here, and OutputLocked while it is.
        """
        from latentpress.batch.sheets import draw_folder

        return draw_folder(self.path, self._home, self.manifest.sheets, self._key, replace=replace)

    def tidy(self) -> tuple[int, Path | None]:
        """Move this manifest's finished pictures that it does not want any more to .latentpress/replaced.

        Returns how many there were, and the folder that has them now.
        """
        with locked(self.path, self._home) as lock, Ledger(self._home / LEDGER) as ledger:
            lock.keep()
            aside = Aside(self.path, ledger)
            for output in self.orphans(self.status()):
                aside.take(output)
            return aside.count, aside.room

    def _opened(self, *, verify: bool) -> Models:
        """The manifest's bundles; verify: to render on, files hashed; else to plan with, and nothing is written."""
        if self._models is not None:
            return self._models
        if verify:
            return models_for(self.manifest, self._cache, say=self._say)
        self._planned = self._planned or models_for(self.manifest, self._cache, verify=False, keep=False, say=self._say)
        return self._planned
