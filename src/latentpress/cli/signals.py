"""SIGTERM and SIGHUP end a command as Ctrl-C does, also process 1 of a container; a second signal ends it at once.

A signal that is ignored when the command starts, as nohup has SIGHUP, stays ignored. Knows no command.
"""

import contextlib
import os
import signal
import threading
import time
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# Signals that come closer than this are one: `timeout`, and whoever passes a terminal's Ctrl-C on, send two.
_ONE_SECONDS = 1.0
# A command that has not ended by then says that it will.
_SAY_SECONDS = 2.0

_received: list[int] = []


class Stopped(KeyboardInterrupt):
    """A signal asks the process to end; raised in the main thread, once."""


def stop_on_signals() -> None:
    """From now on the first signal raises Stopped, and the next one ends the process, whatever it is doing."""
    receiving, sending = os.pipe()
    os.set_blocking(sending, False)
    signal.set_wakeup_fd(sending, warn_on_full_buffer=False)
    # A thread, because Python's own handlers wait until a call of an engine returns.
    threading.Thread(target=_watch, args=(receiving,), name="signals", daemon=True).start()
    for number in _SIGNALS:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _stop)


def received() -> int:
    """The signal that stopped the process; SIGINT where none came through here."""
    return _received[0] if _received else signal.SIGINT


def interrupted(resumes: str = "the same command resumes") -> tuple[str, int]:
    """The sentence and the exit code for a command that was stopped: 130 for SIGINT, 143 for SIGTERM, 129 for SIGHUP."""
    number = received()
    what = "interrupted" if number == signal.SIGINT else f"stopped by {signal.Signals(number).name}"
    return f"{what}; {resumes}", 128 + number


def _stop(number: int, frame: FrameType | None) -> None:
    if not _received:
        _received.append(number)
        raise Stopped


def _watch(receiving: int) -> None:
    """End the process at the second signal."""
    first = None
    while content := os.read(receiving, 64):
        number = next((one for one in content if one in _SIGNALS), None)
        if number is None:
            continue
        now = time.monotonic()
        if first is None:
            first = now
            timer = threading.Timer(_SAY_SECONDS, _say, [number])
            timer.daemon = True
            timer.start()
        elif now - first >= _ONE_SECONDS:
            os._exit(128 + number)


def _say(number: int) -> None:
    line = f"{signal.Signals(number).name}: finishing what is under way; once more ends at once\n"
    with contextlib.suppress(OSError):
        os.write(2, line.encode())
