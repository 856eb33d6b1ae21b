"""Tells that a ledger's file is as it was when a render closed it, so that its tables need not be looked through again.

A render leaves a seal beside a large ledger: what the file system says of the file, with the counter of changes that SQLite
keeps in it. Whoever opens the ledger to write breaks the seal first, so a killed render leaves none. A seal is younger than
the file it is of by the file system's own clock, so that what changes the file afterwards gives it another time. Bytes that
change without that, as on a failing disk, are not noticed, as with pictures (pictures/intact.py).
"""

import os
import time
from contextlib import suppress
from pathlib import Path

from latentpress.batch.pictures.intact import stamp_of
from latentpress.files import check_regular

# Bytes from which a ledger is sealed, some 10,000 pictures: a smaller one is looked through in less time than that matters.
LARGE = 1 << 24
# Times to write the seal until it is the younger one: some ten ticks of a clock of 100 Hz; coarser ones have no seals.
_TRIES, _WAIT = 20, 0.005
# The part of a SQLite file's header that counts its changes and its pages: sqlite.org/fileformat2.html
_HEADER = 100


def sealed(ledger: Path) -> bool:
    """Whether the file of `ledger` is as it was when it was sealed."""
    try:
        check_regular(_seal(ledger))
        return _seal(ledger).read_text() == _state(ledger) and not _journal(ledger).exists()
    except (OSError, ValueError):
        return False


def break_seal(ledger: Path) -> None:
    """The ledger is about to be written."""
    with suppress(OSError):  # a seal that cannot be removed is not of what is written now
        _seal(ledger).unlink(missing_ok=True)


def seal(ledger: Path) -> None:
    """The ledger, which was whole when it was opened, was written through SQLite alone and is closed now."""
    with suppress(OSError, ValueError):  # a seal saves time, and no more
        if ledger.stat().st_size < LARGE or _journal(ledger).exists():
            return
        path, state = _seal(ledger), _state(ledger)
        for _ in range(_TRIES):
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
            with os.fdopen(descriptor, "w") as stream:
                stream.write(state)
            of = ledger.lstat()
            if path.lstat().st_mtime_ns > max(of.st_mtime_ns, of.st_ctime_ns):
                return
            time.sleep(_WAIT)
        break_seal(ledger)


def _state(ledger: Path) -> str:
    """What a seal says."""
    with ledger.open("rb") as stream:
        return f"{stamp_of(os.fstat(stream.fileno()))} {stream.read(_HEADER).hex()}\n"


def _seal(ledger: Path) -> Path:
    return ledger.with_name(f"{ledger.name}.seal")


def _journal(ledger: Path) -> Path:
    return ledger.with_name(f"{ledger.name}-journal")
