"""Readers of the formats of manifests: from text to the nodes of nodes.py, with exact places. None knows a field."""

from latentpress.errors import ManifestError
from latentpress.manifest.nodes import MAX_BYTES, Node, Problems
from latentpress.manifest.readers.json_text import NotJson, read_json
from latentpress.manifest.readers.yaml_text import read_yaml
from latentpress.manifest.source import JSON, Source


def read_root(source: Source, problems: Problems) -> Node | None:
    """The root node of a YAML or JSON file, None when it holds nothing.

    Raises ManifestError when it cannot be read; keys given twice go to `problems`.
    """
    text = source.text(MAX_BYTES)
    if source.format != JSON:
        return read_yaml(text, source.name, problems)
    try:
        return read_json(text, source.name, problems) if text.strip() else None
    except NotJson as error:
        raise ManifestError([f"{error.place}: {error}"]) from None
