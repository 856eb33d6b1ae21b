"""The manifest's `losses`: names for people's own losses, each a Python file. Reads the files and runs none of them.

Beside them a manifest may name the built-in losses, and those of installed packages.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from latentpress.errors import UsageError, shown
from latentpress.manifest.inputs import inputs_now, note_unknown
from latentpress.manifest.nodes import OWN_KEY, MapNode, Node, Problems, Scalar, described
from latentpress.manifest.values import is_none, not_given, parse_text
from latentpress.runtime.guidance import LOSSES
from latentpress.runtime.guidance.loss import Loss
from latentpress.runtime.guidance.own.objects import LOSS, WRITTEN
from latentpress.runtime.guidance.own.packages import package_loss, package_losses
from latentpress.runtime.guidance.own.run import unrun
from latentpress.runtime.guidance.own.signature import read_signature
from latentpress.runtime.guidance.own.source import read_source
from latentpress.runtime.request import LossCode

_NAME = re.compile(r"[^\W\d][\w-]{0,63}")


class KnownLosses(Mapping[str, Loss]):
    """The losses that a manifest may name: `own`, the built-in ones, and those of packages, looked for where asked for.

    A name of `own` wins: a later release may have a built-in loss of any name. Raises UsageError for a package's loss that
    cannot be used.
    """

    def __init__(self, own: Mapping[str, Loss | None], reserved: Sequence[str]) -> None:
        self._known = {**LOSSES, **{name: loss for name, loss in own.items() if loss is not None}}
        self._reserved = tuple(reserved)

    def __getitem__(self, name: str) -> Loss:
        if name not in self._known and name in package_losses():
            note_unknown()  # it may be installed anew
            return package_loss(name, self._reserved)
        return self._known[name]

    def __iter__(self) -> Iterator[str]:
        return iter({**self._known, **package_losses()})

    def __len__(self) -> int:
        return len(list(iter(self)))


def parse_own_losses(
    node: Node | None, manifest: Path, problems: Problems, reserved: Sequence[str]
) -> dict[str, Loss | None]:
    """The losses at `node`, files relative to the folder of `manifest`; None for one whose mistake went to `problems`.

    reserved: what a loss has beside its parameters.
    """
    if node is None or not_given(node):
        return {}
    if not isinstance(node, MapNode):
        problems.add(
            node.place, f"losses is {described(node)}; it must be a map from names to files, {{mine: mine.py}}"
        )
        return {}
    return {
        name: _own(node.keys[name], value, manifest, problems, reserved)
        for name, value in node.values.items()
        if not name.startswith(OWN_KEY)
    }


def _own(key: Scalar, node: Node, manifest: Path, problems: Problems, reserved: Sequence[str]) -> Loss | None:
    if not _NAME.fullmatch(key.text) or is_none(key):
        problems.add(key.place, f"a loss cannot be called {shown(key.text)}; take a word of letters, digits, _ and -")
        return None
    if not_given(node):
        problems.add(node.place, f"loss {key.text} names no file; write {key.text}: losses/{key.text}.py")
        return None
    text = parse_text(f"loss {key.text}", node, problems)
    if text is None:
        return None
    written = WRITTEN.fullmatch(text)
    if written is None:
        problems.add(
            node.place,
            f"loss {key.text} is {described(node)}; write the path of a Python file, such as losses/mine.py, or "
            "losses/mine.py:warm for its function `warm`",
        )
        return None
    path, function = manifest.parent / written[1], written[2] or LOSS
    try:
        source = read_source(path, inputs_now())
        signature = read_signature(source.text, path, function, reserved)
    except UsageError as error:
        problems.add(node.place, str(error))
        return None
    return unrun(key.text, signature, str(path), LossCode(source.sha256, path, function))
