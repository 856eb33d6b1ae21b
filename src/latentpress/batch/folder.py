"""An output folder: a manifest's plan, how far it has come, rendering what is missing, and its contact sheet.

It composes lock, ledger, plan, checks and executor. Planning and status leave nothing behind; `render` alone writes.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from latentpress.batch.jobs import Jobs
from latentpress.batch.ledger import Ledger, beside, draws, ledger_path
from latentpress.batch.lock import locked
from latentpress.batch.plan import Plan, build_plan
from latentpress.batch.progress import Progress, Silence
from latentpress.batch.report import check_space, earlier_line
from latentpress.batch.status import Status, plan_status
from latentpress.errors import UsageError
from latentpress.files import remove_leftovers
from latentpress.manifest.manifest import Manifest, read_manifest
from latentpress.models import Models, cache_dir, models_for

if TYPE_CHECKING:  # what rendering needs waits for a render: a plan and a status are asked for often
    from latentpress.batch.executors.local import Settings
    from latentpress.batch.render import Executor, Summary

# A drawn seed fits 32 bits, as the seeds of other tools do, so that it can be carried over to them.
SEED_BITS = 32


def _draw() -> int:
    return secrets.randbits(SEED_BITS)


@dataclass(frozen=True)
class Outcome:
    """What a render did. sheet: where the contact sheet is, None where the manifest asks for none or a picture failed."""

    plan: Plan
    summary: "Summary"
    sheet: Path | None
    warnings: tuple[str, ...]


class OutputFolder:
    """The folder `path` and the manifest, read or yet to be read, whose pictures belong in it.

    path: by default out/NAME in the current directory; cache: where derived bundles and calibrations are kept, by
    default `cache_dir()`; models: the manifest's bundles, opened; draw: gives the seeds behind -1.
    Raises UsageError where `path` is a file. Every method raises ManifestError for bundles that cannot be used; `render`
    alone hashes their files, once per change.

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
    {'done': 3, 'failed': 0, 'missing': 0, 'earlier': 0}
    """

    def __init__(
        self,
        manifest: Manifest | Path | str,
        path: Path | str | None = None,
        *,
        cache: Path | None = None,
        models: Models | None = None,
        draw: Callable[[], int] = _draw,
    ) -> None:
        self.manifest = manifest if isinstance(manifest, Manifest) else read_manifest(manifest)
        self.path = Path(path) if path else Path("out") / self.manifest.name
        self._models, self._draw = models, draw
        if self.path.exists() and not self.path.is_dir():
            raise UsageError(f"{self.path}: is a file, and the output must be a folder; choose another with -o")
        self._cache = cache or cache_dir()

    def plan(self) -> Plan:
        """Everything the manifest asks for. Raises ManifestError listing what cannot be rendered."""
        table = beside(ledger_path(self.path))
        return build_plan(self.manifest, self._opened(verify=False).facts, draws(table), self._draw, table)

    def status(self) -> Status:
        """The plan, and which of its pictures are done, failed or missing."""
        return plan_status(self.plan(), self.path)

    def render(
        self,
        settings: "Settings | None" = None,
        *,
        mixed: bool = False,
        redraw: bool = False,
        progress: Progress | None = None,
        say: Callable[[str], None] = lambda line: None,
        executor: "Executor | None" = None,
    ) -> Outcome:
        """Render what is missing; safe to interrupt and start again.

        mixed: go on where the folder's pictures were made another way; redraw: render those too that an earlier rule
        (runtime/rules.py) drew, which are kept otherwise; progress: hears of each picture; say: of warnings
        and choices, a sentence each; executor: renders instead of this process, and answers for the engine it renders on.
        Raises ManifestError, UsageError and EnvironmentFailure before anything is rendered, and OutputLocked.
        """
        from latentpress.batch.executors.local import LocalExecutor, Settings
        from latentpress.batch.mixture import refuse_other_engine, refuse_other_rows
        from latentpress.batch.render import Pending, Summary, render
        from latentpress.batch.sheet import make_sheet
        from latentpress.engines.choice import check_prompt_length, engine_of

        settings = settings or Settings()
        # Told before the folder comes to be.
        models = self._opened(verify=True)
        engines = {bundle.hash: engine_of(bundle.info, settings.choice) for bundle in models.bundles.values()}
        with locked(self.path) as lock, Ledger(ledger_path(self.path)) as ledger:
            with ledger.transaction():
                # Seeds are drawn under the lock, or two first runs at once would each freeze their own.
                plan = build_plan(self.manifest, models.facts, draws(ledger), self._draw, ledger)
                for warning in plan.warnings:
                    say(warning)
                state = plan_status(plan, self.path, redraw=redraw)
                for bundle, engine in engines.items():
                    check_prompt_length(engine, plan.chunks.get(bundle, 1))
                    if executor is None and not mixed and (state.left or settings.engine):
                        refuse_other_engine(state, self.path, bundle, str(engine))
                check_space(state, self.path)
                warnings = list(plan.warnings)
                if (line := earlier_line(state)) is not None:
                    warnings.append(line)
                    say(line)

                def told(line: str) -> None:
                    if line.startswith("warning"):
                        warnings.append(line)
                    say(line)

                def accept(bundle: str, row_rule: str) -> None:
                    if not mixed:
                        refuse_other_rows(state, self.path, bundle, row_rule)

                pending = Pending(plan, state, accept)
                chosen = executor or LocalExecutor(models.by_hash, settings, self._cache, told)
                # What cannot be opened is told before the plan is recorded, and before a new folder is worth keeping.
                for bundle in pending.bundles[:1]:
                    pending.make_ready(bundle, chosen)
                ledger.record(plan)
            lock.keep()
            remove_leftovers(self._folders(plan))
            if state.left:
                summary = render(pending, chosen, self.path, ledger, progress or Silence())
            else:
                summary = Summary(0, len(plan.jobs), 0)
            sheet = make_sheet(plan, self.path) if plan.sheet and not summary.failed else None
        # The ledger is closed; what the outcome tells of the plan it reads from beside it.
        kept = beside(ledger_path(self.path))
        return Outcome(replace(plan, jobs=Jobs(kept), table=kept), summary, sheet, tuple(warnings))

    def sheet(self) -> Path:
        """Draw the contact sheet of the finished pictures again. Raises UsageError while one is not done."""
        from latentpress.batch.sheet import make_sheet

        state = self.status()
        if state.left:
            total = len(state.plan.jobs)
            raise UsageError(f"{self.path}: {state.left} of {total} images are not done; render the manifest first")
        with locked(self.path):
            return make_sheet(state.plan, self.path)

    def _opened(self, *, verify: bool) -> Models:
        return self._models or models_for(self.manifest, self._cache, verify=verify)

    def _folders(self, plan: Plan) -> set[Path]:
        """Every folder that a killed render may have left a temp file in."""
        parents = {output.rpartition("/")[0] for (output,) in plan.table.answers("SELECT output FROM jobs")}
        return {self.path, *(self.path / parent for parent in parents)}
