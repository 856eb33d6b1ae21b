"""Writes the JSON Schema of manifests where it is published, in docs/ and in the package: `make docs`. A test holds both."""

import sys
from pathlib import Path

from latentpress.manifest.published import FILE
from latentpress.manifest.schema import schema_text

FILES = (Path(__file__).resolve().parent.parent / "docs" / "manifest.schema.json", FILE)

if __name__ == "__main__":
    for file in FILES:
        file.write_text(schema_text(), encoding="utf-8")
        print(f"{file}: written", file=sys.stderr)
