"""Which of the two executors renders: the one in this process, or the one in a process of its own."""

import os
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

from latentpress.batch.executors.local import NO_LOSSES, Engines, LocalExecutor, Settings
from latentpress.batch.executors.supervised import SupervisedExecutor
from latentpress.bundle.info import Bundle
from latentpress.runtime.guidance.loss import Loss


@contextmanager
def executing(
    bundles: Mapping[str, Bundle],
    settings: Settings,
    cache: Path,
    say: Callable[[str], None],
    engines: Engines | None = None,
    losses: Mapping[str, Loss] = NO_LOSSES,
) -> Generator[LocalExecutor | SupervisedExecutor]:
    """An executor of `bundles`, as `settings` ask; what it opened stays in `engines`, or is let go at the block's end.

    losses: as of LocalExecutor; Python functions stay in this process, and so does the rendering where there are any.
    """
    kept = engines or Engines()
    try:
        if settings.isolated and os.name == "posix" and not losses:
            process = kept.process
            if not isinstance(process, SupervisedExecutor) or not process.serves(bundles, settings, cache):
                kept.close()
                process = kept.process = SupervisedExecutor(bundles, settings, cache, say)
            process.say = say
            yield process
        else:
            yield LocalExecutor(bundles, settings, cache, say, kept, losses)
    finally:
        if engines is None:
            kept.close()
