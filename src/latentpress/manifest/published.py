"""The JSON Schema of manifests as it is published: a file, for to make it (schema.py) takes all that reads manifests."""

from pathlib import Path

FILE = Path(__file__).with_name("manifest.schema.json")


def published_schema() -> str:
    """The text of the schema, which `make docs` writes and a test holds to the code."""
    return FILE.read_text(encoding="utf-8")
