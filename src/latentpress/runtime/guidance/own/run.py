"""Runs a person's own loss: loads the code that was hashed and no other, checks what it gives, and says where it failed.

Its modules have names of their own in `sys.modules`, so that two losses whose helpers are called alike do not meet.
"""

import builtins
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, TracebackType
from typing import TYPE_CHECKING, Any, ClassVar

from latentpress.engines.memory import is_out_of_memory
from latentpress.errors import reason
from latentpress.runtime.guidance.loss import Loss
from latentpress.runtime.guidance.own.printed import printing
from latentpress.runtime.guidance.own.signature import Signature, read_signature
from latentpress.runtime.guidance.own.source import LossSource, Module, read_source
from latentpress.runtime.request import LossCode, LossSpec

if TYPE_CHECKING:
    from torch import Tensor

_PREFIX = "latentpress_loss_"


class LossFailed(Exception):
    """A person's own loss failed: a sentence that begins with its file and line."""


def loss_of(spec: LossSpec, losses: Mapping[str, Loss]) -> Loss:
    """The loss that a picture asks for: of `losses`, which has people's own by the key of their code, or loaded."""
    if spec.code is None:
        return losses[spec.name]
    return losses.get(spec.code.key) or _loaded(spec.code, spec.name)


def unrun(
    name: str, signature: Signature, source: str, code: LossCode, run: Callable[..., "Tensor"] | None = None
) -> Loss:
    """The loss as a manifest needs it: its parameters and its code, which whoever renders loads by `loss_of`.

    run: the function, by default one that fails.
    """

    def unloaded(*image: "Tensor", **keywords: Any) -> "Tensor":
        raise AssertionError(f"the loss {name} is loaded before it is called")

    run = run or unloaded
    wants, looks = signature.wants, signature.looks
    return Loss(name, signature.params, run, source=source, wants=wants, both_ways=True, code=code, looks=looks)


def own_loss(name: str, source: LossSource, function: str, code: LossCode, path: Path | None = None) -> Loss:
    """The loss `name` in `source`, whose code runs when it is first called, and not before."""
    signature = read_signature(source.text, source.path, function)
    return _loss(name, signature, path or source.path, code, lambda: _aside(lambda: _load(source, function)))


def object_loss(name: str, function: Callable[..., Any], signature: Signature, path: Path, code: LossCode) -> Loss:
    """The loss `name` that is a Python function, at hand already."""
    return _loss(name, signature, path, code, lambda: function)


@lru_cache(256)
def _loaded(code: LossCode, name: str) -> Loss:
    """As `own_loss`, read again from where the code lies; raises LossFailed where it is another by now."""
    source = read_source(code.path, only=code.package.partition(".")[0], name=code.package)
    if source.sha256 != code.sha256:
        raise LossFailed(f"{code.path}:1: the code of the loss {name} has changed since this began; run it again")
    if not code.package:
        return own_loss(name, source, code.function, code)
    signature = read_signature(source.text, source.path, code.function)

    def load() -> Callable[..., Any]:
        return getattr(import_module(code.package), code.function)

    return _loss(name, signature, code.path, code, lambda: _aside(load))


def _loss(name: str, signature: Signature, path: Path, code: LossCode, load: Callable[[], Callable[..., Any]]) -> Loss:
    loaded: list[Callable[..., Any]] = []

    def run(image: "Tensor | None" = None, **keywords: Any) -> "Tensor":
        import torch

        failing = _Failing(name, path, signature.line)
        if not loaded:
            with failing:
                loaded.append(load())
        if image is None:
            return _one(loaded[0], None, keywords, signature, failing)[None]
        return torch.stack([_one(loaded[0], one.clone(), keywords, signature, failing) for one in image])

    return unrun(name, signature, str(path), code, run)


def _aside(load: Callable[[], Callable[..., Any]]) -> Callable[..., Any]:
    """The function that `load` gives; what it prints, and what loading it prints, stays off stdout."""
    with printing():
        return printing()(load())


def _one(
    function: Callable[..., Any],
    image: "Tensor | None",
    keywords: Mapping[str, Any],
    signature: Signature,
    failing: "_Failing",
) -> "Tensor":
    """The value of one image (3, H, W), a scalar; raises LossFailed for anything else, and later for its gradient.

    image: None where the function does not look at it.
    """
    import torch

    if image is None:
        latents = keywords["latents"].clone()
        keywords = {**keywords, "latents": latents}
        if latents.requires_grad:
            latents.register_hook(failing.check_gradient)
    elif image.requires_grad:
        image.register_hook(failing.check_gradient)
    with failing:
        given = () if image is None else (image[None] if signature.batched else image,)
        value = function(*given, **keywords)
    if not isinstance(value, torch.Tensor):
        raise failing.at(f"gave a {type(value).__name__} and must give a tensor; leave out .item() and float()")
    if value.numel() != 1:
        raise failing.at(f"gave a tensor of shape {tuple(value.shape)} and must give one number; end it with .mean()")
    if value.is_complex():
        raise failing.at("gave a complex number and must give a real one; take its .abs() or .real")
    value = value.reshape(()).to(torch.float32)
    if not torch.isfinite(value.detach()):
        raise failing.at(f"gave {float(value.detach())}; mind divisions, roots and logarithms of 0")
    if torch.is_grad_enabled() and not value.requires_grad:
        raise failing.at(
            "gave a value that the image has no gradient of; compute it from the image with torch alone, without .detach(), "
            "comparisons and numpy"
        )
    return value


class _Failing:
    """Within, what the code of the loss `name` raises becomes LossFailed; path, line: where the loss begins."""

    def __init__(self, name: str, path: Path, line: int) -> None:
        self._name, self._path, self._line = name, path, line

    def at(self, what: str, line: int | None = None, path: str | None = None) -> LossFailed:
        """What the loss did wrong, at a line of its code."""
        return LossFailed(f"{path or self._path}:{line or self._line}: the loss {self._name} {what}")

    def check_gradient(self, gradient: "Tensor") -> None:
        """Raise where the gradient of the loss by its image is NaN or infinite."""
        import torch

        if not torch.isfinite(gradient).all():
            raise self.at("has a gradient that is NaN or infinite; add 1e-6 where a root or a division meets 0")

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, trace: TracebackType | None) -> None:
        if error is None or isinstance(error, LossFailed) or is_out_of_memory(error):
            return
        if not isinstance(error, Exception | SystemExit):  # Ctrl-C is not the code's
            return
        path, line = _where(error, trace, self._path.parent)
        raise self.at(f"raised {type(error).__name__}: {reason(error, 200)}", line, path) from error


def _where(error: BaseException, trace: TracebackType | None, folder: Path) -> tuple[str | None, int | None]:
    """The last line of the person's code that ran: its file and number; None where none did."""
    if isinstance(error, SyntaxError) and error.filename:
        return error.filename, error.lineno
    found = None, None
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if trace.tb_frame.f_globals.get("__name__", "").startswith(_PREFIX) or Path(file).parent == folder:
            found = file, trace.tb_lineno
        trace = trace.tb_next
    return found


def _load(source: LossSource, function: str) -> Callable[..., Any]:
    """The function, once its module has run."""
    package = _PREFIX + source.sha256
    if package not in _Code.known:
        _Code.known[package] = source
        if not any(isinstance(one, _Code) for one in sys.meta_path):
            sys.meta_path.append(_Code())
    return getattr(import_module(f"{package}.{source.entry}"), function)


class _Code(MetaPathFinder, Loader):
    """Imports modules of the sources that are `known`, package name -> source, and those that their code imports."""

    known: ClassVar[dict[str, LossSource]] = {}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """As `MetaPathFinder.find_spec`."""
        package, _, name = fullname.partition(".")
        if (source := self.known.get(package)) is None:
            return None
        module = source.modules.get(name)
        below = any(one.startswith(f"{name}.") for one in source.modules) or not name
        if module is None and not below:
            return None
        return ModuleSpec(
            fullname, self, origin=str(source.folder), is_package=below or (module is not None and module.is_package)
        )

    def get_source(self, fullname: str) -> str:
        """For tracebacks."""
        module = self._module(fullname)
        return module.text if module else ""

    def exec_module(self, module: ModuleType) -> None:
        """Run the text that was hashed."""
        package = module.__name__.partition(".")[0]
        found = self._module(module.__name__)
        if found is None:  # a folder
            return
        path = str(self.known[package].folder / found.path)
        module.__file__ = path
        module.__dict__["__builtins__"] = {**vars(builtins), "__import__": _importing(package, self.known[package])}
        exec(compile(found.text, path, "exec"), module.__dict__)

    def _module(self, fullname: str) -> Module | None:
        package, _, name = fullname.partition(".")
        return self.known[package].modules.get(name)


def _importing(package: str, source: LossSource) -> Callable[..., ModuleType]:
    """What `import` does in the code of `source`: its local modules come from there."""
    local = {name.partition(".")[0] for name in source.modules}

    def import_(
        name: str,
        globals: Mapping[str, object] | None = None,
        locals: Mapping[str, object] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        top = name.partition(".")[0]
        if level or top not in local:
            return builtins.__import__(name, globals, locals, fromlist or (), level)
        if fromlist:
            return builtins.__import__(f"{package}.{name}", globals, locals, fromlist, 0)
        import_module(f"{package}.{name}")
        return sys.modules[f"{package}.{top}"]

    return import_
