"""Every durable step fails once, or from then on: nothing torn, one sentence and exit code 3, and the resume completes."""

import re
from errno import EINTR, EIO, ENOSPC

import pytest

from faulted import Fault

# What a full disk and a failing one do; `always`, until the run ends.
FAILURES = [("fail", ENOSPC, False), ("fail", ENOSPC, True), ("fail", EIO, False), ("fail", EIO, True)]
# What a run must not notice. EINTR for ever is no fault that exists: a call would never return.
UNNOTICED = [("fail", EINTR, False), ("short", 0, False), ("short", 0, True)]
SQLITE_ONCE = ("sync /.latentpress/", "syncdir /.latentpress", "unlink /.latentpress/")
IN_FAST = 12
PROGRESS = re.compile(r"\d+ images? (to render|in)\b")


def befall(eight, fault):
    """A run with this fault, and its resume; returns the run."""
    folder = eight.folder()
    run = eight.render(folder, fault=fault)
    done = eight.check_nothing_is_torn(folder, fault)
    assert "Traceback" not in run.err, (fault, run.err)
    assert run.code in (0, 3), (fault, run.err)
    if run.code:
        said = [line for line in run.err.splitlines() if not PROGRESS.match(line)]
        assert len(said) == 1, (fault, run.err)
        assert said[0].startswith(f"error: {folder}"), (fault, said)
        assert "; " in said[0], f"{fault}: no way out in {said}"
        eight.check_resume(folder, done, fault)
    else:
        eight.check_whole(folder, fault)
    return run


def places(eight, number, kinds=()):
    """`number` places spread over the calls of `kinds`, or each of them."""
    last = sum(not kinds or site.split()[0] in kinds for site in eight.whole.sites)
    return sorted({1 + place * (last - 1) // (number - 1) for place in range(number)} if number else range(1, last + 1))


@pytest.mark.parametrize("number", [IN_FAST, pytest.param(0, marks=pytest.mark.full)], ids=["some", "all"])
def test_a_disk_that_fails_tears_nothing(eight, number):
    failed = 0
    for offset, (action, error, always) in enumerate(FAILURES):
        for place in places(eight, number and number + offset):
            failed += befall(eight, Fault(place, action, error, always)).code == 3
    assert failed > 0.9 * len(FAILURES) * len(places(eight, number)), "a failing disk is told"


@pytest.mark.parametrize("number", [IN_FAST, pytest.param(0, marks=pytest.mark.full)], ids=["some", "all"])
def test_interruptions_and_short_writes_are_not_noticed(eight, number):
    for action, error, always in UNNOTICED:
        for place in places(eight, number, ("write",) if action == "short" else ()):
            fault = Fault(place, action, error, always, ("write",) if action == "short" else ())
            run = befall(eight, fault)
            # SQLite repeats its reads and writes, but not a sync or a removal: the run ends there, and is resumed.
            assert run.code == 0 or run.sites[place - 1].startswith(SQLITE_ONCE), (fault, run.sites[place - 1], run.err)
