"""The process that renders (worker.py), as the one that watches it sees it: started, heard, listened to, lost, ended."""

import contextlib
import os
import re
import select
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from latentpress import version
from latentpress.batch.executors.messages import Channel, Message, SharedPixels, anonymous_file

# -P: what lies in the current directory must not be imported for a module of ours.
WORKER = (sys.executable, "-P", "-m", "latentpress.batch.executors.worker")
# Bytes of what it says on stderr that are kept.
_TAIL = 4096
_ESCAPES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
# Seconds that it may take to read what it is sent.
_READING = 120.0


class Ended(Exception):
    """The process is gone, or does not listen."""


@dataclass(frozen=True)
class Death:
    """How a process ended. how: for a sentence, `was killed (SIGKILL)`; cause: as in `runtime.request.CAUSES`."""

    how: str
    cause: str


class Child:
    """A started process and the channel to it. command: what is run, with the socket, the pixels and our id behind it."""

    def __init__(self, command: tuple[str, ...] = WORKER) -> None:
        ours, theirs = socket.socketpair()
        file = anonymous_file()
        self.pixels = SharedPixels(file)
        self.channel = Channel(ours)
        ours.settimeout(_READING)
        path = [str(Path(version.__file__).parent.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
        self._killed_before = _killed_for_memory()
        try:
            self._process = subprocess.Popen(
                [*command, str(theirs.fileno()), str(file), str(os.getpid())],
                pass_fds=(theirs.fileno(), file),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                process_group=0,  # Ctrl-C is for us alone
                env=os.environ | {"PYTHONPATH": os.pathsep.join(path)},
            )
        finally:
            theirs.close()
        assert self._process.stdout is not None, "it is a pipe"
        self._said = self._process.stdout
        os.set_blocking(self._said.fileno(), False)
        self._tail = b""

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    def send(self, message: Message) -> None:
        """Send a message; raises Ended."""
        try:
            self.channel.send(message)
        except OSError as error:
            raise Ended from error

    def receive(self, seconds: float) -> Message | None:
        """The next message, None where none comes within `seconds`; raises Ended where none will."""
        if not self.channel.waiting():
            heard, _, _ = select.select([self.channel, self._said], [], [], seconds)
            if self._said in heard and not self._listen() and self.channel not in heard:
                heard, _, _ = select.select([self.channel], [], [], seconds)
            if self.channel in heard and not self.channel.fill():
                raise Ended
        return self.channel.take() if self.channel.waiting() else None

    def cpu_seconds(self) -> float | None:
        """The processor time that it has had; None where the system does not say."""
        try:
            fields = Path(f"/proc/{self.pid}/stat").read_bytes().rpartition(b")")[2].split()
            return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        except (OSError, ValueError, IndexError):
            return None

    def end(self) -> Death:
        """End it, if it has not ended; returns how it did."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(0.5)  # it may just be dying of what it did
        self._process.kill()
        code = self._process.wait()
        self._listen()
        self._said.close()
        self.channel.close()
        with contextlib.suppress(OSError):
            os.close(self.pixels.file)
        if code == -signal.SIGKILL:
            if (now := _killed_for_memory()) is not None and now != self._killed_before:
                return Death("was killed by the system, whose memory ran out", "memory")
            return Death("was killed (SIGKILL, as the system does where memory runs out)", "killed")
        last = self.last_words
        how = f"crashed ({signal.Signals(-code).name})" if code < 0 else f"ended with code {code}"
        return Death(f"{how}: {last}" if last else how, "killed")

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()
        self.end()

    @property
    def last_words(self) -> str:
        """The last line that it said, without colours."""
        lines = _ESCAPES.sub("", self._tail.decode(errors="replace")).split("\n")
        return next((line.strip()[:200] for line in reversed(lines) if line.strip()), "")

    def _listen(self) -> bool:
        """Take in what it said on stdout and stderr; False once both are closed."""
        with contextlib.suppress(BlockingIOError, ValueError):
            while found := self._said.read(1 << 16):
                self._tail = (self._tail + found)[-_TAIL:]
            return found is None
        return True


def _killed_for_memory() -> int | None:
    """How many processes the system has killed for lack of memory, where it says so."""
    with contextlib.suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/vmstat").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))
    return None
