"""What must hold before a render begins, as far as that can be told without opening engines and without writing.

`render` and `plan` ask the same, so that a plan which passes can be rendered. What only opened engines tell is not here.
"""

import errno
import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path, PurePath

from latentpress.batch.estimate.loads import Loads
from latentpress.batch.executors.local import Settings
from latentpress.batch.ledger.owners import Owners
from latentpress.batch.occupied import refuse_occupied
from latentpress.batch.pictures.encode import check_format
from latentpress.batch.sheets import refuse_sheets
from latentpress.batch.state.mixture import refuse_other_engine, refuse_other_export, refuse_other_rows
from latentpress.batch.state.status import FOUND, Status
from latentpress.engines.choice import check_installed, check_prompt_length, engine_of
from latentpress.engines.strict import UNTESTED
from latentpress.errors import UsageError
from latentpress.files import OWN_FOLDER
from latentpress.manifest.manifest import Manifest
from latentpress.models import Models
from latentpress.sheets.draw import check_packages


def check_names(manifest: Manifest, state: Status, folder: Path, key: str, *, replace: bool) -> None:
    """Raise where a file cannot be written in its format, or its name has another owner. replace: which may be moved."""
    check_format(PurePath(manifest.output))
    for link, target in _links(state, folder):
        if not target.is_dir():
            raise UsageError(
                f"{link}: is a link to {target}, which is no folder, and pictures belong there; make that folder, or "
                "move the link away"
            )
    owners = Owners(state.plan, folder, key)
    refuse_occupied(state, folder, owners, replace=replace)
    check_packages(state.plan.sheets)
    if not replace:
        refuse_sheets(state.plan.sheets, state.plan.table, folder, owners)


def linked_lines(state: Status, folder: Path) -> Iterator[str]:
    """Which folders of pictures lead out of the output folder, and where to: a warning each."""
    inside = folder.resolve()
    for link, target in _links(state, folder):
        if not target.is_relative_to(inside):
            yield f"warning: {link} is a link, and its pictures are written to {target}; nothing there is replaced"


def check_made(
    state: Status, folder: Path, models: Models, settings: Settings, *, mixed: bool, checked_engine: bool = True
) -> None:
    """Raise where an engine cannot render its bundle here, or would make other pixels than the folder's pictures have.

    mixed: the folder may hold both; checked_engine: whether it is the engine of `settings` that renders.
    """
    for bundle in models.bundles.values():
        engine = engine_of(bundle.info, settings.choice)
        check_prompt_length(engine, state.plan.chunks.get(bundle.hash, 1))
        if not checked_engine:
            continue
        if state.left:
            check_installed(engine)
        if not mixed and (state.left or settings.engine):
            refuse_other_engine(state, folder, bundle.hash, str(engine))
        if not mixed and state.left and not settings.strict:  # which fixes no rows, whatever the engine's are
            refuse_other_rows(state, folder, bundle.hash, UNTESTED)
    if state.left and not mixed:
        refuse_other_export(state, folder)


def check_guidance(loads: Loads) -> None:
    """Raise ModuleNotFoundError where a picture that is to be rendered has a loss, and torch is missing."""
    guided = any(kind.work.gradients for load in loads.loads for kind in load.kinds)
    if guided and find_spec("torch") is None:
        raise ModuleNotFoundError("No module named 'torch'", name="torch")


def check_writable(state: Status, folder: Path, home: Path) -> None:
    """Raise PermissionError, as writing would, where the output folder cannot be made or written to, and must be.

    home: the folder of its lock and its ledger (batch/place.py).
    """
    for path in (folder / OWN_FOLDER, home, folder) if state.left else ():
        missing = next((one for one in (*reversed(path.parents), path) if not os.path.lexists(one)), None)
        there = path if missing is None else missing.parent
        if not os.access(there, os.W_OK | os.X_OK):
            read_only = os.statvfs(there).f_flag & os.ST_RDONLY
            code = errno.EROFS if read_only else errno.EACCES
            raise PermissionError(code, os.strerror(code), str(missing or path))


def _links(state: Status, folder: Path) -> list[tuple[Path, Path]]:
    """The links among the folders, below the output folder, that pictures are written to, and where each leads."""
    if not (state.left or state.counts[FOUND]) or not folder.is_dir():
        return []
    # What is left of a name without the characters at its end that are no slash.
    query = "SELECT DISTINCT rtrim(output, replace(output, '/', '')) FROM jobs WHERE instr(output, '/')"
    parents = {Path(parent) for (parent,) in state.plan.table.answers(query)}
    below = sorted({one for parent in parents for one in (parent, *parent.parents)} - {Path()})
    return [(folder / one, (folder / one).resolve()) for one in below if (folder / one).is_symlink()]
