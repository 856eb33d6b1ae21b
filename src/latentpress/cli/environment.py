"""Settings by the environment: which variables stand for options, and what is said where one of them is wrong.

An option on the command line wins; an empty variable is none.
"""

import contextlib
import os
import re
from collections.abc import Generator
from typing import Any

from latentpress.errors import LatentpressError, ManifestError, shown

ENGINE = "LATENTPRESS_ENGINE"
THREADS = "LATENTPRESS_THREADS"
OUTPUT = "LATENTPRESS_OUTPUT"


@contextlib.contextmanager
def naming_variables(ctx: Any) -> Generator[None]:
    """Within, an error about a value that comes from the environment says so."""
    try:
        yield
    except ManifestError:
        raise
    except LatentpressError as error:
        for param in ctx.command.params:
            value = str(ctx.params.get(param.name))
            if (
                param.envvar
                and from_environment(ctx, param.name)
                and re.search(rf"(?<!\w){re.escape(value)}\b", str(error))
            ):
                error.args = (f"{error} ({param.envvar} is {shown(value)} in the environment)",)
        raise


def is_output(folder: object) -> bool:
    """Whether LATENTPRESS_OUTPUT names this output folder."""
    return str(folder) == os.environ.get(OUTPUT)


def from_environment(ctx: Any, name: str) -> bool:
    """Whether the value of an option comes from the environment."""
    source = ctx.get_parameter_source(name)
    return source is not None and source.name == "ENVIRONMENT"


def hint_of(ctx: Any, param: Any) -> str | None:
    """What an option is called in a sentence about its value, if it can come from the environment; None for others."""
    if ctx is None or param is None or not param.envvar:
        return None
    if from_environment(ctx, param.name):
        return f"{param.envvar}={shown(param.resolve_envvar_value(ctx))} in the environment"
    return f"'{param.opts[0]}'"
