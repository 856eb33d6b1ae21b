"""What a loss's function takes, as its file says: parameters, defaults, annotations. Reads the syntax tree, runs nothing."""

import ast
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, Field, StrictBool, TypeAdapter, ValidationError, create_model

from latentpress.errors import UsageError
from latentpress.runtime.guidance.context import WANTS
from latentpress.runtime.guidance.loss import LossParams
from latentpress.runtime.guidance.own.source import parsed

# What a first parameter of this name gets is a batch of one, (1, 3, H, W), as the published notebooks have it.
BATCH = "images"
# A function whose first parameter this is takes no image.
LATENTS = "latents"
_NUMBER = "a number"
# Annotation -> kind and what it must be.
_KINDS: dict[str, tuple[Any, str]] = {
    "float": (float, _NUMBER),
    "int": (int, "a whole number"),
    "str": (str, "text"),
    "bool": (StrictBool, "true or false"),
}
_ANY = (StrictBool | int | float | str, "a number, text, true or false")


class _OwnParams(LossParams):
    # A parameter may be called what pydantic's models have.
    model_config = ConfigDict(protected_namespaces=())

    def complete(self) -> dict[str, float | str]:
        """As `LossParams.complete`; None is a default that only the function knows."""
        found: dict[str, Any] = super().complete()
        return {name: value for name, value in found.items() if value is not None}


@dataclass(frozen=True)
class Signature:
    """What a loss takes. params: the model of its parameters; wants: what it takes of its `Context`; batched: whether its
    first parameter is a batch of one; line: where it begins; looks: whether it takes the image at all."""

    params: type[LossParams]
    wants: frozenset[str]
    batched: bool
    line: int
    looks: bool = True


def read_signature(text: str, path: Path, function: str, reserved: Sequence[str] = ()) -> Signature:
    """The signature of `function` in the file with this source; raises UsageError, beginning with `path:line:col`.

    reserved: names that a manifest has for something else beside a loss's parameters.
    """
    tree = parsed(text, path)
    known = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    if function not in known:
        public = [name for name in known if not name.startswith("_")]
        way_out = f"define `def {function}(image): ...`"
        if public:
            way_out += f", or write {path.name}:{public[-1]} for the function `{public[-1]}`"
        raise UsageError(f"{path}:1:1: it has no function `{function}` at its top level; {way_out}")
    node = known[function]
    arguments = node.args
    positional = [*arguments.posonlyargs, *arguments.args]
    if not positional:
        way_out = "its first parameter is the image, (3, H, W), or `latents`"
        raise _wrong(path, node, f"`{function}` takes no image; {way_out}")
    looks = positional[0].arg != LATENTS
    for parameter in arguments.posonlyargs[looks:]:
        raise _wrong(path, parameter, f"`{parameter.arg}` is positional-only, and is given by name; take out the `/`")
    fields: dict[str, Any] = {}
    wants: set[str] = set()
    for parameter, default in _parameters(arguments, looks):
        name = parameter.arg
        if name in WANTS:
            wants.add(name)
        elif name in reserved or name.startswith(("_", "model_")):
            why = "stands for something else in a manifest" if name in reserved else "begins with _ or model_"
            raise _wrong(path, parameter, f"the parameter `{name}` {why}; give it another name")
        else:
            fields[name] = _field(path, parameter, default)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of names that pydantic's models have, such as `copy`
        params = create_model(function, __base__=_OwnParams, **fields)
    return Signature(params, frozenset(wants), positional[0].arg == BATCH, node.lineno, looks)


def _parameters(arguments: ast.arguments, looks: bool) -> Iterator[tuple[ast.arg, ast.expr | None]]:
    """Each parameter after the image, which is the first where it `looks`, and its default."""
    positional = [*arguments.posonlyargs, *arguments.args]
    defaults = [None] * (len(positional) - len(arguments.defaults)) + list(arguments.defaults)
    yield from list(zip(positional, defaults, strict=True))[looks:]
    yield from zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)


def _field(path: Path, parameter: ast.arg, default: ast.expr | None) -> tuple[Any, Any]:
    """A parameter as pydantic has it. Without a default that can be read it is None, which stands for the function's own."""
    value = _literal(default)
    kind = _annotated(parameter.annotation) or _of_default(value)
    if kind is None and default is None and parameter.annotation is not None:
        what = ast.unparse(parameter.annotation)
        raise _wrong(
            path, parameter, f"`{parameter.arg}` is a {what}, and a manifest gives numbers, text, true and false alone"
        )
    of, must_be = kind or _ANY
    if of is float and type(value) is int:  # as a manifest's would be read
        value = float(value)
    if value is not None and not _fits(value, of):
        raise _wrong(path, parameter, f"the default of `{parameter.arg}` is {value!r}; it must be {must_be}")
    said: Any = {"json_schema_extra": {"must_be": must_be}}
    if default is None:
        return of, Field(**said)
    return (of | None if value is None else of), Field(value, **said)


def _fits(value: Any, kind: Any) -> bool:
    """Whether a default is what its own annotation says."""
    try:
        TypeAdapter(kind).validate_python(value, strict=kind is not float)
    except ValidationError:
        return False
    return True


def _literal(node: ast.expr | None) -> Any:
    """What a default is, where it is a number, text or a truth value; None for anything else."""
    try:
        value = ast.literal_eval(node) if node is not None else None
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return None
    finite = not isinstance(value, float) or abs(value) < float("inf")  # JSON has no others
    return value if isinstance(value, bool | int | float | str) and finite else None


def _annotated(node: ast.expr | None) -> tuple[Any, str] | None:
    """The kind that an annotation means; None where it means none that a manifest can give."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):  # an annotation in quotes
        return _KINDS.get(node.value)
    if isinstance(node, ast.Name):
        return _KINDS.get(node.id)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):  # float | None
        sides = [
            side for side in (node.left, node.right) if not (isinstance(side, ast.Constant) and side.value is None)
        ]
        return _annotated(sides[0]) if len(sides) == 1 else None
    if isinstance(node, ast.Subscript) and ast.unparse(node.value).rpartition(".")[2] == "Literal":
        try:
            choices = ast.literal_eval(node.slice)
        except ValueError:
            return None
        choices = choices if isinstance(choices, tuple) else (choices,)
        return Literal[choices], f"one of {', '.join(map(str, choices))}"
    return None


def _of_default(value: Any) -> tuple[Any, str] | None:
    if isinstance(value, bool):
        return _KINDS["bool"]
    if isinstance(value, int | float):
        return int | float, _NUMBER
    return _KINDS["str"] if isinstance(value, str) else None


def _wrong(path: Path, node: ast.arg | ast.FunctionDef, why: str) -> UsageError:
    return UsageError(f"{path}:{node.lineno}:{node.col_offset + 1}: {why}")
