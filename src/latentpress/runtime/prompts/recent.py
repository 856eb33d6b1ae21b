"""A cache of bounded size: what was used least recently goes first."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Recent(Generic[Key, Value]):
    """Values by key, those used last, up to `limit` bytes in all; the newest is kept whatever its size.

    size: gives the bytes of one value. A value that is dropped lives on with whoever holds it.
    """

    def __init__(self, limit: int, size: Callable[[Value], int]) -> None:
        self._limit = limit
        self._size = size
        self._kept: OrderedDict[Key, Value] = OrderedDict()
        self.bytes = 0

    def get(self, key: Key, make: Callable[[], Value]) -> Value:
        """The value of `key`, made now if it is not kept."""
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        value = self._kept[key] = make()
        self.bytes += self._size(value)
        while self.bytes > self._limit and len(self._kept) > 1:
            self.bytes -= self._size(self._kept.popitem(last=False)[1])
        return value
