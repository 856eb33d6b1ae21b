"""One render of one manifest into its folder, from the lock to the sheet: what is checked, moved, recorded, and when."""

import contextlib
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from latentpress.batch.adopted import record_adopted
from latentpress.batch.aside import Aside, forget_unmoved
from latentpress.batch.beforehand import check_guidance, check_made, check_names, check_writable, linked_lines
from latentpress.batch.codes import check_codes, keep_codes
from latentpress.batch.drift import record_drift
from latentpress.batch.estimate.disk import Disk, check_disk, disk_of
from latentpress.batch.estimate.here import prospect
from latentpress.batch.estimate.loads import Loads, loads_of
from latentpress.batch.executors.choice import executing
from latentpress.batch.executors.local import Engines, Settings
from latentpress.batch.kept import keep_plan
from latentpress.batch.ledger.beside import beside
from latentpress.batch.ledger.ledger import Ledger
from latentpress.batch.ledger.lock import locked
from latentpress.batch.ledger.owners import Owners
from latentpress.batch.ledger.runs import BROKEN, FINISHED, INTERRUPTED, STOPPED, begin_run, end_run
from latentpress.batch.place import LEDGER, home_of
from latentpress.batch.plan.jobs import Jobs
from latentpress.batch.plan.plan import Plan
from latentpress.batch.planned import planned
from latentpress.batch.policy import NO_POLICY, Policy
from latentpress.batch.rehearsal import Rehearsal
from latentpress.batch.render import Pending, Summary, render, take_found
from latentpress.batch.rose import risen
from latentpress.batch.selection import EVERYTHING, Selection
from latentpress.batch.sheets import draw_sheets
from latentpress.batch.state.mixture import export_line, refuse_other_rows
from latentpress.batch.state.quarantine import quarantine_line, quarantined, tried
from latentpress.batch.state.report import earlier_line
from latentpress.batch.state.sorting import plan_status
from latentpress.batch.state.status import Status
from latentpress.batch.summary import overshot_line
from latentpress.batch.tally import Progress, Tally
from latentpress.batch.writers import Writers
from latentpress.errors import LatentpressError, counted
from latentpress.files import OWN_FOLDER, remove_leftovers
from latentpress.manifest.manifest import Manifest
from latentpress.models import Models

if TYPE_CHECKING:
    from latentpress.batch.render import Executor

# Seconds that a render waits for another program to let go of the ledger, once pictures are being made.
_HELD = 600.0


@dataclass(frozen=True)
class Outcome:
    """What a render did.

    sheets: the files of the manifest's sheets, if they were drawn; taken: how many pictures were taken from other names;
    moved: how many files were moved out of the way; tally: how long it took, and why pictures failed.
    """

    plan: Plan
    summary: Summary
    sheets: tuple[Path, ...]
    warnings: tuple[str, ...]
    taken: int = 0
    moved: int = 0
    tally: Tally = field(default_factory=Tally)

    @property
    def sheet(self) -> Path | None:
        """The first of them; None where there is none."""
        return self.sheets[0] if self.sheets else None


@dataclass(frozen=True)
class Orders:
    """What a render may do with what is there; as the arguments of `OutputFolder.render`.

    only: the outputs that are rendered, None for all; selection: which of those; any_space: begin also where the disk has
    less room than is needed; retry: render what is quarantined too.
    """

    mixed: bool = False
    redraw: bool = False
    replace: bool = False
    only: Container[str] | None = None
    any_space: bool = False
    selection: Selection = EVERYTHING
    policy: Policy = NO_POLICY
    retry: bool = False


class Run:
    """A render of `manifest`, which the ledger knows as `key`, into the folder `path`, with its `models`."""

    def __init__(
        self, manifest: Manifest, key: str, path: Path, models: Models, orders: Orders, home: Path | None = None
    ) -> None:
        """home: where lock and ledger lie, by default where the folder has them."""
        self._manifest, self._key, self._path, self._models, self._orders = manifest, key, path, models, orders
        self._home = home or home_of(path)
        self._warnings: list[str] = []

    def render(
        self,
        settings: Settings,
        draw: Callable[[], int],
        cache: Path,
        progress: Progress | None,
        say: Callable[[str], None],
        executor: "Executor | None",
        engines: Engines | None = None,
    ) -> Outcome:
        """See `OutputFolder.render`."""

        def told(line: str) -> None:
            if line.startswith("warning"):
                self._warnings.append(line)
            say(line)

        tally = Tally(progress)
        with contextlib.ExitStack() as held:
            lock = held.enter_context(locked(self._path, self._home))
            ledger = held.enter_context(Ledger(self._home / LEDGER, trust_seal=True))
            aside = Aside(self._path, ledger)
            with ledger.transaction():
                # Seeds are drawn under the lock, or two first runs at once would each freeze their own.
                plan = planned(self._manifest, self._models.facts, ledger, self._key, self._path, draw)
                state = plan_status(plan, self._path, manifest=self._key, redraw=self._orders.redraw)
                asked = self._asked(state)
                state, kept_out = tried(asked), len(asked.quarantined)
                self._tell(state, say)
                self.check(state, settings, checked_engine=executor is None)
                check_codes(state, allow=settings.allow_code or executor is not None, given=self._manifest.given_codes)
                check_writable(state, self._path, self._home)
                loads, disk = self._demand(state)
                if executor is None:
                    check_guidance(loads)
                losses = {one.code.key: one.loss for one in self._manifest.losses}
                kept = held.enter_context(executing(self._models.by_hash, settings, cache, told, engines, losses))
                chosen = executor or kept
                pending = Pending(state, self._unasked(state), self._accepting(state))
                # What cannot be opened is told before the plan is recorded, and before a new folder is worth keeping.
                for bundle in pending.bundles[:1] if state.left else ():
                    pending.make_ready(bundle, chosen, tally)
                self._record(ledger, state)
            lock.keep()
            remove_leftovers(self._folders(plan))
            forget_unmoved(ledger, self._path)
            writers = Writers(state, self._path, ledger, aside, replace=self._orders.replace)
            unasked = self._unasked(state)
            taken = take_found(state, ledger, writers, unasked)
            pending = pending.without({*taken, *unasked})
            summary = Summary(0, state.total, 0)
            if pending.count:
                tally.estimate = prospect(loads, disk, ledger, self._models, settings, cache).time.seconds
                summary = self._rendered(pending, chosen, writers, tally, told)
            else:
                record_drift(plan, self._path, ledger)
            sheets = self._draw_sheets(plan, ledger, aside, told)
            summary = replace(summary, quarantined=kept_out)
            if kept_out:
                told(f"warning: {quarantine_line(kept_out)}")
            for line in (_taken_line(len(taken)), aside.line):
                if line:
                    say(line)
        # The ledger is closed; what the outcome tells of the plan it reads from beside it.
        kept = beside(self._home / LEDGER, check=False)
        plan = replace(plan, jobs=Jobs(kept), table=kept)
        return Outcome(plan, summary, sheets, tuple(self._warnings), len(taken), aside.count, tally)

    def rehearse(self, state: Status, settings: Settings, cache: Path) -> Rehearsal:
        """What a render of `state` would do; raises what it would raise before the engines are opened."""
        asked = self._asked(state)
        state = tried(asked)
        self.check(state, settings)
        check_codes(state, allow=settings.allow_code, given=self._manifest.given_codes)
        check_writable(state, self._path, self._home)
        loads, disk = self._demand(state)
        check_guidance(loads)
        found = prospect(loads, disk, state.plan.table, self._models, settings, cache)
        moved = sum(map(state.asks, {*state.replaced, *(state.taken if self._orders.replace else ())}))
        said = tuple(linked_lines(state, self._path))
        return Rehearsal(asked, found, self._path, self._home / LEDGER, moved, said)

    def _rendered(
        self,
        pending: Pending,
        executor: "Executor",
        writers: Writers,
        tally: Tally,
        told: Callable[[str], None],
    ) -> Summary:
        """Render what is pending; the ledger keeps when, and how it ended."""
        ledger = writers.ledger
        policy = self._orders.policy
        ledger.be_patient(_HELD, lambda line: told(f"warning: {line}"))  # a backup must not end the night
        run = begin_run(ledger, pending.plan.plan_hash, self._key, pending.count, tally.estimate, policy.retries)
        try:
            summary = render(pending, executor, writers, tally, policy)
            record_drift(pending.plan, self._path, ledger)
        except BaseException as error:
            end, why = (BROKEN, str(error) or repr(error)) if isinstance(error, Exception) else (INTERRUPTED, "")
            with contextlib.suppress(LatentpressError, OSError):  # what ended the render is what is told
                end_run(ledger, run, end, why, self._warnings, **_known(tally))
            raise
        for line in filter(None, (overshot_line(tally), *(one.line() for one in risen(ledger)))):
            told(f"warning: {line}")
        end = STOPPED if summary.stopped else FINISHED
        end_run(ledger, run, end, summary.stopped, self._warnings, **_known(tally))
        return summary

    def _draw_sheets(self, plan: Plan, ledger: Ledger, aside: Aside, told: Callable[[str], None]) -> tuple[Path, ...]:
        """Draw the sheets, whatever has become of the pictures, but for a render of a part."""
        if not plan.sheets or not self._orders.selection.whole or self._orders.only is not None:
            return ()
        made = draw_sheets(plan.sheets, self._path, ledger, Owners(plan, self._path, self._key), aside, careful=True)
        for line in made.said:
            told(line)
        return made.paths

    def _tell(self, state: Status, say: Callable[[str], None]) -> None:
        """Say what is unusual about the plan and about what is kept."""
        kept = (earlier_line(state), export_line(state) if self._orders.mixed or not state.left else None)
        for line in (*state.plan.warnings, *linked_lines(state, self._path), *filter(None, kept)):
            self._warnings.append(line)
            say(line)

    def check(self, state: Status, settings: Settings, *, checked_engine: bool = True) -> None:
        """Raise where the render of `state` must not begin. checked_engine: whether the engine of `settings` renders."""
        check_names(self._manifest, state, self._path, self._key, replace=self._orders.replace)
        check_made(state, self._path, self._models, settings, mixed=self._orders.mixed, checked_engine=checked_engine)

    def _demand(self, state: Status) -> tuple[Loads, Disk]:
        """What the render takes of the engines and of the disk; raises EnvironmentFailure where the disk has less room."""
        loads = loads_of(state)
        disk = disk_of(loads, state.plan.table, self._path)
        if not self._orders.any_space:
            check_disk(disk, self._path)
        return loads, disk

    def _accepting(self, state: Status) -> Callable[[str, str], None]:
        def accept(bundle: str, row_rule: str) -> None:
            if not self._orders.mixed:
                refuse_other_rows(state, self._path, bundle, row_rule)

        return accept

    def _record(self, ledger: Ledger, state: Status) -> None:
        """Record the plan, and what the status found out about the pictures that are there."""
        plan = state.plan
        ledger.recognise(state.recognised)
        ledger.record(plan, self._key, {bundle.hash: str(bundle.path) for bundle in self._models.bundles.values()})
        keep_codes(ledger, self._manifest.given_codes)
        keep_plan(self._manifest, plan, ledger)
        ledger.stamp(state.stamps)
        record_adopted(state, ledger)

    def _asked(self, state: Status) -> Status:
        """`state` with the jobs chosen that this render is asked for, and those that it leaves out as quarantined."""
        only, selection = self._orders.only, self._orders.selection
        chosen = selection.jobs(self._manifest, state.plan)
        if only is not None:
            outputs: Sequence[tuple[int, str]] = state.plan.table.answers("SELECT job, output FROM jobs")
            named = {index for index, output in outputs if output in only}
            chosen = frozenset(named if chosen is None else chosen & named)
        state = replace(state, chosen=chosen)
        kept_out = frozenset[int]() if self._orders.retry else quarantined(state, self._orders.policy)
        return replace(state, quarantined=kept_out)

    def _unasked(self, state: Status) -> set[int]:
        """The jobs that this render leaves alone."""
        return set() if state.chosen is None else set(range(1, len(state.plan.jobs) + 1)) - state.chosen

    def _folders(self, plan: Plan) -> set[Path]:
        """Every folder that a killed render may have left a temp file in."""
        # What is left of a name without the characters at its end that are no slash.
        query = "SELECT DISTINCT rtrim(output, replace(output, '/', '')) FROM jobs WHERE instr(output, '/')"
        parents = {parent.rstrip("/") for (parent,) in plan.table.answers(query)}
        return {self._path, self._path / OWN_FOLDER, self._home, *(self._path / parent for parent in parents)}


def _known(tally: Tally) -> dict[str, float | str]:
    """What a render's row in the ledger says of it."""
    made = {"engine": tally.origin.provider, "device": tally.origin.device} if tally.origin else {}
    return {"done": tally.done, "failed": tally.failed, "loading": tally.loading, "seconds": tally.seconds, **made}


def _taken_line(count: int) -> str | None:
    if not count:
        return None
    return f"{counted(count, 'picture was', 'pictures were')} finished under another name, and not rendered again"
