"""Puts right what `verify` found: copies what lies whole elsewhere in the folder, and renders the rest by its manifests.

What lies in the place of a picture is moved to .latentpress/replaced; nothing else is touched.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from latentpress.batch.aside import Aside, in_the_way
from latentpress.batch.executors.local import Settings
from latentpress.batch.folder import OutputFolder
from latentpress.batch.ledger.ledger import Ledger, ledger_path
from latentpress.batch.ledger.lock import locked
from latentpress.batch.pictures.intact import MAX_BYTES, stamp_of
from latentpress.batch.proof.scan import files_aside, files_below, in_threads
from latentpress.batch.proof.verify import MISSING, Flaw, Verified, verify
from latentpress.engines.choice import engine_called, gradient_called
from latentpress.errors import LatentpressError, one_line, short
from latentpress.files import publish, read_regular

if TYPE_CHECKING:
    from latentpress.batch.render import Executor
    from latentpress.models import Models

# Names that a sentence lists at most.
_LISTED = 5


@dataclass
class Repaired:
    """What a repair did. copied, rendered, drawn: names of pictures, and of documents; moved: how many files were moved out
    of the way; notes: why others could not be made again, a sentence each; after: what a look at everything found then."""

    after: Verified
    copied: list[str] = field(default_factory=list[str])
    rendered: list[str] = field(default_factory=list[str])
    drawn: list[str] = field(default_factory=list[str])
    moved: int = 0
    notes: list[str] = field(default_factory=list[str])

    def data(self) -> dict[str, Any]:
        """As JSON data, without `after`."""
        names = ("copied", "rendered", "drawn", "moved", "notes")
        return {name: getattr(self, name) for name in names}


def repair(
    found: Verified,
    *,
    models: "Models | None" = None,
    executor: "Executor | None" = None,
    allow_code: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> Repaired:
    """Make exactly those pictures and documents again that `found` names, as far as that can be done.

    models, executor: as `OutputFolder` and its `render` take them; by default each picture is rendered on the engine that
    the ledger says it was rendered on; allow_code: run the code of people's own losses also where the user does not trust
    it. Raises OutputLocked, and as the opening of a ledger does.
    """
    done = Repaired(found)
    if found.right:
        return done
    repairing = _Repairing(found.folder, done, models, executor, allow_code, say)
    if wrong := [flaw.output for flaw in found.flaws if flaw.written]:
        done.notes.append(
            f"{found.folder}: of {_listed(wrong)} the ledger is wrong; `latentpress rebuild {found.folder}` believes the "
            "pictures"
        )
    flaws = [flaw for flaw in found.flaws if not flaw.written]
    left = repairing.copy(flaws) if flaws else []
    if left:
        repairing.render(left)
    if found.documents:
        repairing.draw(found.documents)
    if found.aside:
        names = _listed([flaw.output for flaw in found.aside])
        done.notes.append(
            f"{found.folder}: {names} cannot be made again, for no job wants them any more; delete them if you do not"
        )
    done.after = verify(found.folder)
    return done


class _Repairing:
    """One repair of `folder`, which notes in `done` what it does."""

    def __init__(
        self,
        folder: Path,
        done: Repaired,
        models: "Models | None",
        executor: "Executor | None",
        allow_code: bool,
        say: Callable[[str], None],
    ) -> None:
        self._folder, self._done, self._models, self._executor, self._say = folder, done, models, executor, say
        self._allow_code = allow_code

    def copy(self, flaws: Sequence[Flaw]) -> list[str]:
        """Give each picture whose content lies whole under another name a copy of that; returns the others."""
        with locked(self._folder) as lock, Ledger(ledger_path(self._folder)) as ledger:
            lock.keep()
            # The file system may say of these that nothing happened to them: no stamp is to be trusted from here on.
            ledger.stamp((flaw.output, "") for flaw in flaws)
            wanted = [ledger.image(flaw.output) for flaw in flaws]
            sums = {made.output: made.file_sha256 for made in wanted if made is not None and made.file_sha256}
            places = self._places(set(sums.values()))
            copied = {output: places[sha256] for output, sha256 in sums.items() if sha256 in places}
            # All are moved first: what was swapped is each other's source.
            aside = Aside(self._folder, ledger)
            moved: list[str] = []
            for output in copied:
                if (found := in_the_way(self._folder, output)) is not None:
                    aside.take(found)
                    moved.append(found)
            for output, source in copied.items():
                for found in moved:
                    if source == found or source.startswith(f"{found}/"):
                        source = f"{aside.place}/{source}"
                content = read_regular(self._folder / source, MAX_BYTES)
                if hashlib.sha256(content).hexdigest() == sums[output]:
                    state = publish(self._folder / output, content, self._folder)
                    ledger.stamp([(output, stamp_of(state))])
                    self._done.copied.append(output)
            self._done.moved += aside.count
        return [flaw.output for flaw in flaws if flaw.output not in set(self._done.copied)]

    def _places(self, wanted: set[str]) -> dict[str, str]:
        """sha256 -> where a file with this content lies, in the folder or in .latentpress."""

        def summed(name: str) -> tuple[str, str]:
            try:
                content = read_regular(self._folder / name, MAX_BYTES)
            except OSError:
                return name, ""
            return name, hashlib.sha256(content).hexdigest()

        places: dict[str, str] = {}
        for names in (files_below(self._folder), files_aside(self._folder)):
            for name, sha256 in in_threads(summed, names):
                if sha256 in wanted:
                    places.setdefault(sha256, name)
        return places

    def render(self, outputs: Sequence[str]) -> None:
        """Render `outputs` again, those of each manifest and engine together."""
        groups: dict[tuple[str | None, str, str, str | None], dict[str, str]] = {}
        query = (
            "SELECT manifest, provider, coalesce(row_rule, ''), losses, gradient, job_hash FROM images "
            "LEFT JOIN plans USING (plan_hash) WHERE output=?"
        )
        with Ledger(ledger_path(self._folder)) as ledger:
            for output in outputs:
                manifest, provider, row_rule, losses, gradient, job_hash = ledger.one(query, (output,))
                computed = gradient_called(gradient or "") if losses else None
                groups.setdefault((manifest, engine_called(provider), row_rule, computed), {})[output] = job_hash
        for (manifest, engine, row_rule, computed), hashes in groups.items():
            rows = int(row_rule) if row_rule.isdigit() else None
            settings = Settings(engine or None, rows, strict=rows is not None, gradient=computed)
            settings = replace(settings, allow_code=self._allow_code)
            try:
                self._render(manifest, Settings() if self._executor else settings, hashes)
            except LatentpressError as error:
                self._done.notes.append(f"{_listed(list(hashes))} cannot be made again: {error}")

    def _render(self, manifest: str | None, settings: Settings, hashes: Mapping[str, str]) -> None:
        folder = self._opened(manifest, list(hashes))
        if folder is None:
            return
        jobs = dict(folder.plan().table.answers("SELECT output, job_hash FROM jobs"))
        only = {output for output, job_hash in hashes.items() if jobs.get(output) == job_hash}
        if others := [output for output in hashes if output not in only]:
            self._done.notes.append(
                f"{folder.manifest.path}: {_listed(others)} cannot be made again, for no job in the manifest is theirs any "
                "more; write it as it was then, and run this again"
            )
        if not only:
            return
        outcome = folder.render(settings, mixed=True, replace=True, only=only, say=self._say, executor=self._executor)
        finished = {output for (output,) in outcome.plan.table.answers("SELECT output FROM images WHERE status='done'")}
        self._done.rendered += sorted(only & finished)
        self._done.moved += outcome.moved
        if failed := sorted(only - finished):
            self._done.notes.append(
                f"{self._folder}: {_listed(failed)} failed; `latentpress status` lists such pictures"
            )

    def draw(self, flaws: Sequence[Flaw]) -> None:
        """Draw documents again."""
        for flaw in flaws:
            with Ledger(ledger_path(self._folder)) as ledger:
                (manifest,) = ledger.one("SELECT manifest FROM documents WHERE output=?", (flaw.output,))
            try:
                if (folder := self._opened(manifest, [flaw.output])) is not None:
                    folder.sheet(replace=True)
                    self._done.moved += flaw.state != MISSING
                    self._done.drawn.append(flaw.output)
            except LatentpressError as error:
                self._done.notes.append(f"{one_line(flaw.output)} cannot be drawn again: {error}")

    def _opened(self, manifest: str | None, names: list[str]) -> OutputFolder | None:
        """The folder as `manifest` sees it; None, with a note, where nobody knows it or it is gone."""
        path = self._folder / manifest if manifest else None
        if path is None or not path.exists():
            which = f"their manifest {path} is gone" if path else "the ledger does not say of which manifest they are"
            self._done.notes.append(
                f"{self._folder}: {_listed(names)} cannot be made again, for {which}; `latentpress render` the manifest, "
                "whatever it is called now, or `latentpress rerender` a picture that is still whole elsewhere"
            )
            return None
        return OutputFolder(path.resolve(), self._folder, models=self._models)


def _listed(names: Sequence[str]) -> str:
    listed = ", ".join(one_line(short(name)) for name in names[:_LISTED])
    more = len(names) - _LISTED
    return f"{listed} and {more:,} more" if more > 0 else listed
