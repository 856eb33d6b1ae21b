"""Refuses a plan whose pictures would take the place of what is not theirs, before anything is rendered or moved."""

import hashlib
from pathlib import Path

from latentpress.batch.aside import REPLACED, Aside
from latentpress.batch.ledger.ledger import Ledger, documents
from latentpress.batch.ledger.owners import Owners
from latentpress.batch.pictures.intact import Found, look
from latentpress.batch.plan.database import Database
from latentpress.batch.plan.plan import Plan
from latentpress.batch.state.report import taken_line
from latentpress.batch.state.status import Status
from latentpress.errors import UsageError
from latentpress.files import write_durably


def refuse_occupied(state: Status, folder: Path, owners: Owners, *, replace: bool = False) -> None:
    """Raise UsageError where names that the plan wants have other owners, or an input lies in the output folder.

    replace: move what has other owners; inputs are refused all the same.
    """
    refuse_inputs(state.plan, folder)
    if not replace:
        refuse_taken(state, folder)


def refuse_taken(state: Status, folder: Path) -> None:
    """Raise UsageError where a name that a picture wants belongs to something that this folder's ledger did not write."""
    if state.taken:
        raise UsageError(f"{taken_line(state, folder)}; {_way_out(folder)}")


def refuse_inputs(plan: Plan, folder: Path) -> None:
    """Raise UsageError where a picture that the plan is given, also a mask or a loss's, lies in the output folder."""
    paths = ", ".join(f"json_extract(request, '$.{name}.path')" for name in ("init_image", "mask_image"))
    query = f"SELECT DISTINCT {paths} FROM shapes"
    inside = folder.resolve()
    of_losses = (
        "SELECT DISTINCT tree.value FROM shapes, json_tree(shapes.request, '$.losses') AS tree "
        "WHERE instr(shapes.request, '\"files\"') AND tree.key='path'"
    )
    rows = [*plan.table.answers(query), *plan.table.answers(of_losses)]
    for path in dict.fromkeys(path for row in rows for path in row if path):
        if Path(path).resolve().is_relative_to(inside):
            raise UsageError(
                f"{path}: is an input, and lies in the output folder {folder}; choose another with -o, or move it away"
            )


def document_taken(table: Database, folder: Path, name: str, owners: Owners) -> str | None:
    """Why the document `name`, such as the sheet, must not be written; None where it may be."""
    why, manifest = _document(table, folder, name)
    owner = owners.of_manifest(manifest) if manifest is not None else None
    return why or (owner and f"was drawn for {owner}")


def refuse_document(table: Database, folder: Path, name: str, owners: Owners) -> None:
    """Raise UsageError where `document_taken` says why; a sheet of the very same pictures is everyone's who plans them."""
    # Ledgers of earlier releases, and rebuilt ones, do not say what sheet was drawn: that one is moved, not refused.
    query = "SELECT 1 FROM images WHERE identity=1 OR plan_hash='' LIMIT 1"
    if name not in documents(table) and table.one(query) is not None:
        return
    _, manifest = _document(table, folder, name)
    if manifest is not None and owners.planned_alike(manifest):
        return
    if why := document_taken(table, folder, name, owners):
        raise UsageError(f"{folder}: {name} {why}; {_way_out(folder)}")


def _document(table: Database, folder: Path, name: str) -> tuple[str | None, str | None]:
    """Of the file of a document why it is none that the ledger wrote, and else the manifest it was written for."""
    seen = look(f"{folder}/{name}")
    if seen.found is Found.NOTHING:
        return None, None
    row = table.one("SELECT manifest FROM documents WHERE output=?", (name,))
    if row is None or seen.sha256 not in documents(table)[name]:
        return seen.why or ("was changed since it was drawn" if row else "was not drawn for this folder"), None
    return None, row[0]


def write_document(ledger: Ledger, folder: Path, name: str, content: bytes, owners: Owners, aside: Aside) -> None:
    """Write a document, after moving what was there if that is not what this manifest had written."""
    seen = look(f"{folder}/{name}")
    digest = hashlib.sha256(content).hexdigest()
    if seen.sha256 != digest and document_taken(ledger, folder, name, owners):
        aside.take(name)
    ledger.writing(name, digest, owners.key)
    if seen.sha256 != digest:
        write_durably(folder / name, content, folder)


def _way_out(folder: Path) -> str:
    return (
        "nothing is replaced that this folder's ledger did not write: move it away, choose another folder with -o, or "
        f"add --replace, which moves it to {folder / REPLACED}"
    )
