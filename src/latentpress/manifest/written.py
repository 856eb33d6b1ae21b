"""Digests of what a manifest says: equal where the text is, wherever it stands and however it is quoted."""

import hashlib
import json
from collections.abc import Mapping

from latentpress.manifest.nodes import ListNode, MapNode, Node

# Hex digits of a digest, 64 bits: two of a million texts share one once in 40 million manifests.
_DIGITS = 16


def text_digest(text: str) -> str:
    """The digest of some text."""
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]


class Digests:
    """The digests of a manifest's nodes; each node's is made once, so that nested aliases cost nothing."""

    def __init__(self) -> None:
        self._known: dict[Node, str] = {}

    def of(self, node: Node) -> str:
        """The digest of what `node` says."""
        if node not in self._known:
            self._known[node] = self._made(node)
        return self._known[node]

    def of_fields(self, values: Mapping[str, Node]) -> str:
        """The digest of a map, whatever the order of its keys."""
        return text_digest(json.dumps([[key, self.of(values[key])] for key in sorted(values)]))

    def _made(self, node: Node) -> str:
        if isinstance(node, MapNode):
            return self.of_fields(node.values)
        if isinstance(node, ListNode):
            return text_digest(json.dumps(list(map(self.of, node.items))))
        return text_digest(node.text)
