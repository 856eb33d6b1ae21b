"""The program of test_turns.py: signals are raised while it asks a database, and another thread asks after each.

pytest shares its process with finalizers and callbacks of what it tests, which swallow what is raised in them.
"""

import faulthandler
import gc
import random
import signal
import threading
import time

from latentpress.batch.plan.database import Database


class Stopped(Exception):
    """What the signal raises."""


def stop(number, frame):
    """Handle the signal."""
    raise Stopped


def main() -> None:
    """Exit with a traceback unless every other thread gets its turn."""
    faulthandler.enable()
    gc.disable()  # a callback of it would swallow the exception
    signal.signal(signal.SIGALRM, stop)
    kept = []  # as `except` and a log keep the traceback, and with it the frames that held the turn
    with Database(None) as database:
        for seed in range(1000):
            try:
                signal.setitimer(signal.ITIMER_REAL, random.Random(seed).uniform(1e-6, 2e-4))
                until = time.monotonic() + 1.0  # a finalizer in which it is raised would swallow it
                while time.monotonic() < until:
                    database.one("SELECT 1")
            except Stopped as error:
                kept.append(error)
            other = threading.Thread(target=database.one, args=("SELECT 1",), daemon=True)
            other.start()
            other.join(10)
            assert not other.is_alive(), "the turn is still taken"
    print(len(kept))


if __name__ == "__main__":
    main()
