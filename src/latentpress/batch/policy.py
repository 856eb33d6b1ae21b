"""Ends a render before everything is done: after so many failures, so long, or at a time of day. Knows no executor."""

import time

from latentpress.errors import counted
from latentpress.manifest.policy import NO_POLICY, Policy

__all__ = ["NO_POLICY", "Limits", "Policy"]


class Limits:
    """A policy as it is applied to a render of `total` pictures that begins now. why: a sentence once it is to end."""

    def __init__(self, policy: Policy, total: int) -> None:
        allowed = policy.max_failures
        self._allowed = int(allowed * total) if allowed is not None and 0 < allowed < 1 else allowed
        self._policy, self._began = policy, time.monotonic()
        self.why = ""

    def reached(self, failed: int) -> bool:
        """Whether the render is to end, now that so many pictures have failed."""
        policy = self._policy
        if self._allowed is not None and failed > self._allowed:
            self.why = f"{counted(failed, 'picture')} failed, and max_failures allows {self._allowed:g}"
        elif policy.stop_after is not None and time.monotonic() - self._began >= policy.stop_after:
            self.why = "its time is up (stop_after)"
        elif policy.stop_at is not None and time.time() >= policy.stop_at:
            self.why = "its time is up (stop_at)"
        return bool(self.why)
