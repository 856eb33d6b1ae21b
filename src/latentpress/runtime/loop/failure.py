"""Why one picture cannot be rendered, of what an engine, a loss or torch raised for it: a cause and a sentence.

What is the machine's and no picture's stays an exception. Knows nothing of batches.
"""

from dataclasses import dataclass

from latentpress.engines.memory import OutOfMemory, is_out_of_memory
from latentpress.errors import LatentpressError, UsageError, reason
from latentpress.runtime.guidance.own.run import LossFailed
from latentpress.runtime.request import RenderRequest

# A missing package, a file that cannot be read: the next picture would meet the same.
_MACHINE = (LatentpressError, OSError, ImportError)


@dataclass(frozen=True)
class Failure:
    """Why there is no picture: `cause` as in `runtime.request.CAUSES`, and a sentence."""

    cause: str
    error: str


def failure_of(error: Exception, what: str, request: RenderRequest) -> Failure:
    """The failure of the picture of `request`, alone in the call of `what` that raised `error`.

    Raises `error` itself where no picture is to blame for it.
    """
    if isinstance(error, UsageError):
        return Failure("input", str(error))
    if isinstance(error, LossFailed):
        return Failure("exception", str(error))
    if isinstance(error, OutOfMemory):
        return Failure("memory", f"{request.width}x{request.height} needs more memory than there is ({error})")
    if isinstance(error, _MACHINE):
        raise error
    if is_out_of_memory(error):
        sentence = f"needs more memory than there is ({what}); render smaller, or free memory"
        return Failure("memory", f"{request.width}x{request.height} {sentence}")
    return Failure("exception", f"{what} raised {type(error).__name__}: {reason(error, 200)}")
