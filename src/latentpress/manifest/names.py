"""Which file names are safe on every system. Pure."""

import re
import unicodedata

from latentpress.errors import shown
from latentpress.files import OWN_FOLDER, TEMP_PREFIX

MAX_COMPONENT = 255

_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)
# Names that break no rule and need no second look: words of ASCII letters, digits, - and _, none of them reserved.
_PLAIN_PART = r"(?!(?i:con|prn|aux|nul|com|lpt))[A-Za-z0-9_-]+"
_PLAIN = re.compile(rf"({_PLAIN_PART}/)*{_PLAIN_PART}\.png")
_UNSAFE = re.compile(r'[/\\:*?"<>|\x00-\x1f\x7f]')


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
