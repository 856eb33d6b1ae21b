"""Moves what is in the way of a picture to `.latentpress/replaced/N/`, a folder for each run. Never deletes anything."""

import os
import threading
from pathlib import Path, PurePosixPath

from latentpress.batch.ledger.ledger import Ledger
from latentpress.batch.ledger.owners import Owners
from latentpress.batch.pictures.intact import Found, look
from latentpress.batch.plan.database import Database
from latentpress.errors import counted
from latentpress.files import OWN_FOLDER, move

REPLACED = f"{OWN_FOLDER}/replaced"
# Where a picture is kept whose name was taken by someone else while it was rendered.
KEPT = f"{OWN_FOLDER}/kept"


class Aside:
    """What one run moves out of the way in the output folder `folder`. Any thread may use it."""

    def __init__(self, folder: Path, ledger: Ledger) -> None:
        self._folder, self._ledger = folder, ledger
        self._turn = threading.Lock()
        self._room: str | None = None
        self.count = 0

    @property
    def line(self) -> str | None:
        """What to tell people; None where nothing was moved."""
        if not self.count:
            return None
        files = counted(self.count, "file was", "files were")
        return f"{files} moved to {self.room}"

    @property
    def room(self) -> Path | None:
        """Where this run moves things; None before the first."""
        return self._folder / self._room if self._room else None

    @property
    def place(self) -> str:
        """As `room`, from the folder; empty before the first."""
        return self._room or ""

    def take(self, name: str) -> None:
        """Move what lies at `name`, below the folder, out of the way; the ledger's row goes with a picture that is whole."""
        with self._turn:
            self._room = self._room or new_room(self._folder)
            self.count += 1
        target = f"{self._room}/{name}"
        made = self._ledger.image(name)
        whole = made is not None and look(f"{self._folder}/{name}", made.file_sha256).found is Found.WHOLE
        if whole:
            self._ledger.moving(name, target)
        move(self._folder / name, self._folder / target, self._folder)
        if whole:
            self._ledger.moved(name)


def new_room(folder: Path) -> str:
    """Where the next run may move things, from the output folder `folder`."""
    rooms = folder / REPLACED
    numbers = [int(room.name) for room in rooms.glob("*") if room.name.isdecimal()] if rooms.exists() else []
    return f"{REPLACED}/{max(numbers, default=0) + 1}"


def in_the_way(folder: Path, name: str) -> str | None:
    """What must be moved before something can be written as `name` below `folder`: a file where a folder is needed, or
    what has the name; None where nothing is."""
    above = [str(parent) for parent in reversed(PurePosixPath(name).parents) if str(parent) != "."]
    files = [one for one in above if os.path.lexists(folder / one) and not (folder / one).is_dir()]
    found = files[0] if files else name
    return found if os.path.lexists(folder / found) else None


def forget_unmoved(ledger: Ledger, folder: Path) -> None:
    """Forget files that a killed run was about to move, and did not."""
    for output in _aside(ledger):
        if not (folder / output).exists():
            ledger.moved(output)


def orphans(table: Database, folder: Path, owners: Owners) -> list[str]:
    """The outputs of finished pictures of the plan's manifest that the plan in `table` has no job for any more."""
    query = (
        "SELECT output, plan_hash FROM images WHERE status='done' AND output NOT IN (SELECT output FROM jobs) "
        "ORDER BY output"
    )
    found = [output for output, plan_hash in table.answers(query) if owners.other(plan_hash) is None]
    return [output for output in found if not output.startswith(f"{OWN_FOLDER}/") and (folder / output).exists()]


def _aside(table: Database) -> list[str]:
    query = "SELECT output FROM images WHERE output LIKE ?"
    return [output for (output,) in table.answers(query, (f"{OWN_FOLDER}/%",))]
