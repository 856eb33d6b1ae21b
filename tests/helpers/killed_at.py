"""`killed_at.py SITE COUNT ARGUMENT...` is `latentpress ARGUMENT...`, killed with SIGKILL at the COUNT-th passage of SITE.

The sites lie in what latentpress calls of the system (os, fcntl, sqlite3, ONNX Runtime), so that they stay where they are
when a module of latentpress moves or takes another order; those in latentpress itself are in the table below.
"""

import fcntl
import os
import signal
import sqlite3
import stat
import sys
import threading
from pathlib import Path

import onnxruntime

from latentpress.batch.collisions import SHEET_NAME
from latentpress.batch.writers import Writers
from latentpress.cli import run_cli
from latentpress.files import TEMP_PREFIX

# Hands a rendered picture to the threads that write it.
HAND_OVER = (Writers, "put")

# Every site, in the order in which a render passes them.
SITES = (
    "folder locked",
    "ledger not made",
    "ledger made",
    "plan not committed",
    "plan committed",
    "leftover removed",
    "engine called",
    "picture rendered",
    "picture handed over",
    "folder made",
    "file opened",
    "file half written",
    "file synced",
    "file not renamed",
    "file renamed",
    "folder synced",
    "row not committed",
    "row committed",
    "sheet not renamed",
    "sheet renamed",
)


LEDGER, PLAN = ("ledger not made", "ledger made"), ("plan not committed", "plan committed")


class Countdown:
    """Kills the process at the `count`-th passage of `site`, in whichever thread that is."""

    def __init__(self, site, count):
        assert site in SITES
        self.site, self.left, self.turn = site, count, threading.Lock()

    def passing(self, site):
        if site != self.site:
            return
        with self.turn:
            self.left -= 1
            if self.left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


def around(owner, name, passing, before=None, after=None):
    """Pass `before` and `after`, sites or functions of the call's result and arguments to one, around owner.name."""
    inner = getattr(owner, name)

    def at(site, *facts):
        if (named := site(*facts) if callable(site) else site) is not None:
            passing(named)

    def outer(*arguments, **options):
        at(before, None, *arguments)
        result = inner(*arguments, **options)
        at(after, result, *arguments)
        return result

    setattr(owner, name, outer)


def temporary(path):
    return Path(os.fsdecode(path)).name.startswith(TEMP_PREFIX)


def kind(_result, _source, target):
    return "sheet" if Path(target).name == SHEET_NAME else "file"


def synced(_result, descriptor):
    return "folder synced" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file synced"


def ledger_connection(passing):
    """A sqlite3.Connection that passes the ledger's sites; each row it writes is a transaction of its own."""

    class Connection(sqlite3.Connection):
        making = False

        def execute(self, statement, *parameters):
            if statement.startswith("PRAGMA user_version="):
                self.making = True  # the transaction that makes the ledger, or brings an older one up to date
            if statement == "COMMIT":
                before, after = LEDGER if self.making else PLAN
                passing(before)
                result = super().execute(statement)
                self.making = False
                passing(after)
                return result
            if not statement.startswith("INSERT INTO images"):
                return super().execute(statement, *parameters)
            super().execute("BEGIN")
            result = super().execute(statement, *parameters)
            passing("row not committed")
            super().execute("COMMIT")
            passing("row committed")
            return result

    return Connection


def watch(passing):
    """Make every site call `passing` with its name."""
    around(fcntl, "flock", passing, after="folder locked")
    around(os, "unlink", passing, after=lambda _, path, **__: "leftover removed" if temporary(path) else None)
    around(onnxruntime.InferenceSession, "run", passing, after="engine called")
    around(*HAND_OVER, passing, before="picture rendered", after="picture handed over")
    around(os, "mkdir", passing, after="folder made")
    around(os, "open", passing, after=lambda _, path, *__: "file opened" if temporary(path) else None)
    around(os, "fsync", passing, after=synced)
    around(os, "replace", passing, lambda *a: f"{kind(*a)} not renamed", lambda *a: f"{kind(*a)} renamed")

    fdopen, connect, connection = os.fdopen, sqlite3.connect, ledger_connection(passing)

    def half(descriptor, *arguments, **options):
        stream = fdopen(descriptor, *arguments, **options)
        write = stream.write

        def halves(content):
            written = write(content[: len(content) // 2])
            stream.flush()
            passing("file half written")
            return written + write(content[len(content) // 2 :])

        stream.write = halves
        return stream

    os.fdopen = half
    sqlite3.connect = lambda *arguments, **options: connect(*arguments, factory=connection, **options)


if __name__ == "__main__":
    watch(Countdown(sys.argv[1], int(sys.argv[2])).passing)
    sys.exit(run_cli(sys.argv[3:]))
