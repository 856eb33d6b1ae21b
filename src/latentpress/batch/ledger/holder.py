"""Who renders into an output folder, found out without taking its lock: a render that begins must not be refused."""

import os
from contextlib import suppress
from pathlib import Path

from latentpress.files import read_regular

_LOCKS = Path("/proc/locks")
# The lock file holds the number of the process that has it, and nothing when nobody does.
_MAX_BYTES = 64


def holder(home: Path) -> int | None:
    """The process that holds the lock in `home` (batch/place.py), None where no process of this machine does."""
    path = home / "lock"
    try:
        noted = read_regular(path, _MAX_BYTES).decode("ascii", "replace").strip()
    except OSError:
        return None
    if not noted.isdecimal() or not _alive(int(noted)):
        return None
    # A process that was killed leaves its number, which another one may have by now.
    with suppress(OSError, ValueError, IndexError):
        held = [line.split() for line in _LOCKS.read_text().splitlines() if "FLOCK" in line]
        inode = str(path.stat().st_ino)
        if not any(row[4] == noted or row[5].rpartition(":")[2] == inode for row in held):
            return None
    return int(noted)


def stopped(pid: int) -> bool:
    """Whether a process of this machine was stopped, as Ctrl-Z does it, and holds what locks it has; False if unknown."""
    with suppress(OSError, IndexError):
        # "PID (name) STATE ...", where the name may hold anything, proc_pid_stat(5); t is stopped by a debugger.
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] in (b"T", b"t")
    return False


def occupied(folder: Path, home: Path) -> str | None:
    """What a render into `folder` would be refused with now, None where nobody renders there."""
    pid = holder(home)
    return None if pid is None else locked_by(folder, pid)


def locked_by(folder: Path, pid: int | None) -> str:
    """That a process, of this number if that is known, renders into `folder`."""
    process = "another process" if pid is None else f"process {pid}"
    return f"{folder}: {process} renders into this folder; wait for it to end, or choose another with -o"


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (OSError, OverflowError):
        return False
    return True
