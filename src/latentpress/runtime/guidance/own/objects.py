"""Losses that a Python program gives: functions, or files with them. What they are is hashed as a manifest's losses are."""

import inspect
import re
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from latentpress.errors import UsageError
from latentpress.runtime.guidance.loss import Loss
from latentpress.runtime.guidance.own.run import object_loss, own_loss
from latentpress.runtime.guidance.own.signature import Signature, read_signature
from latentpress.runtime.guidance.own.source import LossSource, Module, read_source
from latentpress.runtime.request import LossCode

# A function, or the path of a file, as a manifest has it.
Given = Callable[..., Any] | Path | str
# `mine.py`, or `mine.py:warm` for a function that is not called `loss`.
WRITTEN = re.compile(r"(.+?\.py)(?::([^\W\d]\w*))?")
LOSS = "loss"


@dataclass(frozen=True, eq=False)
class GivenLoss:
    """A loss that a program gives: the loss, its code, and the source that this is the hash of."""

    loss: Loss
    code: LossCode
    source: LossSource


def given_losses(losses: Mapping[str, Given], reserved: Sequence[str]) -> dict[str, GivenLoss]:
    """Losses by name, of functions and of files. Raises UsageError for what is no loss; reserved: as of `read_signature`.

    Of a function in a file the code is that of its file, as a manifest's; of one in a notebook it is its own text alone.
    """
    return {name: _given(name, one, reserved) for name, one in losses.items()}


def _given(name: str, given: Given, reserved: Sequence[str]) -> GivenLoss:
    if isinstance(given, str | Path):
        written = WRITTEN.fullmatch(str(given))
        if written is None:
            raise UsageError(f"loss {name}: {str(given)!r} is no path of a Python file; give one, or a function")
        path, function = Path(written[1]), written[2] or LOSS
        source = read_source(path)
        read_signature(source.text, path, function, reserved)
        code = LossCode(source.sha256, path, function)
        return GivenLoss(own_loss(name, source, function, code), code, source)
    if not inspect.isfunction(given):
        raise UsageError(
            f"loss {name} is of type {type(given).__name__}; give a function, or the path of a Python file"
        )
    source, signature = _of_function(name, given, reserved)
    code = LossCode(source.sha256, source.path, given.__name__)
    return GivenLoss(object_loss(name, given, signature, source.path, code), code, source)


def _of_function(name: str, function: Any, reserved: Sequence[str]) -> tuple[LossSource, Signature]:
    try:
        text = textwrap.dedent(inspect.getsource(function))
        path = Path(inspect.getsourcefile(function) or "")
    except (OSError, TypeError):
        raise UsageError(f"loss {name}: the source of {function.__name__} is not found; define it in a file") from None
    signature = read_signature(text, path, function.__name__, reserved)
    if path.is_file() and path.suffix == ".py":
        return read_source(path), signature
    return LossSource(path.parent, LOSS, {LOSS: Module(path.name, text)}), signature
