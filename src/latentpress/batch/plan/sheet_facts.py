"""What the plan's tables say of the manifest for sheets, so that a folder explains itself without manifest or bundle.

One row a fact: the manifest's name, the hash of the plan, when it began, its axes, and the sheets that it asks for.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError

from latentpress.batch.plan.database import Database
from latentpress.sheets.spec import Sheet

SCHEMA = "CREATE TABLE facts (fact TEXT NOT NULL, value TEXT NOT NULL);"
_SHEETS: TypeAdapter[tuple[Sheet, ...]] = TypeAdapter(tuple[Sheet, ...])
_AXES: TypeAdapter[tuple[str, ...]] = TypeAdapter(tuple[str, ...])


@dataclass(frozen=True)
class Facts:
    """began: as `Plan.began`; axes: the manifest's, in its order."""

    name: str
    plan_hash: str
    began: str
    axes: tuple[str, ...]
    sheets: tuple[Sheet, ...]


def put_facts(table: Database, facts: Facts) -> None:
    """Write the facts of a plan into its tables."""
    said = {"name": facts.name, "plan_hash": facts.plan_hash, "began": facts.began}
    said |= {"axes": _AXES.dump_json(facts.axes).decode(), "sheets": _SHEETS.dump_json(facts.sheets).decode()}
    table.many("INSERT INTO facts VALUES (?, ?)", said.items())


def facts_of(table: Database) -> Facts | None:
    """The facts of the plan in `table`; None of a plan that an earlier version wrote, or where they cannot be understood."""
    if not has_facts(table):
        return None
    said: Mapping[str, Any] = dict(table.answers("SELECT fact, value FROM facts"))
    try:
        axes, sheets = _AXES.validate_json(said["axes"]), _SHEETS.validate_json(said["sheets"])
        return Facts(said["name"], said["plan_hash"], said["began"], axes, sheets)
    except (KeyError, ValidationError):
        return None


def last_plan(table: Database) -> str | None:
    """The hash of the plan that was last recorded in the ledger, which `table` is or sees; None where it does not say."""
    schema = _schema(table)
    if not _columns(table, "facts"):
        return None
    return (table.one(f"SELECT value FROM {schema}.facts WHERE fact='plan_hash'") or (None,))[0]


def has_facts(table: Database) -> bool:
    """Whether there is a table of facts, which plans of earlier versions lack."""
    return bool(_columns(table, "facts"))


def has_plan(table: Database) -> bool:
    """Whether a plan's tables are there: a ledger that no render has come to has none."""
    return all(_columns(table, name) for name in ("jobs", "drafts"))


def _columns(table: Database, name: str) -> Sequence[Any]:
    return table.answers(f"PRAGMA {_schema(table)}.table_info({name})")


def _schema(table: Database) -> str:
    return "ledger" if "ledger" in [schema for _, schema, _ in table.answers("PRAGMA database_list")] else "main"
