"""Losses of installed packages, by their entry points in the group `latentpress.losses`. Finds their files, runs none.

What is installed is trusted by being installed. The code of its module, and of what that imports of the same package, is
hashed as a person's own is.
"""

from functools import cache
from importlib.machinery import PathFinder
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from latentpress.errors import UsageError
from latentpress.runtime.guidance.loss import Loss
from latentpress.runtime.guidance.own.run import unrun
from latentpress.runtime.guidance.own.signature import read_signature
from latentpress.runtime.guidance.own.source import read_source
from latentpress.runtime.request import LossCode

GROUP = "latentpress.losses"


@cache
def package_losses() -> dict[str, EntryPoint]:
    """The losses of installed packages: name -> entry point, the first of two that are called alike."""
    return {one.name: one for one in reversed(list(entry_points(group=GROUP)))}


@cache
def package_loss(name: str, reserved: tuple[str, ...] = ()) -> Loss:
    """The loss of that name; raises UsageError where its file is not found, or its function is none for a loss."""
    entry = package_losses()[name]
    package = entry.dist.name if entry.dist else "a package"
    path = _file(entry.module)
    if path is None or not entry.attr.isidentifier():
        raise UsageError(
            f"the loss {name} of {package} is {entry.value}, whose source is not found; write MODULE:FUNCTION there, of "
            "Python files that are installed as such"
        )
    source = read_source(path, only=entry.module.partition(".")[0], name=entry.module)
    signature = read_signature(source.text, path, entry.attr, reserved)
    code = LossCode(source.sha256, path, entry.attr, entry.module)
    version = f" {entry.dist.version}" if entry.dist else ""
    return unrun(name, signature, f"{package}{version}", code)


def _file(module: str) -> Path | None:
    """The file of an installed module, looked for without importing what it lies in."""
    where, spec = None, None
    parts = module.split(".")
    for count in range(1, len(parts) + 1):
        spec = PathFinder.find_spec(".".join(parts[:count]), where)
        if spec is None:
            return None
        where = spec.submodule_search_locations
    return Path(spec.origin) if spec and spec.origin and spec.origin.endswith(".py") else None
