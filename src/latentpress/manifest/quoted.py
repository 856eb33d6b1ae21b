"""Values as YAML has them, whatever is in them, and prompts as a manifest has them that mean their very characters."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def quoted(text: str) -> str:
    """A text that YAML takes as it is, whatever is in it."""
    kept = (char if char.isprintable() and char not in '"\\' else f"\\U{ord(char):08X}" for char in text)
    return f'"{"".join(kept)}"'


def unbraced(prompt: str) -> str:
    """A prompt whose braces are characters."""
    return prompt.replace("{", "{{").replace("}", "}}")


def yaml_value(value: Any) -> str:
    """A value in one line."""
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key}: {yaml_value(one)}' for key, one in value.items())}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(yaml_value, value))}]"
    return quoted(str(value)) if isinstance(value, str | Path) else json.dumps(value)
