"""What a renderer tells of its work while it is at it, and asks: who watches it is not its business."""

from collections.abc import Hashable, Sequence
from typing import Protocol


class Overseer(Protocol):
    """Hears what the renderer is about to do, so that it is known which pictures were in its hands when it dies there."""

    def begins(self, what: str, keys: Sequence[Hashable]) -> None:
        """`what` (the UNet, a loss, ...) is called next in this thread, for the pictures under `keys`, () for none."""
        ...

    def going(self) -> bool:
        """Whether another picture may be begun; those that were begun are finished in any case."""
        ...


class NoOverseer:
    """Hears nothing, and lets everything begin."""

    def begins(self, what: str, keys: Sequence[Hashable]) -> None:
        """Ignored."""

    def going(self) -> bool:
        """Always."""
        return True
