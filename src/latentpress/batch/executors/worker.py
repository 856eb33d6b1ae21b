"""The process that renders for another one, `python -m latentpress.batch.executors.worker SOCKET PIXELS PARENT`.

It holds an executor, does what the messages on the socket ask (messages.py), and tells what it begins, so that the other
side knows which pictures were in its hands if it dies. Signals are the other side's business; without that side it ends.
"""

import ctypes
import os
import signal
import socket
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import replace
from importlib import import_module
from itertools import chain, repeat
from pathlib import Path
from typing import Protocol

from latentpress.batch.executors.local import LocalExecutor, Settings
from latentpress.batch.executors.messages import Channel, Message, SharedPixels, raised_data, rendered_data
from latentpress.batch.plan.job import request_from
from latentpress.bundle.info import open_bundle
from latentpress.runtime.guidance.own.printed import hear_printed
from latentpress.runtime.loop.overseer import Overseer
from latentpress.runtime.request import Rendered, RenderRequest

_PR_SET_PDEATHSIG = 1


class Rendering(Protocol):
    """What this process renders with; `LocalExecutor` is one."""

    @property
    def rows(self) -> int: ...
    @rows.setter
    def rows(self, rows: int) -> None: ...
    def open(self, bundle: str, requests: Iterable[RenderRequest]) -> str: ...
    def render(
        self, requests: Iterable[tuple[int, RenderRequest]], overseer: Overseer | None = None
    ) -> Iterator[Rendered[int]]: ...


# From what the other side says at the start, and what hears sentences, what this process renders with.
_New = Callable[[Message, Callable[[str], None]], Rendering]


class Worker:
    """Serves one channel. It is the overseer of its own rendering, and passes on what it hears."""

    def __init__(self, channel: Channel, pixels: SharedPixels, rendering: _New) -> None:
        self._channel, self._pixels, self._new = channel, pixels, rendering
        self._rendering: Rendering | None = None
        self._free: deque[int] = deque()
        self._stopped = False

    def serve(self) -> None:
        """Do what is asked until the other side hangs up."""
        while (message := self._channel.receive()) is not None:
            try:
                self._do(message)
            except Exception as error:
                traceback.print_exc()  # to stderr, whose end the other side may show
                self._channel.send(raised_data(error))

    def begins(self, what: str, keys: Sequence[Hashable]) -> None:
        """Tell what comes next in this thread."""
        now = {"at": time.monotonic(), "cpu": time.process_time()}
        self._channel.send({"begins": what, "keys": list(keys), "thread": threading.get_ident(), **now})

    def going(self) -> bool:
        """Whether nobody has said stop."""
        while self._channel.readable():
            self._hear()
        return not self._stopped

    def _do(self, message: Message) -> None:
        if "start" in message:
            hear_printed(self._say)
            self._rendering = self._new(message["start"], self._say)
            self._channel.send({"hello": os.getpid()})
        elif "open" in message:
            assert self._rendering is not None, "opened before the start"
            work = chain.from_iterable(repeat(request_from(data), count) for count, data in message["work"])
            rule = self._rendering.open(message["open"], work)
            self._channel.send({"opened": rule, "rows": self._rendering.rows})
        elif "render" in message:
            self._render(message)
        else:
            self._note(message)

    def _say(self, line: str) -> None:
        self._channel.send({"say": line})

    def _render(self, message: Message) -> None:
        assert self._rendering is not None, "asked to render before the start"
        self._stopped = False
        self._free = deque(range(self._pixels.resize(message["slot"])))
        if message["rows"] not in (None, self._rendering.rows):
            self._rendering.rows = message["rows"]
        work = ((key, request_from(data)) for key, data in message["render"])
        for rendered in self._rendering.render(work, self):
            slot = None
            if rendered.image is not None:
                while not self._free:
                    self._hear()
                slot = self._free.popleft()
                self._pixels.write(slot, rendered.image)
            self._channel.send(rendered_data(rendered, slot))
        self._channel.send({"ended": True})

    def _hear(self) -> None:
        message = self._channel.receive()
        if message is None:
            os._exit(0)
        self._note(message)

    def _note(self, message: Message) -> None:
        if "free" in message:
            self._free.append(message["free"])
        elif "stop" in message:
            self._stopped = True


def local(start: Message, say: Callable[[str], None]) -> Rendering:
    """The executor that the other side describes: its bundles were verified there."""
    cache = Path(start["cache"])
    bundles = {digest: open_bundle(Path(path), verify=False, cache=cache) for digest, path in start["bundles"].items()}
    import_module("latentpress.runtime.render")  # while the other side plans
    return LocalExecutor(bundles, replace(Settings(), **start["settings"]), cache, say)


def main(arguments: Sequence[str], rendering: _New = local) -> None:
    """Serve the socket that is open as the first of `arguments`; PIXELS is the file of shared memory."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    connection, pixels, parent = map(int, arguments)
    _die_with(parent)
    Worker(Channel(socket.socket(fileno=connection)), SharedPixels(pixels), rendering).serve()
    os._exit(0)  # what the engines would tidy up, the system does


def _die_with(parent: int) -> None:
    """End when the process `parent` ends, however that is."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it ended before
            os._exit(0)
        return

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(0)

    threading.Thread(target=watch, daemon=True).start()


if __name__ == "__main__":
    main(sys.argv[1:])
