"""A SQLite connection that threads share by turns, whose failures are sentences. Knows nothing of jobs or pictures."""

import contextlib
import sqlite3
import threading
import time
from array import array
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from latentpress.batch.place import output_folder_of
from latentpress.errors import EnvironmentFailure, LedgerDamaged, reason
from latentpress.files import check_regular

T = TypeVar("T")
# What stands for the question marks of a query, or for its :names.
Values = Sequence[object] | Mapping[str, object]

# Seconds to wait for another process' transaction.
_TIMEOUT = 30
# KiB of pages kept in memory, negative as SQLite has it: the plan of 100,000 jobs takes some 30 MB.
_CACHE = -65_536

# Rows of a table whose indexes are compared with it row by row; of more, their sizes.
_COMPARED = 20_000
# A sum of whole numbers is one too unless any of them is not; of this many times smaller ones a million do not overflow.
_SMALLER = 1 << 31

# SQLite's result codes are these eight bits and more on top: sqlite.org/rescode.html
_PRIMARY = 0xFF
# What is no fault of the ledger's -> what to do about it.
_WAYS_OUT = {
    sqlite3.SQLITE_FULL: "free some space",
    sqlite3.SQLITE_IOERR: "see that the disk works and has space",
    sqlite3.SQLITE_NOMEM: "free some memory",
    sqlite3.SQLITE_BUSY: "close the other program that uses it, or keep the ledger off a network drive with --ledger",
    sqlite3.SQLITE_LOCKED: "close the other program that uses it",
    sqlite3.SQLITE_PROTOCOL: "close the other program that uses it",
    sqlite3.SQLITE_PERM: "fix its permissions",
    sqlite3.SQLITE_READONLY: "fix its permissions",
    sqlite3.SQLITE_CANTOPEN: "fix its permissions and see that the disk has space",
}


class _Busy(EnvironmentFailure):
    """Another program holds the database."""


def _quietly(line: str) -> None:
    """Tell nobody."""


class Database:
    """The database at `path`, or without one a temporary database that leaves nothing behind.

    Raises EnvironmentFailure where the disk or a permission is in the way, LedgerDamaged where the file is.
    """

    def __init__(self, path: Path | None, *, shown: Path | None = None) -> None:
        """shown: the path that messages name, if another one."""
        self.path = path
        # Whether the ledger in it, or beside it, is known to be as a render left it, so that nothing need be looked through.
        self.sealed = False
        self._shown = shown or path or "temporary database"
        self._turn = threading.RLock()
        self._patience, self._waits = 0.0, _quietly
        if path is not None and path.exists():
            check_database(path, self._shown)
        self._connection = self._guarded(lambda: _connected(path))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; what was not committed is undone."""
        with self._turn:  # SQLite does not bear it while another thread asks
            self._connection.close()

    def be_patient(self, seconds: float, waits: Callable[[str], None]) -> None:
        """From now on wait so long for another program that holds the database, where a single statement is run.

        waits: hears of it once for each statement that has to wait longer than usual.
        """
        self._patience, self._waits = seconds, waits

    def answers(self, query: str, values: Values = ()) -> list[Any]:
        """Every row of a query's answer."""
        return self._guarded(lambda: self._connection.execute(query, values).fetchall())

    def numbers(self, query: str, values: Sequence[object] = ()) -> "array[int]":
        """The one column of a query's answer, whole numbers, in eight bytes each."""
        return self._guarded(lambda: array("q", (number for (number,) in self._connection.execute(query, values))))

    def one(self, query: str, values: Values = ()) -> Any:
        """The first row of a query's answer, None where it has none."""
        return self._guarded(lambda: self._connection.execute(query, values).fetchone())

    def run(self, query: str, values: Values = ()) -> None:
        """Run one statement."""
        began, told = time.monotonic(), False
        while True:
            try:
                self._guarded(lambda: self._connection.execute(query, values))
                return
            except _Busy:  # nothing of the statement was done, or of a COMMIT, which leaves its transaction open
                if time.monotonic() - began >= self._patience:
                    raise
            if not told:
                self._waits(f"{self._shown}: another program holds the ledger; waiting for it")
                told = True

    def script(self, statements: str) -> None:
        """Run several statements; an open transaction goes on."""
        self._guarded(
            lambda: [
                self._connection.execute(statement) for statement in filter(None, map(str.strip, statements.split(";")))
            ]
        )

    def many(self, query: str, values: Iterable[Sequence[object]]) -> None:
        """Run one statement with each of `values`."""
        self._guarded(lambda: self._connection.executemany(query, values))

    @contextlib.contextmanager
    def transaction(self) -> Generator[None]:
        """All that is run within, or, when it raises, nothing of it; part of the transaction around it if there is one."""
        if self._connection.in_transaction:
            yield
            return
        self.run("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            with self._turn, contextlib.suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")
            raise
        self.run("COMMIT")

    def check_tables(self, *tables: str, schema: str = "main") -> None:
        """Raise LedgerDamaged where pages of `tables` are damaged, or a value is of another type than its column.

        Reads all of the tables: about a second for a million rows. Of a large table the indexes are not compared with it
        row by row: a row that its index lacks counts as not there, and its picture as a file that is not the folder's.
        """
        for table in tables:
            columns = self.answers(f"PRAGMA {schema}.table_info({table})")
            wrong = " OR ".join(_of_another_type(name, kind, required) for _, name, kind, required, *_ in columns)
            whole = [f"typeof(sum({name} / {_SMALLER}))" for _, name, kind, *_ in columns if kind == "INTEGER"]
            large = self.one(f"SELECT count(*) FROM {schema}.{table}")[0] > _COMPARED
            found = self.one(f"PRAGMA {schema}.{'quick' if large else 'integrity'}_check({table})")[0]
            if found == "ok" and (
                self.one(f"SELECT 1 FROM {schema}.{table} WHERE {wrong} LIMIT 1")
                or (whole and "real" in self.one(f"SELECT {', '.join(whole)} FROM {schema}.{table}"))
            ):
                found = f"a value in {table} is of another type"
            if found != "ok":
                raise self._damaged(str(found).splitlines()[-1])

    def _damaged(self, why: object) -> LedgerDamaged:
        return LedgerDamaged(f"{self._shown}: the ledger is damaged ({why}); {_way_out(self._shown)}")

    def _guarded(self, act: Callable[[], T]) -> T:
        """What `act` returns, for one thread at a time, its failures as ours.

        Not a context manager of Python code: a signal that is raised as that is entered would leave the turn taken, and the
        writers waiting for ever.
        """
        try:
            with self._turn:
                return act()
        except sqlite3.ProgrammingError:  # a fault of the program's, such as asking a closed database
            raise
        except sqlite3.DatabaseError as error:
            # Without a code: a text in it is no UTF-8.
            code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & _PRIMARY
            if code in _WAYS_OUT:
                kind = _Busy if code == sqlite3.SQLITE_BUSY else EnvironmentFailure
                raise kind(
                    f"{self._shown}: the ledger cannot be used ({error}); {_WAYS_OUT[code]}, then run the same command"
                ) from None
            raise self._damaged(reason(error)) from None
        except UnicodeDecodeError:  # the message itself tells of a name that is none
            raise self._damaged("a name in it is no text") from None


def _connected(path: Path | None) -> sqlite3.Connection:
    connection = sqlite3.connect(
        # A URI for what is attached to it; a path is one too unless it begins with file:.
        path.absolute() if path else "",
        timeout=_TIMEOUT,
        isolation_level=None,
        check_same_thread=False,
        uri=True,
    )
    try:
        connection.execute(f"PRAGMA cache_size={_CACHE}")
        if path is None:  # nothing of it outlives a crash, so nothing need be undone after one
            connection.execute("PRAGMA main.journal_mode=OFF")
            connection.execute("PRAGMA main.synchronous=OFF")
    except BaseException:
        connection.close()
        raise
    return connection


def _of_another_type(name: str, kind: str, required: int) -> str:
    """Whether the value in a column is of another type than the column, in SQL; not whether it is whole where it must be.

    Numbers sort before all texts and bytes after them, so that a comparison, which takes a third as long as to ask for the
    type, tells; but for bytes of which there are none.
    """
    wrong = f"{name} NOT BETWEEN '' AND x''" if kind == "TEXT" else f"{name} >= ''"
    return wrong + (f" OR {name} IS NULL" if required else "")


def check_database(path: Path, shown: Path | str) -> None:
    """Raise LedgerDamaged, which names `shown`, unless a regular file is at `path`: SQLite waits for a pipe."""
    try:
        check_regular(path)
    except OSError as error:
        raise LedgerDamaged(f"{shown}: the ledger cannot be used ({error.strerror}); {_way_out(shown)}") from None


def _way_out(shown: Path | str) -> str:
    return f"`latentpress rebuild {output_folder_of(Path(shown))}` makes it again from the pictures"
