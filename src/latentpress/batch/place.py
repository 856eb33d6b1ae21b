"""Where lock and ledger of an output folder lie: in it, or elsewhere, for a drive that knows no locks.

A folder whose ledger is elsewhere says so in .latentpress/elsewhere.json, which every command follows: no second ledger
begins beside the first. The place elsewhere is a folder for this output folder alone, in one that may hold many.
"""

import hashlib
import json
import os
import socket
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from latentpress.errors import UsageError
from latentpress.files import OWN_FOLDER, make_folders, publish, read_regular, write_durably

LEDGER_VARIABLE = "LATENTPRESS_LEDGER"
LEDGER = "ledger.sqlite"
# In the place elsewhere: the output folder that it is for.
NOTE = "output-folder"
_POINTER = f"{OWN_FOLDER}/elsewhere.json"
_MAX_BYTES = 1 << 16


@dataclass(frozen=True)
class _Pointer:
    """Where a folder's ledger is, as that folder says; host: of the machine that put it there."""

    home: Path
    host: str


def home_of(folder: Path, asked: Path | None = None, *, anew: bool = False) -> Path:
    """The folder that holds lock and ledger of the output folder `folder`, or would; makes nothing.

    asked: what `--ledger` names, else $LATENTPRESS_LEDGER, which is meant for folders that have no ledger yet. anew: the
    ledger may be begun there though it was elsewhere. Raises UsageError where a second ledger would begin.
    """
    named = os.environ.get(LEDGER_VARIABLE)
    rooms = asked or (Path(named) if named else None)
    inside = folder / OWN_FOLDER
    pointer = _pointer(folder)
    if pointer is None:
        if rooms is None or (asked is None and os.path.lexists(inside / LEDGER)):
            return inside
        home = _home(folder, rooms)
        if os.path.lexists(inside / LEDGER):
            raise UsageError(
                f"{folder}: keeps its ledger inside, so --ledger {asked} would begin a second one; leave --ledger out, or "
                f"move {inside / LEDGER} to {home}/ first"
            )
        return home
    moved = rooms / pointer.home.name if rooms else pointer.home
    if pointer.home.is_dir():
        if asked is not None and moved.resolve() != pointer.home.resolve():
            raise UsageError(
                f"{folder}: keeps its ledger in {pointer.home}, and --ledger {asked} would begin a second one; leave "
                f"--ledger out, or move that folder to {asked} first"
            )
        return pointer.home
    if moved.is_dir() or (anew and rooms is not None):
        return moved
    raise UsageError(
        f"{folder}: keeps its ledger in {pointer.home} of the machine {pointer.host}, which is not there; name the folder "
        f"in which {pointer.home.name} lies now with --ledger or {LEDGER_VARIABLE}, or make the ledger again from the "
        f"pictures with `latentpress rebuild {folder} --ledger DIR`"
    )


def settle(folder: Path, home: Path) -> Path:
    """Make the folder `home` for the ledger of `folder`, which remembers it; returns where the ledger is to be.

    That is another place where another process was first, or on another machine.
    """
    own = folder / OWN_FOLDER
    if home == own:
        make_folders(own)
        return own
    make_folders(home)
    with suppress(OSError):  # for people, and for the way out of messages
        write_durably(home / NOTE, f"{folder.resolve()}\n".encode())
    known = _pointer(folder)
    if known is not None and known.home.resolve() == home.resolve():
        return home
    content = json.dumps({"ledger": str(home.resolve()), "host": socket.gethostname()}, indent=1).encode()
    if known is not None:  # it was moved
        write_durably(folder / _POINTER, content)
        return home
    try:
        publish(folder / _POINTER, content)
    except FileExistsError:
        return home_of(folder)
    return home


def output_folder_of(ledger: Path) -> Path:
    """The output folder that the ledger at the path `ledger` is of."""
    if ledger.parent.name != OWN_FOLDER:
        with suppress(OSError, ValueError):
            return Path(read_regular(ledger.with_name(NOTE), _MAX_BYTES).decode().strip())
    return ledger.parent.parent


def _home(folder: Path, rooms: Path) -> Path:
    """The place in `rooms` that is of the output folder alone."""
    path = folder.resolve()
    if rooms.resolve().is_relative_to(path):
        raise UsageError(f"--ledger {rooms}: lies in the output folder {folder}; name a folder elsewhere")
    if rooms.exists() and not rooms.is_dir():
        raise UsageError(
            f"--ledger {rooms}: is a file; name a folder, which may hold the ledgers of many output folders"
        )
    return rooms / f"{path.name}-{hashlib.sha256(os.fsencode(path)).hexdigest()[:12]}"


def _pointer(folder: Path) -> _Pointer | None:
    path = folder / _POINTER
    try:
        data = json.loads(read_regular(path, _MAX_BYTES))
        return _Pointer(Path(data["ledger"]), str(data["host"]))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"{path}: does not say where the ledger is ({error}); move this file away, then make the ledger again from the "
            f"pictures with `latentpress rebuild {folder} --ledger DIR`"
        ) from None
