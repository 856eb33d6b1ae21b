"""Renders in a process of its own, which may die or hang: what was in its hands is taken apart until the picture is found.

Pictures that came are kept. Halves are tried one after the other, in a new process where one died, down to single pictures;
one that takes the process with it twice, alone, fails. How a picture is rendered is worker.py's business.
"""

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import TypeVar

from latentpress.batch.executors.child import WORKER, Child, Death, Ended
from latentpress.batch.executors.local import Settings
from latentpress.batch.executors.messages import Message, guided_from, origin_from, raised_error
from latentpress.batch.executors.patience import Patience
from latentpress.batch.plan.job import request_data, stored
from latentpress.bundle.info import Bundle
from latentpress.engines.choice import engine_of
from latentpress.errors import EnvironmentFailure
from latentpress.runtime.request import Origin, Rendered, RenderRequest

K = TypeVar("K")
_Work = Sequence[tuple[K, RenderRequest]]
# How often a picture may take the process with it, alone, before it fails: the first time may be somebody else's doing.
TRIES = 2
# Deaths in a row without a picture between them that no picture is to blame for, after which the machine is.
_BLAMELESS = 3
# Pictures that took the process with them while none ever came out, after which the machine is to blame.
_BLAMED = 10
# The longest that is waited for a message without a look at the clock, in seconds.
_SLICE = 1.0


class _Lost(Exception):
    """The process is gone. what: it was at; suspects: the numbers of the pictures in its hands."""

    def __init__(self, death: Death, what: str, suspects: set[int]) -> None:
        super().__init__(death.how)
        self.how, self.cause, self.what, self.suspects = death.how, death.cause, what, suspects


class SupervisedExecutor:
    """An executor of `bundles` (hash -> bundle), as LocalExecutor, in a process that is started for it and watched.

    command: what starts it; the process lives from `start` to `close`.
    """

    def __init__(
        self,
        bundles: Mapping[str, Bundle],
        settings: Settings,
        cache: Path,
        say: Callable[[str], None],
        command: tuple[str, ...] | None = None,
    ) -> None:
        self._bundles, self._settings, self._cache = bundles, settings, cache
        self.say, self._command = say, command
        self._child: Child | None = None
        self._patience = Patience(settings.call_deadline)
        self._opened: tuple[str, list[tuple[int, RenderRequest]]] | None = None
        self._rows: int | None = None
        self._told: int | None = None
        self._restarted = False
        self._rule = ""
        self._origin = Origin("", 0, "")
        self._stopping = False
        self._finished = self._blamed = 0

    def serves(self, bundles: Mapping[str, Bundle], settings: Settings, cache: Path) -> bool:
        """Whether it renders what an executor of these would."""
        return (settings, cache) == (self._settings, self._cache) and bundles.keys() <= self._bundles.keys()

    def start(self) -> None:
        """Start the process, which gets ready while this one goes on; `open` does it otherwise."""
        if self._child is not None:
            return
        self._child = Child(self._command or WORKER)
        settings = {one.name: getattr(self._settings, one.name) for one in fields(self._settings)}
        for name, choice in (("engine", self._settings.choice), ("gradient", self._settings.gradient_choice)):
            settings[name] = str(choice) if choice else None
        if self._rows is not None:  # what the process before found best
            settings["batch_rows"], self._restarted = self._rows, True
        bundles = {digest: str(bundle.path.resolve()) for digest, bundle in self._bundles.items()}
        try:
            self._child.send({"start": {"bundles": bundles, "settings": settings, "cache": str(self._cache)}})
        except Ended:
            raise self._not_opened(self._lost()) from None

    def close(self) -> None:
        """End the process."""
        if self._child is not None:
            self._child.kill()
            self._child = None

    def stop(self) -> None:
        """Begin no more pictures; those that were begun still come."""
        self._stopping = True
        if self._child is not None:
            with suppress(Ended):  # which is noticed where it is listened to
                self._child.send({"stop": True})

    def open(self, bundle: str, requests: Iterable[RenderRequest]) -> str:
        """As LocalExecutor.open, in the process."""
        self._opened = bundle, _alike(requests)
        if self._restarted:  # with rows that were another bundle's
            self.close()
        self._rows, self._restarted = None, False
        if bundle in self._bundles:
            self._patience.on_gpu = engine_of(self._bundles[bundle].info, self._settings.choice).kind.on_gpu
        self._open(self.say)
        return self._rule

    def render(self, requests: Iterable[tuple[K, RenderRequest]]) -> Iterator[Rendered[K]]:
        """Each picture of `requests`, on the bundle that was opened last."""
        work = list(requests)
        groups: deque[list[int]] = deque([list(range(len(work)))] if work else [])
        deaths: Counter[int] = Counter()
        self._stopping = False
        full, blameless = self._rows, 0
        while groups and not self._stopping:
            left = dict.fromkeys(groups.popleft())
            finished = self._finished
            try:
                if self._child is None:
                    self._open(lambda line: None)
                yield from self._group(work, left)
                continue
            except _Lost as caught:
                lost = caught
            suspects = [number for number in left if number in lost.suspects]
            others = [number for number in left if number not in lost.suspects]
            blameless = 0 if suspects or finished != self._finished else blameless + 1
            if blameless >= _BLAMELESS:
                raise EnvironmentFailure(
                    f"the engine's process {lost.how}, {blameless} times before a picture came out"
                )
            parts = [others]
            if not suspects:
                self.say(f"warning: the engine's process {lost.how}; a new one goes on")
            elif len(suspects) == 1:
                deaths[suspects[0]] += 1
                if deaths[suspects[0]] < TRIES:
                    self.say(f"warning: the engine's process {lost.how} with one picture, which a new one tries again")
                    parts = [suspects, others]
                else:
                    self._rows = full
                    yield self._failed(*work[suspects[0]], lost)
            else:
                self.say(
                    f"warning: the engine's process {lost.how} with {len(suspects)} pictures; they are tried in halves"
                )
                if lost.cause != "hang" and self._rows and not self._settings.strict:
                    self._rows = max(2, self._rows // 2)  # the call may have been too large, and no picture
                half = len(suspects) // 2
                parts = [suspects[:half], suspects[half:], others]
            groups.extendleft(reversed([part for part in parts if part]))

    def _group(self, work: _Work[K], left: dict[int, None]) -> Iterator[Rendered[K]]:
        """Have the process render those of `work` that are `left`, which each picture that comes is taken from."""
        asked = {number: work[number][1] for number in left}
        child, ended = self._child, False
        assert child is not None, "the process is started before"
        slot = max(request.height * request.width * 3 for request in asked.values())
        data = [[number, stored(request, request_data(request))] for number, request in asked.items()]
        in_hand: dict[int, tuple[str, list[int]]] = {}
        try:
            child.pixels.resize(slot)
            rows = None if self._rows == self._told else self._rows
            self._send({"render": data, "rows": rows, "slot": slot})
            self._told = self._rows
            while not ended:
                message = self._next(in_hand)
                if "begins" in message:
                    keys = message["keys"]
                    in_hand[message["thread"]] = message["begins"], keys
                    pixels = asked[keys[0]].height * asked[keys[0]].width if keys else 0
                    now = message["at"], message["cpu"]
                    self._patience.began(message["thread"], message["begins"], len(keys), pixels, *now)
                elif "rendered" in message:
                    number = message["rendered"]
                    del left[number]
                    rendered = self._taken(work[number][0], message)
                    yield rendered
                elif "ended" in message:
                    ended = True
                elif "say" in message:
                    self.say(message["say"])
            self._patience.forget()
        finally:
            if not ended:
                self.close()

    def _taken(self, key: K, message: Message) -> Rendered[K]:
        """The picture that a message tells of, its pixels taken out of the shared memory."""
        assert self._child is not None, "it sent the message"
        self._origin = origin = origin_from(message)
        image = None
        if message["slot"] is not None:
            image = self._child.pixels.read(message["slot"], tuple(message["shape"]))
            with suppress(Ended):  # which is noticed where it is listened to
                self._child.send({"free": message["slot"]})
        self._finished += image is not None
        losses = tuple((name, value) for name, value in message["losses"])
        seconds, guided = message["seconds"], guided_from(message)
        return Rendered(key, image, message["error"], seconds, origin, losses, message["cause"], guided)

    def _failed(self, key: K, request: RenderRequest, lost: _Lost) -> Rendered[K]:
        """What comes of a picture that took the process with it; raises where it seems that any picture would."""
        self._blamed += 1
        if not self._finished and self._blamed >= _BLAMED:
            raise EnvironmentFailure(
                f"the engine's process {lost.how} with each of {self._blamed} pictures, and none came out"
            )
        picture = f"with this {request.width}x{request.height} picture alone in its hands, at {lost.what}"
        how = f"the engine's process {lost.how}, {TRIES} times, {picture}"
        return Rendered(key, None, how, 0.0, self._origin, cause=lost.cause)

    def _open(self, say: Callable[[str], None]) -> None:
        """Open the bundle that was asked for last in the process, a new one where there is none."""
        assert self._opened is not None, "render was called before open"
        self.start()
        bundle, work = self._opened
        self._patience.forget()
        try:
            data = [[count, stored(request, request_data(request))] for count, request in work]
            self._send({"open": bundle, "work": data})
            while "opened" not in (message := self._next({})):
                if "say" in message:
                    say(message["say"])
        except _Lost as lost:
            raise self._not_opened(lost) from None
        self._rule, self._told = message["opened"], message["rows"]
        self._rows = self._rows or self._told

    def _send(self, message: Message) -> None:
        assert self._child is not None, "the process is started before"
        try:
            self._child.send(message)
        except Ended:
            raise self._lost() from None

    def _next(self, in_hand: Mapping[int, tuple[str, list[int]]]) -> Message:
        """The process's next message; raises _Lost where none comes, and what the process raised."""
        assert self._child is not None, "the process is started before"
        child, quiet, before, since = self._child, 0.0, None, time.monotonic()
        wait = min(_SLICE, self._settings.call_deadline / 4)
        try:
            while (message := child.receive(wait)) is None:
                # No more than was asked for: this process may have been stopped meanwhile, or the machine asleep.
                now = time.monotonic()
                quiet, since = quiet + min(wait, now - since), now
                cpu = child.cpu_seconds()
                before = cpu if before is None else before
                if self._patience.over(quiet, None if cpu is None or before is None else cpu - before):
                    raise self._lost(in_hand, f"did nothing for {quiet:.0f} s and was ended")
        except Ended:
            raise self._lost(in_hand) from None
        if "raised" in message:
            raise raised_error(message)
        return message

    def _lost(self, in_hand: Mapping[int, tuple[str, list[int]]] | None = None, hung: str = "") -> _Lost:
        """End the process, which is lost, and say what is known of that."""
        assert self._child is not None, "only a process that was started is lost"
        if hung:
            self._child.kill()
        death = Death(hung, "hang") if hung else self._child.end()
        self._child = None
        self._patience.forget()
        held = list((in_hand or {}).values())
        what = ", ".join(dict.fromkeys(name for name, keys in held if keys))
        return _Lost(death, what, {number for _, keys in held for number in keys})

    def _not_opened(self, lost: _Lost) -> EnvironmentFailure:
        return EnvironmentFailure(f"the engine's process {lost.how}, before anything was rendered")


def _alike(requests: Iterable[RenderRequest]) -> list[tuple[int, RenderRequest]]:
    """How many requests there are of each kind that makes a difference to an engine and its rows, and one of them."""
    found: dict[tuple[object, ...], tuple[int, RenderRequest]] = {}
    for request in requests:
        kind = (
            *(request.height, request.width, request.steps, request.guidance_scale > 1, request.guidance_stop),
            *(bool(request.losses), request.refiner),
        )
        count, first = found.get(kind, (0, request))
        found[kind] = count + 1, first
    return list(found.values())
