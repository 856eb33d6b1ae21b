"""`painted.py ARGUMENT...` is `latentpress ARGUMENT...` in a process of its own, whose pictures are noise and cost nothing.

PAINTED_SECONDS: how long each picture takes; PAINTED_SAYS: what is printed on descriptor 2 before each, as by native code.
"""

import contextlib
import os
import sys
import time

from fakes import FakeExecutor
from faulted import pretend


def slowly(render, seconds, said):
    """`render`, but that each picture takes so long, and something is printed before it."""

    def slow(executor, requests):
        for rendered in render(executor, requests):
            time.sleep(seconds)
            with contextlib.suppress(OSError):
                os.write(2, said.encode())
            yield rendered

    return slow


if __name__ == "__main__":
    from latentpress.cli import main

    pretend().append(os.open(os.devnull, os.O_WRONLY))
    pace, words = float(os.environ.get("PAINTED_SECONDS", "0")), os.environ.get("PAINTED_SAYS", "")
    FakeExecutor.render = slowly(FakeExecutor.render, pace, words)
    sys.exit(main())
