"""What of the cache may go, and why; and its removal. What is in use stays, and so does whatever is not ours."""

import contextlib
import json
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from latentpress.bundle.verified import FOLDER as VERIFIED
from latentpress.bundle.verified import INFO_FILE
from latentpress.cache.entries import CONCEPTS, COPY, DEMO, GRADIENTS, LEFTOVER, Entry
from latentpress.files import MAX_JSON_BYTES, TEMP_PREFIX, read_regular
from latentpress.folders import abandoned, remove_folder

DAYS = 30
_DAY = 86_400.0
# A file that is written beside its place is there for milliseconds; what an earlier version left has no lock to tell by.
_HOUR = 3_600.0


def removable(found: Iterable[Entry], days: float = DAYS, now: float | None = None) -> Iterator[tuple[Entry, str]]:
    """What of `found` may go, each with the reason.

    days: for how long it was not used; now: in seconds since 1970, by default the clock's.
    """
    now = time.time() if now is None else now
    for entry in found:
        if (why := _why(entry, days, now)) is not None:
            yield entry, why


def remove(entry: Entry) -> bool:
    """Remove what `removable` named; False where it is in use."""
    if entry.path.is_symlink() or not entry.path.is_dir():
        entry.path.unlink(missing_ok=True)
        return True
    return remove_folder(entry.path)


def forget_gone(cache: Path) -> int:
    """Remove what is remembered of bundles that are not there any more; returns of how many."""
    count = 0
    for note in (cache / VERIFIED).glob("*.json"):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            data: Any = json.loads(read_regular(note, MAX_JSON_BYTES))
            if not (Path(data["bundle"]) / INFO_FILE).exists():
                note.unlink()
                count += 1
    return count


def _why(entry: Entry, days: float, now: float) -> str | None:
    idle = now - entry.used
    if entry.kind == LEFTOVER:
        ours = entry.path in set(abandoned(entry.path.parent))
        enough = _HOUR if entry.path.name.startswith(TEMP_PREFIX) else _DAY
        return entry.about if ours or idle > enough else None
    if entry.kind == CONCEPTS and entry.base is not None and not (entry.base / INFO_FILE).exists():
        return f"its bundle {entry.base} is gone"
    if entry.kind == COPY:
        return "a full copy of its bundle, of an earlier version; a small one takes its place when it is needed"
    if entry.kind in (CONCEPTS, DEMO, GRADIENTS) and idle > days * _DAY:
        return f"not used for {idle / _DAY:.0f} days"
    return None
