"""A signal that is raised while a thread asks the ledger leaves the next turn free."""

import gc
import random
import signal
import threading
import time

import pytest

from latentpress.batch.plan.database import Database


class Stopped(Exception):
    pass


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # what a finalizer swallowed is told by it
def test_a_signal_leaves_no_turn_taken():
    def stop(number, frame):
        raise Stopped

    gc.disable()  # its callbacks, of which hypothesis has one, swallow what is raised in them
    before = signal.signal(signal.SIGALRM, stop)
    kept = []  # as `except` and a log keep the traceback, and with it the frames that held the turn
    try:
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
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        gc.enable()
