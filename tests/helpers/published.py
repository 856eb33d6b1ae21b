"""The published schemas of what --json prints, and whether a document has every field of theirs and no other."""

import json
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

SCHEMAS = Path(__file__).resolve().parents[2] / "docs" / "schemas"


def read(name: str, text: str) -> Any:
    """The document `text`, once it is what docs/schemas/NAME.json says."""
    schema = json.loads((SCHEMAS / f"{name}.json").read_text())
    Draft202012Validator.check_schema(schema)
    data = json.loads(text)
    Draft202012Validator(closed(schema)).validate(data)
    return data


def closed(schema: Any) -> Any:
    """The schema with no room for fields that it does not name: published ones leave it, for fields may be added."""
    if isinstance(schema, list):
        return [closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: closed(value) for key, value in schema.items()}
    return found | {"additionalProperties": False} if "properties" in schema else found
