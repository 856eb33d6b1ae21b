"""The tables of an output folder's ledger, and how those of earlier versions are brought to them.

plans       each plan that was recorded: its manifest's name, its path from the output folder, and the date and time that
            `{date}` and `{time}` of its names show
bundles     content (bundle/content.py) -> what it was exported from, its parts, and the folder it last lay in
seeds       what was drawn for each -1
images      each output, finished or failed. `identity` says how its job_hash was made (identity.VERSION): 1 came with an
            earlier ledger, and is replaced once its job is recognised. `contents` are of its bundle and its refiner's,
            `unseeded` is its job's hash without the seed, `stamp` is what the file system said of the file when it was
            known to be whole.
            `cause` is what kind of failure `error` tells of, one of `runtime.request.CAUSES`. `gradient` is what computed
            the gradients of its losses; NULL without losses, and in rows of earlier ledgers, whose gradients are torch's.
            `guided` is what losses did (pictures/guided.py), `drift` how far from its unguided twin that led (drift.py), and
            `rose` has the names of losses that went the wrong way; all three are JSON, NULL where there is nothing to say.
documents   sheets and tables: what was last written, and before that; two, for a kill may come between row and file.
            `manifest` is the one it was written for
runs        each render that had something to do: see runs.py
"""

VERSION = 8
IMAGES = """
CREATE TABLE images (
    output TEXT PRIMARY KEY, plan_hash TEXT NOT NULL, job_hash TEXT NOT NULL, status TEXT NOT NULL,
    pixel_sha256 TEXT, file_sha256 TEXT, file_size INTEGER, attempts INTEGER NOT NULL, seconds REAL NOT NULL,
    batch_rows INTEGER NOT NULL, provider TEXT NOT NULL, error TEXT, row_rule TEXT, finished REAL, device TEXT,
    versions TEXT, losses TEXT, identity INTEGER NOT NULL DEFAULT 1, contents TEXT, unseeded TEXT, stamp TEXT,
    cause TEXT, gradient TEXT, guided TEXT, drift TEXT, rose TEXT
);
"""
_INDEX = "CREATE INDEX images_hash ON images (job_hash);"
# Since version 4.
ADDED = """
CREATE TABLE bundles (content TEXT PRIMARY KEY, source TEXT NOT NULL, name TEXT NOT NULL, path TEXT, parts TEXT NOT NULL);
CREATE TABLE documents (output TEXT PRIMARY KEY, file_sha256 TEXT NOT NULL, previous TEXT, manifest TEXT NOT NULL);
"""
# Since version 5.
RUNS = """
CREATE TABLE runs (
    run INTEGER PRIMARY KEY, plan_hash TEXT NOT NULL, manifest TEXT NOT NULL, began REAL NOT NULL, ended REAL, end TEXT,
    pictures INTEGER NOT NULL, done INTEGER, failed INTEGER, estimate REAL, loading REAL, seconds REAL, engine TEXT,
    device TEXT
);
"""
# Since version 6.
TOLD = """
ALTER TABLE runs ADD COLUMN retries INTEGER;
ALTER TABLE runs ADD COLUMN why TEXT;
ALTER TABLE runs ADD COLUMN warnings TEXT;
"""
TABLES = f"""
CREATE TABLE plans (
    plan_hash TEXT PRIMARY KEY, name TEXT NOT NULL, bundle_hash TEXT NOT NULL, jobs INTEGER NOT NULL, manifest TEXT,
    began TEXT
);
CREATE TABLE seeds (key TEXT PRIMARY KEY, seed INTEGER NOT NULL);
{IMAGES}{_INDEX}{ADDED}{RUNS}{TOLD}
"""
# From the version before each one to it. The tables of the plan (jobs.py) are made again by every render.
UPGRADES = {
    2: "ALTER TABLE images ADD COLUMN row_rule TEXT;",
    3: "".join(
        f"ALTER TABLE images ADD COLUMN {column};"
        for column in ("finished REAL", "device TEXT", "versions TEXT", "losses TEXT")
    ),
    4: "".join(
        f"ALTER TABLE images ADD COLUMN {column};"
        for column in ("identity INTEGER NOT NULL DEFAULT 1", "contents TEXT", "unseeded TEXT", "stamp TEXT")
    )
    + f"ALTER TABLE plans ADD COLUMN manifest TEXT;{_INDEX}{ADDED}",
    5: f"ALTER TABLE images ADD COLUMN cause TEXT;ALTER TABLE plans ADD COLUMN began TEXT;{RUNS}",
    6: TOLD,
    7: "ALTER TABLE images ADD COLUMN gradient TEXT;",
    8: "".join(f"ALTER TABLE images ADD COLUMN {column} TEXT;" for column in ("guided", "drift", "rose")),
}
# What a ledger of an earlier version lacks, for those who only read it.
_LACKING = {
    1: {"row_rule": "NULL"},
    2: dict.fromkeys(("finished", "device", "versions", "losses"), "NULL"),
    3: {"identity": "1"} | dict.fromkeys(("contents", "unseeded", "stamp"), "NULL"),
    4: {"cause": "NULL"},
    6: {"gradient": "NULL"},
    7: dict.fromkeys(("guided", "drift", "rose"), "NULL"),
}
COLUMNS = (
    *("output", "plan_hash", "job_hash", "status", "pixel_sha256", "file_sha256", "file_size", "attempts", "seconds"),
    *("batch_rows", "provider", "error", "row_rule", "finished", "device", "versions", "losses"),
    *("identity", "contents", "unseeded", "stamp", "cause", "gradient", "guided", "drift", "rose"),
)


def tables_of(version: int) -> tuple[str, ...]:
    """The tables of a ledger of this version, but for those of the plan."""
    since = {4: ("bundles", "documents"), 5: ("runs",)}
    return ("images", "seeds", "plans", *(name for first, names in since.items() if version >= first for name in names))


def images_of(version: int) -> str:
    """The columns of `images` of a ledger of this version, as a SELECT has them; those it lacks are NULL."""
    lacking = {name: value for since, names in _LACKING.items() if version <= since for name, value in names.items()}
    return ", ".join(f"{lacking[name]} AS {name}" if name in lacking else name for name in COLUMNS)
