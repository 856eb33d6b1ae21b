"""`killed_at.py SITE COUNT ARGUMENT...` is `latentpress ARGUMENT...`, killed with SIGKILL at the COUNT-th passage of SITE.

The sites lie where pictures are computed and handed on; those in the calls of the system are faults.c's.
"""

import os
import signal
import sys
import threading

import onnxruntime

from latentpress.batch.writers import Writers
from latentpress.cli import run_cli

# Hands a rendered picture to the threads that write it.
HAND_OVER = (Writers, "put")
SITES = ("engine called", "picture rendered", "picture handed over")


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
    """Pass the sites `before` and `after` around owner.name."""
    inner = getattr(owner, name)

    def outer(*arguments, **options):
        passing(before)
        result = inner(*arguments, **options)
        passing(after)
        return result

    setattr(owner, name, outer)


if __name__ == "__main__":
    countdown = Countdown(sys.argv[1], int(sys.argv[2]))
    around(onnxruntime.InferenceSession, "run", countdown.passing, after="engine called")
    around(*HAND_OVER, countdown.passing, before="picture rendered", after="picture handed over")
    sys.exit(run_cli(sys.argv[3:]))
