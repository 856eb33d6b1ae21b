"""The supplement of a paper from an output folder: pictures, manifest, plan, table, sheets, licences and sums, in a zip.

Nothing is packed that `verify` does not pass, and no path of this machine.
"""

import os
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path, PurePosixPath
from typing import Any

from latentpress.batch.cells import FolderCells, cells_of, check_folder
from latentpress.batch.ledger.beside import beside
from latentpress.batch.ledger.holder import holder
from latentpress.batch.ledger.ledger import documents
from latentpress.batch.place import LEDGER, home_of
from latentpress.batch.plan.database import Database
from latentpress.batch.plan.identity import hashed_data
from latentpress.batch.plan.job import request_data
from latentpress.batch.plan.jobs import Jobs
from latentpress.batch.plan.sheet_facts import facts_of, has_plan
from latentpress.batch.proof.verify import Verified, verify
from latentpress.errors import EnvironmentFailure, LatentpressError, OutputLocked, UsageError, one_line
from latentpress.files import OWN_FOLDER
from latentpress.results.archive import Archive, archive, room_for
from latentpress.results.pack_inputs import Inputs, LeftOut, inputs_of
from latentpress.results.pack_readme import Bundle, Made, Told, readme
from latentpress.results.tables import json_line
from latentpress.sheets import text as sheet_text
from latentpress.sheets.cells import DONE
from latentpress.sheets.moved import is_source, moved
from latentpress.sheets.table import table_bytes

# Bytes of an input that is packed, unless another number is given.
LARGEST = 256_000_000
PICTURES, SHEETS, LICENCES = "pictures", "sheets", "licences"
_SHOWN = 5
# As much as is written beside pictures, for each of them: plan, table and sums.
_BESIDE = 4096


class NotWhole(LatentpressError):
    """A folder holds something else than what was written, so that it is not packed."""


@dataclass(frozen=True)
class Packed:
    """What was packed. top: the folder in it; files: with the sums; pictures: of the plan that are there, of `total`."""

    path: Path
    top: str
    files: int
    pictures: int
    total: int
    bytes: int
    changed: Sequence[str]
    left_out: Sequence[LeftOut]

    def lines(self) -> Iterator[str]:
        """As people read it."""
        for name in self.changed:
            yield f"{name}: whole paths are written as they are seen from it"
        for one in self.left_out:
            yield f"left out: {one_line(one.name)}: {one.why}"
        counts = f"{self.pictures:,} of {self.total:,} pictures, {self.files:,} files, {self.bytes:,} bytes"
        yield f"{self.path}: {counts}; unzip it, then `cd {shlex.quote(self.top)} && sha256sum -c SHA256SUMS`"

    def data(self) -> dict[str, Any]:
        """As JSON data."""
        left = [
            {"name": one.name, "why": one.why, "sha256": one.sha256 or None, "bytes": one.size or None}
            for one in self.left_out
        ]
        counts = {"files": self.files, "pictures": self.pictures, "total": self.total, "bytes": self.bytes}
        return {"path": str(self.path), "folder": self.top, **counts, "changed": list(self.changed), "left_out": left}


def pack(folder: Path | str, target: Path | str, without: Sequence[str] = (), largest: int = LARGEST) -> Packed:
    """Write the zip `target` from an output folder, whole or not at all, and only read the folder.

    without: patterns of inputs to leave out, by their names in the zip; largest: bytes of an input that is packed.
    Raises UsageError for a name that is taken and a folder without plan or manifest, NotWhole where `verify` does not
    pass, OutputLocked during a render, and EnvironmentFailure where the disk has no room.
    """
    folder, target = Path(folder), Path(target)
    _check_target(target)
    home = home_of(folder)
    check_folder(folder, home / LEDGER)
    if (pid := holder(home)) is not None:
        raise OutputLocked(f"{folder}: process {pid} renders into it; pack it when that has ended")
    verified = verify(folder)
    _check(verified)
    with beside(home / LEDGER) as table:
        facts = facts_of(table) if has_plan(table) else None
        if facts is None:
            raise UsageError(f"{folder}: its ledger holds no plan, or an earlier version's; render its manifest again")
        shown = cells_of(table, folder)
        inputs = inputs_of(folder, shown.manifest or "", facts.plan_hash, table, without, largest)
        told = _told(shown, inputs, table, verified)
        size = sum(one.size for one in inputs.files) + _size(table) + _BESIDE * len(shown.cells.cells)
        if not room_for(target, size):
            raise EnvironmentFailure(
                f"{target}: the disk has no room for about {size:,} bytes; name another place with -o"
            )
        try:
            with archive(target, told.name, list(inputs.private)) as out:
                pictures = _fill(out, folder, shown, inputs, told, table)
        except FileExistsError:
            raise _taken(target) from None
    done = len([cell for cell in shown.cells.cells if cell.state == DONE])
    total = len(shown.cells.cells)
    assert pictures == done
    return Packed(
        target,
        told.name,
        out.files,
        done,
        total,
        target.stat().st_size,
        inputs.changed,
        told.left_out,
    )


def _check_target(target: Path) -> None:
    if target.suffix.lower() != ".zip":
        raise UsageError(f"-o {target}: the pack is a zip; give a name that ends in .zip")
    if os.path.lexists(target):
        raise _taken(target)
    if not target.parent.is_dir():
        raise UsageError(f"-o {target}: there is no folder {target.parent}; make it first")


def _taken(target: Path) -> UsageError:
    return UsageError(f"-o {target}: exists already, and nothing is written over; give another name, or move it away")


def _check(found: Verified) -> None:
    if found.right:
        return
    flaws = [*found.flaws, *found.documents, *found.aside]
    named = "; ".join(" ".join(flaw.line.split()) for flaw in flaws[:_SHOWN])
    more = f"; and {len(flaws) - _SHOWN} more" if len(flaws) > _SHOWN else ""
    raise NotWhole(
        f"{found.folder}: holds something else than what was written, and is not packed: {named}{more}; "
        f"`latentpress verify {found.folder} --repair` makes it right"
    )


def _size(table: Database) -> int:
    return int(table.one(f"SELECT total(file_size) FROM images WHERE output NOT LIKE '{OWN_FOLDER}/%'")[0])


def _fill(out: Archive, folder: Path, shown: FolderCells, inputs: Inputs, told: Told, table: Database) -> int:
    """Write all files, in the order of their names; returns how many are pictures."""
    out.add_text("README.md", inputs.told(readme(told)))
    out.add_text("cells.csv", inputs.told(table_bytes(shown.cells, shown.cells.cells, "csv").decode()))
    for name, content in _licences(told):
        out.add_text(f"{LICENCES}/{name}", content)
    for one in inputs.files:
        if one.text is None:
            out.copy(one.name, one.path, one.sha256)
        else:
            content = one.text.encode(errors="surrogateescape")
            out.add(one.name, [content], len(content))
    pictures = 0
    query = "SELECT file_sha256 FROM images WHERE output=? AND status='done'"
    for output in sorted(str(cell.output) for cell in shown.cells.cells if cell.state == DONE):
        out.copy(f"{PICTURES}/{output}", folder / output, table.one(query, (output,))[0])
        pictures += 1
    out.add("plan.jsonl", (inputs.told(line).encode() for line in _plan(table)))
    for name in told.sheets:
        if is_source(name):
            seen = os.path.relpath(PICTURES, PurePosixPath(SHEETS, name).parent)
            text = moved((folder / name).read_text("utf-8", "surrogateescape"), name, seen)
            out.add_text(f"{SHEETS}/{name}", text)
        else:
            out.copy(f"{SHEETS}/{name}", folder / name)
    return pictures


def _plan(table: Database) -> Iterator[str]:
    """A line for each job: what it is called, and everything that decides its pixels."""
    for job in Jobs(table):
        line = {"output": str(job.output), "id": job.id, "job_hash": job.job_hash, "labels": dict(job.labels)}
        yield json_line(line | {"request": hashed_data(request_data(job.request))}) + "\n"


def _licences(told: Told) -> Iterator[tuple[str, str]]:
    """Of what the pictures and sheets come from, as far as it comes with latentpress."""
    if any(bundle.builtin for bundle in told.bundles):
        card = Path(__file__).parents[1] / "export" / "demo_data" / "MODEL_CARD.md"
        yield "demo-model.md", card.read_text(encoding="utf-8")
    try:
        package = distribution("latentpress")
        texts = [file for file in package.files or () if file.name == "LICENSE" and "licenses" in file.parts]
        if texts:
            yield "latentpress.txt", Path(str(package.locate_file(texts[0]))).read_text(encoding="utf-8")
    except PackageNotFoundError:  # run from its sources
        pass
    if told.sheets:
        yield "noto-sans.txt", (Path(sheet_text.__file__).parent / "noto" / "OFL.txt").read_text(encoding="utf-8")


def _told(shown: FolderCells, inputs: Inputs, table: Database, verified: Verified) -> Told:
    """What the README says."""
    cells = shown.cells
    contents = " ".join(row[0] for row in table.answers("SELECT DISTINCT contents FROM shapes"))
    bundles = [_bundle(content, table) for content in dict.fromkeys(contents.split())]
    joined = "FROM images JOIN jobs USING (output, job_hash) WHERE status='done'"
    made = [
        Made(*row)
        for row in table.answers(
            "SELECT provider, coalesce(device, ''), coalesce(versions, ''), coalesce(row_rule, ''), count(*) "
            f"{joined} GROUP BY 1, 2, 3, 4 ORDER BY 5 DESC, 1, 2, 3, 4"
        )
    ]
    sheets = sorted(documents(table))
    finished = {str(cell.output) for cell in cells.cells if cell.state == DONE}
    others = table.answers(f"SELECT output FROM images WHERE status='done' AND output NOT LIKE '{OWN_FOLDER}/%'")
    left_out = [*inputs.left_out]
    left_out += [
        LeftOut(f"{PICTURES}/{output}", "it is not of the plan that was rendered last")
        for (output,) in others
        if output not in finished
    ]
    left_out += [LeftOut(name, "latentpress did not write it") for name in verified.unknown if name not in finished]
    left_out += [LeftOut(name, "a bundle; README.md says which") for name in inputs.models if name != "demo"]
    drawn = table.one("SELECT 1 FROM seeds LIMIT 1") is not None
    states: dict[str, int] = {}
    for cell in cells.cells:
        states[cell.state] = states.get(cell.state, 0) + 1
    return Told(cells, inputs, bundles, made, sheets, states, drawn, left_out)


def _bundle(content: str, table: Database) -> Bundle:
    name, source = table.one("SELECT name, source FROM bundles WHERE content=?", (content,)) or ("", "")
    return Bundle(content, name, source)
