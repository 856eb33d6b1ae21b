"""A signal that comes while the writers finish is raised when they have finished, and not before."""

import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from latentpress.batch.writers import _wait_for


def test_a_signal_does_not_cut_the_writers_short():
    finished = []

    def write(number):
        time.sleep(0.4)
        finished.append(number)

    def stop(number, frame):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    timer = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGTERM))
    pool = ThreadPoolExecutor(2)
    try:
        for number in range(4):
            pool.submit(write, number)
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            _wait_for(pool)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert sorted(finished) == [0, 1, 2, 3]
    assert not any(thread.is_alive() for thread in pool._threads)
    assert signal.SIGTERM not in signal.pthread_sigmask(signal.SIG_BLOCK, [])
