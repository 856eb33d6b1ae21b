"""A ledger as those see it who only read: a temporary database for the plan, with the ledger's tables as views."""

from pathlib import Path

from latentpress.batch.ledger import schema
from latentpress.batch.ledger.holder import holder, stopped
from latentpress.batch.ledger.ledger import check_version
from latentpress.batch.ledger.seal import sealed
from latentpress.batch.plan.database import Database, check_database
from latentpress.errors import EnvironmentFailure

# Tables since a version of the ledger -> what makes them, empty.
_SINCE = {4: (("bundles", "documents"), schema.ADDED), 5: (("runs",), schema.RUNS + schema.TOLD)}
# Columns of `runs` that those of version 5 lack.
_TOLD = ", NULL AS retries, NULL AS why, NULL AS warnings"


def beside(path: Path, *, check: bool = True, trust_seal: bool = False) -> Database:
    """A temporary database for a plan, which sees the tables of the ledger at `path` and writes nothing there.

    check: whether the tables are looked through for damage, which is not needed of a ledger that was open until now;
    trust_seal: nor of one that is as it was when it was sealed (seal.py).
    Raises as `Ledger` does.
    """
    if not path.exists():
        database = Database(None)
        database.script(schema.TABLES)
        return database
    check_database(path, path)
    try:
        return _attached(path, check, trust_seal)
    except EnvironmentFailure:
        if (owner := holder(path.parent)) is not None and stopped(owner):
            raise EnvironmentFailure(
                f"{path}: process {owner}, which renders into this folder, was stopped while it wrote the ledger; "
                f"let it go on (`fg` in its shell, or `kill -CONT {owner}`), then run the same command"
            ) from None
        # A killed render leaves its journal, which must be rolled back before anyone can read; that is all that is done.
        with Database(path) as killed:
            killed.answers("SELECT name FROM sqlite_master")
        return _attached(path, check, trust_seal)


def _attached(path: Path, check: bool, trust_seal: bool) -> Database:
    database = Database(None, shown=path)
    try:
        database.run("ATTACH ? AS ledger", (f"{path.resolve().as_uri()}?mode=ro",))
        version = database.one("PRAGMA ledger.user_version")[0]
        check_version(version, path)
        if version == 0:  # killed before it had a table
            database.script(schema.TABLES)
            return database
        database.sealed = trust_seal and sealed(path)
        if check and not database.sealed:
            database.check_tables(*schema.tables_of(version), schema="ledger")
        lacking = {"manifest": 3, "began": 4}
        more = ", ".join(name if version > last else f"NULL AS {name}" for name, last in lacking.items())
        database.run(f"CREATE TEMP VIEW images AS SELECT {schema.images_of(version)} FROM ledger.images")
        database.run(f"CREATE TEMP VIEW plans AS SELECT plan_hash, name, {more} FROM ledger.plans")
        database.run("CREATE TEMP VIEW seeds AS SELECT key, seed FROM ledger.seeds")
        for since, (names, made) in _SINCE.items():
            if version < since:
                database.script(made)
                continue
            for name in names:
                more = _TOLD if (name, version) == ("runs", 5) else ""
                database.run(f"CREATE TEMP VIEW {name} AS SELECT *{more} FROM ledger.{name}")
    except BaseException:
        database.close()
        raise
    return database
