"""What a renderer's process and the one that watches it tell each other: JSON lines over a socket, pixels in shared memory.

The watching side sends start, open, render, free and stop; the rendering side hello, say, opened, begins, rendered, ended
and raised. Nothing is pickled. Knows nothing of what is done with any of it.
"""

import json
import mmap
import os
import select
import socket
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import astuple
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentpress import errors
from latentpress.errors import EnvironmentFailure, LatentpressError, reason
from latentpress.runtime.request import GuidedStep, Origin, Rendered

Message = Mapping[str, Any]
# Pixels that wait to be taken: as many pictures as fit into so many bytes, within these bounds.
_SLOT_BYTES = 64 * 2**20
_SLOTS = (2, 8)


class Channel:
    """Messages over `connection`. Any thread may send. Raises OSError where the other side is gone, or does not listen."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._received = bytearray()
        self._sending = threading.Lock()

    def fileno(self) -> int:
        """For `select`."""
        return self._socket.fileno()

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def send(self, message: Message) -> None:
        """Send one message."""
        line = json.dumps(message, separators=(",", ":")).encode() + b"\n"
        with self._sending:
            self._socket.sendall(line)

    def waiting(self) -> bool:
        """Whether a whole message is here already."""
        return b"\n" in self._received

    def readable(self) -> bool:
        """Whether something has come."""
        return self.waiting() or bool(select.select([self._socket], [], [], 0)[0])

    def receive(self) -> Message | None:
        """The next message, None at the end; waits for it."""
        while not self.waiting():
            if not self.fill():
                return None
        return self.take()

    def fill(self) -> bool:
        """Take in what has come, and wait for something; False at the end."""
        try:
            found = self._socket.recv(1 << 16)
        except ConnectionError:
            return False
        self._received += found
        return bool(found)

    def take(self) -> Message:
        """The first of the messages that are here."""
        line, _, rest = self._received.partition(b"\n")
        self._received = rest
        return json.loads(line)


class SharedPixels:
    """Memory that two processes have in common, in equal slots; each side sizes its own view. file: its descriptor."""

    def __init__(self, file: int) -> None:
        self.file = file
        self.slots = self.size = 0
        self._map: mmap.mmap | None = None

    def resize(self, size: int) -> int:
        """Have slots of at least `size` bytes; returns how many there are. What was in them is lost."""
        if size != self.size or self._map is None:
            fewest, most = _SLOTS
            self.size, self.slots = size, max(fewest, min(most, _SLOT_BYTES // size))
            if os.fstat(self.file).st_size < self.size * self.slots:
                os.ftruncate(self.file, self.size * self.slots)
            self._map = mmap.mmap(self.file, self.size * self.slots)
        return self.slots

    def write(self, slot: int, image: NDArray[np.uint8]) -> None:
        """Put a picture into a slot."""
        self._slot(slot, image.shape)[...] = image

    def read(self, slot: int, shape: tuple[int, ...]) -> NDArray[np.uint8]:
        """A copy of the picture in a slot."""
        return self._slot(slot, shape).copy()

    def _slot(self, slot: int, shape: tuple[int, ...]) -> NDArray[np.uint8]:
        assert self._map is not None, "nothing was sized yet"
        flat = np.frombuffer(self._map, np.uint8, int(np.prod(shape)), slot * self.size)
        return flat.reshape(shape)


def anonymous_file() -> int:
    """The descriptor of a file in memory that has no name, or of one on the disk where the system has no such files."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("latentpress-pixels")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def rendered_data(rendered: Rendered[int], slot: int | None) -> Message:
    """What came of one request; its pixels, if any, are in `slot`."""
    origin = rendered.origin
    return {
        "rendered": rendered.key,
        "slot": slot,
        "shape": None if rendered.image is None else rendered.image.shape,
        "error": rendered.error,
        "cause": rendered.cause,
        "seconds": rendered.seconds,
        "origin": list(astuple(origin)),
        "losses": rendered.losses,
        "guided": [[one.step, one.values, one.share] for one in rendered.guided],
    }


def raised_data(error: BaseException) -> Message:
    """An exception that ends the rendering."""
    known = next((kind.__name__ for kind in type(error).__mro__ if kind.__module__ == errors.__name__), None)
    data: dict[str, Any] = {"raised": known or type(error).__name__, "text": str(error)}
    if isinstance(error, OSError) and known is None:
        data |= {"raised": "OSError", "errno": error.errno, "text": error.strerror or str(error)}
        data["filename"] = None if error.filename is None else os.fsdecode(error.filename)
    elif isinstance(error, ModuleNotFoundError):
        data["module"] = error.name
    return data


def raised_error(data: Message) -> Exception:
    """The exception of `raised_data`, or an EnvironmentFailure that tells of one that is not known here."""
    kind, text = data["raised"], data["text"]
    if kind == "OSError":
        return OSError(data["errno"], text, data["filename"])
    if kind == "ModuleNotFoundError":
        return ModuleNotFoundError(text, name=data["module"])
    known = getattr(errors, kind, None)
    if isinstance(known, type) and issubclass(known, LatentpressError) and known is not errors.ManifestError:
        return known(text)
    return EnvironmentFailure(f"the engine's process failed: {kind}: {reason(ValueError(text), 300)}")


def guided_from(data: Message) -> tuple[GuidedStep, ...]:
    """What losses did, in a message of `rendered_data`."""
    return tuple(GuidedStep(step, tuple(values), share) for step, values, share in data["guided"])


def origin_from(data: Message) -> Origin:
    """The origin in a message of `rendered_data`."""
    return Origin(*data["origin"])
