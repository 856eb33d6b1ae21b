"""A1111's `parameters` read by a grammar that was written anew from a description, and not from its code, which is AGPL.

text     := prompt ["\\nNegative prompt: " negative] "\\n" settings
settings := pair {", " pair}, three pairs or more; else the line belongs to the prompt
pair     := key ": " value; a value is a JSON string, or whatever has no comma
"""

import json
import re

_PAIR = re.compile(r'\s*(\w[\w \-/]+):\s*("(?:\\.|[^\\"])*"|[^,]*)(?:,|$)')
_NEGATIVE = "Negative prompt:"


def read(text):
    """(prompt, negative prompt, key -> value); lines are trimmed, as the programs that read it do."""
    *lines, last = text.strip().split("\n")
    pairs = _PAIR.findall(last)
    if len(pairs) < 3:
        lines, pairs = [*lines, last], []
    parts = {"": [], _NEGATIVE: []}
    part = ""
    for line in map(str.strip, lines):
        if line.startswith(_NEGATIVE):
            part, line = _NEGATIVE, line.removeprefix(_NEGATIVE).strip()
        parts[part].append(line)
    values = {key: json.loads(value) if value.startswith('"') else value.strip() for key, value in pairs}
    return "\n".join(parts[""]), "\n".join(parts[_NEGATIVE]), values
