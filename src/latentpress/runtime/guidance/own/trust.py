"""Whose code may run: a file of the user's own that lists what they trust, by hash. An edited loss is trusted no more.

A line is `SHA256  PATH`, as sha256sum writes it, the path for people alone; what begins with # is a remark.
"""

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from latentpress.errors import UsageError, one_line
from latentpress.files import read_regular, write_durably
from latentpress.runtime.guidance.own.source import LossSource
from latentpress.runtime.request import LossCode, RenderRequest

_NAME = "trusted-losses.txt"
_LIMIT = 1 << 22
_LINE = re.compile(r"([0-9a-f]{64})  (.+)")
_HEAD = "# Losses whose code latentpress may run, by the sha256 of their code. `latentpress trust FILE` adds one.\n"


def trust_file() -> Path:
    """latentpress/trusted-losses.txt in $XDG_CONFIG_HOME, or in ~/.config."""
    named = os.environ.get("XDG_CONFIG_HOME", "")
    if named.startswith("/"):  # its specification has others ignored
        return Path(named) / "latentpress" / _NAME
    try:
        return Path.home() / ".config" / "latentpress" / _NAME
    except RuntimeError:
        raise UsageError("there is no home folder to keep trust in; name a folder with XDG_CONFIG_HOME") from None


def trusted() -> Mapping[str, str]:
    """sha256 -> path of the losses that this user trusts; nothing where there is no such file, or it cannot be read."""
    try:
        text = read_regular(trust_file(), _LIMIT).decode(errors="replace")
    except (OSError, UsageError):
        return {}
    return {found[1]: found[2] for line in text.splitlines() if (found := _LINE.fullmatch(line.strip()))}


def trust(sources: Iterable[LossSource]) -> None:
    """Trust the code of each from now on, beside what is trusted already."""
    path = trust_file()
    known = trusted()
    try:
        before = read_regular(path, _LIMIT).decode(errors="replace")
    except FileNotFoundError:
        before = _HEAD
    new = {one.sha256: one_line(str(one.path.absolute())) for one in sources if one.sha256 not in known}
    lines = "".join(f"{sha256}  {where}\n" for sha256, where in new.items())
    if lines:
        write_durably(path, (before + "\n" * (not before.endswith("\n")) + lines).encode())


def codes_of(requests: Iterable[RenderRequest]) -> dict[str, LossCode]:
    """sha256 -> the code of people's own losses in `requests`."""
    return {loss.code.sha256: loss.code for request in requests for loss in request.losses if loss.code is not None}


def refuse_untrusted(codes: Mapping[str, LossCode], *, allow: bool) -> None:
    """Raise UsageError where one of `codes` may not run: by `allow`, by the user's trust, or as an installed package."""
    asked = {sha256: code for sha256, code in codes.items() if not code.package}
    if allow or not asked:
        return
    known = trusted()
    refused = [code.path for sha256, code in asked.items() if sha256 not in known]
    if refused:
        files = " ".join(dict.fromkeys(map(str, refused)))
        whose = "the loss in it is" if len(refused) == 1 else "the losses in them are"
        raise UsageError(
            f"{files}: {whose} code that this would run with your rights, and nobody has allowed that; read it, then add "
            f"--allow-code, or trust it until it changes with `latentpress trust {files}`"
        )
