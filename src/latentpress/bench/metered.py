"""A session that adds up the seconds spent in it."""

import time
from collections.abc import Mapping

from latentpress.bundle.inputs import Array
from latentpress.engines.engine import EngineChoice, Session


class Metered:
    """seconds: spent in its calls since somebody set it to 0."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.seconds = 0.0

    @property
    def engine(self) -> EngineChoice:
        """The session's."""
        return self._session.engine

    @property
    def note(self) -> str:
        """The session's."""
        return self._session.note

    def run(self, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        """As `Session.run`."""
        started = time.perf_counter()
        found = self._session.run(inputs)
        self.seconds += time.perf_counter() - started
        return found
