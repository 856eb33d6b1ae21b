"""Output folders with a date in their names: which one `-o out/{date}` means, tonight and on the next morning."""

import glob
import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

from latentpress.batch.ledger.beside import beside
from latentpress.batch.ledger.ledger import begun
from latentpress.batch.ledger.owners import manifest_key
from latentpress.batch.ledger.runs import FINISHED
from latentpress.batch.place import LEDGER, home_of
from latentpress.batch.plan.plan import now
from latentpress.errors import LatentpressError

# A render that has not ended is gone on with for so long: until the morning after, and not on the next night.
GOES_ON = timedelta(hours=20)
_PARTS = {"{date}": ("????-??-??", r"\d{4}-\d\d-\d\d"), "{time}": ("??-??", r"\d\d-\d\d")}
_PART = re.compile("|".join(map(re.escape, _PARTS)))


def dated(pattern: Path, manifest: Path, *, latest: bool = False) -> Path:
    """The folder that `pattern` means for a manifest, `{date}` and `{time}` in it filled.

    That is the newest one in which a render of the manifest began less than `GOES_ON` ago and has not ended, else one of
    this moment. latest: whether what is there is asked for; then it is the newest one with a render of the manifest.
    """
    text = str(pattern)
    if not _PART.search(text):
        return pattern
    for folder in sorted(_folders(text), reverse=True):
        with suppress(LatentpressError):  # a folder whose ledger cannot be read is not gone on with
            if (_began if latest else _goes_on)(folder, manifest):
                return folder
    moment = dict(zip(_PARTS, now().split(" "), strict=True))
    return Path(_PART.sub(lambda found: moment[found[0]], text))


def _folders(text: str) -> Iterator[Path]:
    """The folders that there are of a pattern."""
    pieces, parts = _PART.split(text), _PART.findall(text)
    searched, checked = glob.escape(pieces[0]), re.escape(pieces[0])
    for part, piece in zip(parts, pieces[1:], strict=True):
        searched += _PARTS[part][0] + glob.escape(piece)
        checked += _PARTS[part][1] + re.escape(piece)
    yield from (Path(found) for found in glob.glob(searched) if re.fullmatch(checked, found))  # noqa: PTH207


def _began(folder: Path, manifest: Path) -> bool:
    """Whether a render of the manifest was begun there."""
    with beside(home_of(folder) / LEDGER) as ledger:
        return begun(ledger, manifest_key(manifest, folder)) is not None


def _goes_on(folder: Path, manifest: Path) -> bool:
    """Whether the last render of the manifest there has not ended, and is not of another night."""
    key = manifest_key(manifest, folder)
    with beside(home_of(folder) / LEDGER) as ledger:
        began = begun(ledger, key)
        last = ledger.one("SELECT end FROM runs WHERE manifest=? ORDER BY run DESC LIMIT 1", (key,))
    if began is None or (last is not None and last[0] == FINISHED):
        return False
    form = "%Y-%m-%d %H-%M"
    return datetime.strptime(now(), form) - datetime.strptime(began, form) < GOES_ON
