"""What one field of a job is: everything that follows from it stands in one entry of `fields.FIELDS`."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from latentpress.manifest.nodes import Node, Problems
from latentpress.manifest.values import not_given
from latentpress.runtime.facts import BundleFacts, Bundles
from latentpress.runtime.guidance import LOSSES
from latentpress.runtime.guidance.loss import Loss
from latentpress.runtime.request import RenderRequest

# A job's fields by name, each as its parser gave it; `seed` is one seed here.
Values = Mapping[str, Any]
# What is read where a value is wrong, once that is reported.
WRONG: Any = object()


@dataclass(frozen=True)
class Reader:
    """What parsers share: where mistakes go, the losses that the manifest may name, and the names of its axes.

    broken: names of losses of its own that cannot be used, which is told where the manifest names their files.
    """

    problems: Problems
    losses: Mapping[str, Loss] = field(default_factory=lambda: LOSSES)
    axes: Sequence[str] = ()
    broken: Collection[str] = ()


@dataclass(frozen=True)
class Field:
    """One field of a job.

    parse: from a node that is not null to a checked value, or None once the mistake is reported; default: the value
    where nobody gives one; text: how labels, file names and `{placeholders}` show it, by default str() of the value;
    attributes: those of RenderRequest that it decides, by default the one of its name; settle: their values, by default
    the field's own;
    parameters: its `Key: value` pairs in A1111's text, none by default; prose: whether it is text of any kind, so that
    brackets in it mean nothing to YAML;
    schema: what of its values a JSON Schema can say, where the kind of field says it; field_schemas.py has the others;
    since: 1 for a field that is part of every job's hash. A field that came later (2) is left out of the hash while
    its attributes have RenderRequest's defaults, so that a job that does not use it keeps the hash it always had.
    """

    parse: Callable[[Node, Reader], Any]
    default: Any = None
    text: Callable[[Values], str] | None = None
    attributes: tuple[str, ...] | None = None
    settle: Callable[[Values, Bundles], tuple[Any, ...]] | None = None
    parameters: Callable[[RenderRequest, BundleFacts, Bundles], Mapping[str, str]] | None = None
    schema: Mapping[str, Any] | None = None
    since: int = 2
    prose: bool = False

    def read(self, node: Node, reader: Reader) -> Any:
        """The value at `node`: the default where it is null, whatever the field is; WRONG once a mistake is reported."""
        if not_given(node):
            return self.default
        value = self.parse(node, reader)
        return WRONG if value is None else value
