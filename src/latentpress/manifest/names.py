"""Templates with {placeholders}, and which file names are safe on every system. Pure."""

import re
import string
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches

from latentpress.errors import short, shown
from latentpress.files import OWN_FOLDER, TEMP_PREFIX

BUILT_IN = ("id", "index", "hash")
MAX_COMPONENT = 255

_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)
# Names that break no rule and need no second look: words of ASCII letters, digits, - and _, none of them reserved.
_PLAIN_PART = r"(?!(?i:con|prn|aux|nul|com|lpt))[A-Za-z0-9_-]+"
_PLAIN = re.compile(rf"({_PLAIN_PART}/)*{_PLAIN_PART}\.png")
_UNSAFE = re.compile(r'[/\\:*?"<>|\x00-\x1f\x7f]')


class TemplateError(ValueError):
    """A template that cannot be filled; the message begins with what is wrong."""


def _pieces(template: str) -> list[tuple[str, str | None, str]]:
    """(literal text, placeholder or None, format) for each piece of a template."""
    try:
        pieces = list(string.Formatter().parse(template))
    except ValueError:
        message = "has an unmatched brace; write {name} for a placeholder, {{ or }} for a brace"
        raise TemplateError(message) from None
    # str.format's `!r` is Python, not part of a template: kept with the name, which then nothing fills.
    return [(text, f"{name}!{how}" if how else name, spec or "") for text, name, spec, how in pieces]


def fill(template: str, texts: Mapping[str, str]) -> str:
    """`template` with each {name} replaced; {name:12} keeps the first 12 characters. Raises TemplateError."""
    filled: list[str] = []
    for text, name, width in _pieces(template):
        filled.append(text)
        if name is None:
            continue
        if name not in texts:
            raise TemplateError(_unknown(name, list(texts)))
        # Three digits are enough for any name, and Python refuses to read some thousands of them.
        if width and not (width.isdecimal() and len(width) <= 3):
            what = shown(f"{{{name}:{width}}}")
            raise TemplateError(f"has {what}; after the colon goes how many characters to keep, at most 999")
        filled.append(texts[name][: int(width)] if width else texts[name])
    return "".join(filled)


class Template:
    """An output template, taken apart once for the many names it gives. names: its placeholders."""

    def __init__(self, template: str) -> None:
        self._pieces = [(text, name, int(spec) if spec else None) for text, name, spec in _pieces(template)]
        self.names = {name for _, name, _ in self._pieces if name is not None}

    def filling(self, texts: Mapping[str, str]) -> "Filling":
        """The template with what `texts` holds filled in; the rest is left to `Filling.fill`."""
        parts: list[str | tuple[str, int | None]] = []
        for text, name, width in self._pieces:
            parts.append(text)
            if name is not None:
                parts.append(texts[name][:width] if name in texts else (name, width))
        return Filling(parts)


class Filling:
    """A template filled in part. parts: text, or a placeholder and how many characters of it are kept."""

    def __init__(self, parts: Sequence[str | tuple[str, int | None]]) -> None:
        self._parts = parts

    def fill(self, texts: Mapping[str, str]) -> str:
        """The name with the placeholders left, all of which are in `texts`."""
        return "".join([part if isinstance(part, str) else texts[part[0]][: part[1]] for part in self._parts])


def _unknown(name: str, known: Sequence[str]) -> str:
    close = get_close_matches(name, known, 1)
    hint = (
        f"did you mean {{{close[0]}}}?" if close else f"known: {', '.join(known) or 'none, the manifest has no axis'}"
    )
    return f"names the placeholder {{{short(name)}}}, which nothing fills; {hint}"


def template_problems(template: str, known: Sequence[str]) -> Iterator[str]:
    """What is wrong with an output template whatever its placeholders become."""
    try:
        fill(template, dict.fromkeys(known, "x"))
        pieces = _pieces(template)
    except TemplateError as error:
        yield f"output {error}"
        return
    if any("\\" in text for text, _, _ in pieces):
        yield f"output {shown(template)} holds a backslash; separate folders with /"
    elif not template.endswith(".png"):
        yield f"output {shown(template)} does not end with .png, the one format written"
    elif template.startswith("/"):
        yield f"output {shown(template)} is absolute; it must lie inside the output folder"
    elif ".." in template.split("/"):
        yield f"output {shown(template)} climbs out with '..'; it must lie inside the output folder"


def safe(text: str) -> str:
    """A placeholder's value as part of a file name: <line-art> becomes line-art, separators become -."""
    if text.startswith("<") and text.endswith(">"):
        text = text[1:-1]
    return _UNSAFE.sub("-", text)


def component_problem(name: str) -> str | None:
    """Why `name` cannot name a file or folder on every common system, None when it can."""
    if name in ("", "."):
        return "is empty"
    if name == "..":
        return "is '..', which climbs out of the output folder"
    if any(unicodedata.category(char) == "Cc" for char in name):
        return "holds a control character"
    if len(name.encode()) > MAX_COMPONENT:
        return f"is {len(name.encode())} bytes long, the limit is {MAX_COMPONENT}"
    if name.endswith((".", " ")) or name.startswith(" "):
        return "begins or ends with a space or ends with a dot, which some systems drop"
    if _UNSAFE.search(name):
        return 'holds one of / \\ : * ? " < > |, which some systems refuse'
    if _RESERVED.fullmatch(name) or name.casefold() == OWN_FOLDER or name.startswith(TEMP_PREFIX):
        return "is reserved"
    return None


def path_problem(output: str) -> str | None:
    """Why `output`, a path below the output folder with / between its parts, cannot be written; None when it can."""
    if len(output) < MAX_COMPONENT and _PLAIN.fullmatch(output):
        return None
    if output.startswith("/"):
        return "is absolute; it must lie inside the output folder"
    if len(output.encode()) > 1024:
        return f"is {len(output.encode())} bytes long; the limit is 1024"
    for component in output.split("/"):
        if trouble := component_problem(component):
            return trouble if component == output else f"has a part {shown(component)} that {trouble}"
    return None


def collision_key(output: str) -> str:
    """Equal for two names that some file system takes for one: letter case and Unicode form aside."""
    if output.isascii():
        return output.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", output).casefold())
