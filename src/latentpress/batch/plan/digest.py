"""A digest of a plan's tables, to tell whether what a ledger keeps is still what was planned. Knows nothing of pictures.

SQLite puts the values of a column together, so that a million jobs take two or three seconds and not a row of Python each.
"""

import hashlib

from latentpress.batch.plan.database import Database

# Rows whose values are put together: their texts are held at once.
_ROWS = 1000
# What stands between values. A prompt may hold it, and NULL counts as nothing: this finds damage, which moves no value by a
# whole place; to quote each value, so that none could be taken for two, takes twice as long.
_BETWEEN = "\x1e"
# Each table, its key, and its columns but for the one that only planning needs.
_TABLES = {
    "shapes": ("shape", ("bundle", "width", "height", "priority", "labels", "request", "rules", "contents")),
    "prompts": ("draft", ("shape", "id", "prompt", "prompt_label", "chunks", "unseeded")),
    "jobs": ("job", ("draft", "seed", "seed_label", "output", "job_hash", "earlier")),
    "twins": ("job", ("twin",)),
}


def plan_digest(table: Database) -> str:
    """The sha256 of the plan in `table`. Raises LedgerDamaged where it cannot be read."""
    found = hashlib.sha256(repr(table.answers("SELECT fact, value FROM facts ORDER BY fact")).encode())
    for name, (key, columns) in _TABLES.items():
        # As bytes, which are hashed as they are.
        joined = ", ".join(f"CAST(group_concat({column}, '{_BETWEEN}') AS BLOB)" for column in columns)
        query = f"SELECT count(*), max({key}), {joined} FROM {name} WHERE {key} > ? AND {key} <= ?"
        last = table.one(f"SELECT max({key}) FROM {name}")[0] or 0
        for first in range(0, last, _ROWS):
            count, highest, *texts = table.one(query, (first, first + _ROWS))
            found.update(f"{count} {highest}\0".encode())
            found.update(b"\0".join([text or b"" for text in texts]))
    return found.hexdigest()
