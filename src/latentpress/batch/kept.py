"""The plan that a ledger keeps: while nothing has changed that a plan is made of, it is the plan, and none is made anew.

What a plan is made of: the files that the manifest was read from (manifest/inputs.py), the program and the bundles
(decisive.py), and the drawn seeds. Where anything differs or cannot be told, or the tables are not what was planned, the
caller reads the manifest and plans as ever.
"""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from latentpress.batch.decisive import bundles_data, program, seeds_data
from latentpress.batch.late import LateJobs
from latentpress.batch.ledger.beside import beside
from latentpress.batch.ledger.ledger import Ledger, begun, draws
from latentpress.batch.place import LEDGER, home_of
from latentpress.batch.plan.database import Database
from latentpress.batch.plan.digest import plan_digest
from latentpress.batch.plan.jobs import Jobs
from latentpress.batch.plan.plan import Plan
from latentpress.errors import LatentpressError, LedgerDamaged
from latentpress.files import open_regular
from latentpress.manifest.concepts import ConceptFile
from latentpress.manifest.inputs import Read
from latentpress.manifest.manifest import Manifest
from latentpress.manifest.nodes import Place
from latentpress.manifest.policy import Policy
from latentpress.runtime.facts import Bundles
from latentpress.sheets.spec import Sheet

# As a place is kept: file, line, column.
_Place = tuple[str, int, int]


@dataclass(frozen=True)
class _Kept:
    """What the ledger keeps of a plan and of its manifest, beside the jobs.

    program, bundles, seeds: as decisive.py has them; read: what the manifest was read from; tables: the digest of the plan's
    tables; concepts: token, files, sha256 and place.
    """

    program: list[str]
    read: Read
    bundles: list[list[str]]
    seeds: list[float]
    tables: str
    name: str
    models: dict[str, _Place]
    concepts: list[tuple[str, list[str], str, _Place]]
    output: str
    output_place: _Place
    sheets: tuple[Sheet, ...]
    quality: int | None
    twins: bool
    manifest_warnings: list[str]
    wildcards: bool
    policy: Policy
    plan_hash: str
    warnings: list[str]
    chunks: dict[str, int]
    began: str


_ADAPTER = TypeAdapter(_Kept)


class _Jobs(LateJobs):
    """The jobs of a manifest that the ledger keeps."""

    def __init__(self, path: Path, kept: _Kept) -> None:
        super().__init__(path, kept.read)
        self.kept = kept


def kept_manifest(path: Path, output: Path | None, ledger: Path | None = None) -> Manifest | None:
    """The manifest at `path` as it was when a plan of it was recorded, if nothing that it was read from has changed.

    output: as -o names the folder; ledger: as --ledger does. Its jobs are read where they are asked for, which
    `kept_plan` does not. None where there is no such plan, or it cannot be told.
    """
    if output is not None and "{" in str(output):
        return None
    folder = output or Path("out") / _name_of(path)
    with suppress(LatentpressError, OSError, ValueError):
        home = home_of(folder, ledger)
        if not (home / LEDGER).exists():
            return None
        with beside(home / LEDGER, check=False) as table:
            kept = _read(table)
        if kept is None or kept.program != program(path) or not kept.read.holds():
            return None
        return _manifest(path, kept) if output is not None or kept.name == folder.name else None
    return None


def kept_plan(manifest: Manifest, bundles: Bundles, table: Database, key: str) -> Plan | None:
    """The plan of `manifest`, which `kept_manifest` gave and the ledger calls `key`, as its ledger `table` keeps it.

    bundles: what is known of its bundles now. None where it must be made anew.
    """
    if not isinstance(manifest.jobs, _Jobs):
        return None
    kept = manifest.jobs.kept
    try:
        if _read(table) != kept or kept.bundles != bundles_data(bundles) or kept.seeds != seeds_data(table):
            return None
        # Pictures that `rebuild` found, and no render has met yet, may give draws their seeds.
        unmet = "SELECT 1 FROM images WHERE plan_hash='' AND status='done' AND unseeded IS NOT NULL LIMIT 1"
        if begun(table, key) != kept.began or table.one(unmet) is not None:
            return None
        if not table.sealed and plan_digest(table) != kept.tables:
            return None
        jobs, seeds = Jobs(table), draws(table)
    except LedgerDamaged:  # in the plan's own tables; whoever reads the others has looked through them
        return None
    return Plan(
        name=kept.name,
        jobs=jobs,
        bundles=bundles,
        plan_hash=kept.plan_hash,
        draws=seeds,
        undrawn=0,
        warnings=tuple(kept.warnings),
        sheets=kept.sheets,
        chunks=kept.chunks,
        table=table,
        began=kept.began,
        quality=kept.quality,
    )


def kept_inputs(table: Database) -> tuple[str, Read, list[str]] | None:
    """Of the plan that a ledger, or a database beside one, keeps: its hash, what it was made of, and its bundles' names.

    None where none is kept. Whether the files are still the same is for `Read.holds` to say.
    """
    kept = _read(table)
    return kept and (kept.plan_hash, kept.read, list(kept.models))


def keep_plan(manifest: Manifest, plan: Plan, ledger: Ledger) -> None:
    """Have `ledger`, whose tables are those of `plan` and which has just recorded it, keep what tells it is the same."""
    if isinstance(manifest.jobs, _Jobs):
        if _read(ledger) == manifest.jobs.kept:
            return
        manifest = manifest.jobs.manifest
    inputs = manifest.inputs
    ledger.run("DROP TABLE IF EXISTS kept")
    # The hour at which a render stops is another every day.
    if inputs is None or inputs.manifest() is not manifest or manifest.policy.stop_at is not None:
        return
    if (read := inputs.read()) is None:
        return
    kept = _Kept(
        program=program(manifest.path),
        read=read,
        bundles=bundles_data(plan.bundles),
        seeds=seeds_data(ledger),
        tables=plan_digest(ledger),
        name=manifest.name,
        models={name: _place(place) for name, place in manifest.models.items()},
        concepts=[
            (one.token, [str(file) for file in one.files], one.sha256, _place(one.place)) for one in manifest.concepts
        ],
        output=manifest.output,
        output_place=_place(manifest.output_place),
        sheets=manifest.sheets,
        quality=manifest.quality,
        twins=manifest.twins,
        manifest_warnings=list(manifest.warnings),
        wildcards=manifest.wildcards,
        policy=manifest.policy,
        plan_hash=plan.plan_hash,
        warnings=list(plan.warnings),
        chunks=dict(plan.chunks),
        began=plan.began,
    )
    ledger.run("CREATE TABLE kept (plan TEXT NOT NULL)")
    ledger.run("INSERT INTO kept VALUES (?)", (_ADAPTER.dump_json(kept).decode(),))


def _manifest(path: Path, kept: _Kept) -> Manifest:
    jobs = _Jobs(path, kept)
    return Manifest(
        path=path,
        name=kept.name,
        models={name: Place(*place) for name, place in kept.models.items()},
        concepts=tuple(
            ConceptFile(token, tuple(map(Path, files)), sha256, Place(*place))
            for token, files, sha256, place in kept.concepts
        ),
        output=kept.output,
        output_place=Place(*kept.output_place),
        sheets=kept.sheets,
        expansion=jobs.expansion,
        jobs=jobs,
        warnings=tuple(kept.manifest_warnings),
        wildcards=kept.wildcards,
        policy=kept.policy,
        quality=kept.quality,
        twins=kept.twins,
    )


def _read(table: Database) -> _Kept | None:
    """What a ledger, or a database beside one, keeps; None where that is nothing, or cannot be understood."""
    if not table.answers("PRAGMA table_info(kept)") or (row := table.one("SELECT plan FROM kept")) is None:
        return None
    try:
        return _ADAPTER.validate_json(row[0])
    except (ValueError, TypeError):
        return None


def _place(place: Place) -> _Place:
    return place.file, place.line, place.column


def _name_of(path: Path) -> str:
    """What the manifest at `path` is probably called; `kept_manifest` finds out whether it is."""
    with suppress(OSError), open_regular(path) as stream:
        for line in stream.read(4096).decode(errors="replace").splitlines():
            key, colon, value = line.partition(":")
            if colon and key.strip(" \"'{") == "name":
                return value.split(" #")[0].strip(" \"',}")
    return path.stem
