"""Which file names are safe on every system. Pure."""

import re
import unicodedata

from latentpress.errors import shown
from latentpress.files import OWN_FOLDER, TEMP_PREFIX
from latentpress.safe_names import UNSAFE, UNSEEN

# Bytes of UTF-8.
MAX_COMPONENT, MAX_PATH = 255, 1024
# Characters of a template of names, and of any other text, such as a prompt with its placeholders filled: to read one of
# these takes up to 3 s of a CPU.
MAX_TEMPLATE, MAX_TEXT = 10_000, 100_000

_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)
# Names that break no rule and need no second look: words of ASCII letters, digits, - and _, none of them reserved.
_PLAIN_PART = r"(?!(?i:con|prn|aux|nul|com|lpt))[A-Za-z0-9_-]+"
# What the names of pictures may end in; batch/pictures/encode.py knows the formats.
SUFFIXES = (".png", ".webp", ".jpg", ".jpeg", ".avif")
_PLAIN = re.compile(rf"({_PLAIN_PART}/)*{_PLAIN_PART}({'|'.join(map(re.escape, SUFFIXES))})")


def component_problem(name: str) -> str | None:
    """Why `name` cannot name a file or folder on every common system, None when it can."""
    if name in ("", "."):
        return "is empty"
    if name == "..":
        return "is '..', which climbs out of the output folder"
    if any(unicodedata.category(char) == "Cc" for char in name):
        return "holds a control character"
    if unseen := UNSEEN.search(name):
        return f"holds U+{ord(unseen[0]):04X}, a character that is not seen"
    if len(name.encode()) > MAX_COMPONENT:
        return f"is {len(name.encode()):,} bytes long, the limit is {MAX_COMPONENT}"
    if name.endswith((".", " ")) or name.startswith(" "):
        return "begins or ends with a space or ends with a dot, which some systems drop"
    if UNSAFE.search(name):
        return 'holds one of / \\ : * ? " < > |, which some systems refuse'
    if _RESERVED.fullmatch(name) or name.casefold() == OWN_FOLDER or name.startswith(TEMP_PREFIX):
        return "is reserved"
    return None


def path_problem(output: str) -> str | None:
    """Why `output`, a path below the output folder with / between its parts, cannot be written; None when it can."""
    if len(output) < MAX_COMPONENT and _PLAIN.fullmatch(output):
        return None
    parts = output.split("/")
    if "" in parts:
        return "has an empty part"
    if parts[-1] in SUFFIXES:
        return f"has nothing before {parts[-1]}"
    if len(output.encode()) > MAX_PATH:
        return f"is {len(output.encode()):,} bytes long, the limit is {MAX_PATH:,}"
    for component in parts:
        if trouble := component_problem(component):
            return trouble if component == output else f"has a part {shown(component)} that {trouble}"
    return None


def collision_key(output: str) -> str:
    """Equal for two names that some file system takes for one: letter case and Unicode form aside."""
    if output.isascii():
        return output.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", output).casefold())
