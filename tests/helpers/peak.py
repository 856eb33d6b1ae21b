"""How much memory this process took at most. Not getrusage's ru_maxrss, which a child inherits from who started it."""

import re
from pathlib import Path


def peak_bytes() -> int:
    """The most bytes of memory that this program has held at once, since it was loaded."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) << 10
