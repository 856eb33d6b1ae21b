"""The manifest's `concepts`: tokens and the files that teach them. Checks that files are there, not what they hold."""

import re
from dataclasses import dataclass
from pathlib import Path

from latentpress.bundle.info import file_sha256
from latentpress.errors import short, shown
from latentpress.manifest.nodes import MapNode, Node, Place, Problems, Scalar, described
from latentpress.manifest.values import given, not_given, parse_text

_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class ConceptFile:
    """A concept the manifest names; `place` is where its file is written."""

    token: str
    path: Path
    sha256: str
    place: Place


def parse_concepts(node: Node, manifest: Path, problems: Problems) -> tuple[ConceptFile, ...]:
    """The concepts at `node`, files relative to the folder of `manifest`; mistakes go to `problems`."""
    if not isinstance(node, MapNode):
        problems.add(node.place, f"concepts is {described(node)}; it must be a map from each token to its file")
        return ()
    found = [_concept(node.keys[token], value, manifest, problems) for token, value in node.values.items()]
    return tuple(concept for concept in found if concept)


def _concept(token: Scalar, node: Node, manifest: Path, problems: Problems) -> ConceptFile | None:
    if not token.text or any(char.isspace() for char in token.text):
        problems.add(token.place, f"concept token {shown(token.text)} must be one word, e.g. <line-art>")
        return None
    expected: str | None = None
    if isinstance(node, MapNode):
        for key in node.values.keys() - {"file", "sha256"}:
            problems.unknown_key(node.keys[key], ("file", "sha256"), f"concept {short(token.text)}")
        values = given(node)
        if "sha256" in values:
            written = values["sha256"]
            expected = (parse_text("sha256", written, problems) or "").lower()
            if not _SHA256.fullmatch(expected):
                problems.add(written.place, f"sha256 is {described(written)}; it must be 64 hexadecimal digits")
                return None
        if "file" not in values:
            problems.add(node.place, f"concept {short(token.text)} has no file; write {{file: concepts/name.bin}}")
            return None
        node = values["file"]
    text = "" if not_given(node) else parse_text(f"concept {short(token.text)}", node, problems)
    if text is None:
        return None
    if not text:
        problems.add(
            node.place, f"concept {short(token.text)} names no file; write the path of its .bin or .safetensors"
        )
        return None
    path = manifest.parent / text
    try:
        digest = file_sha256(path)
    except OSError as error:
        reason = "does not exist" if isinstance(error, FileNotFoundError) else f"cannot be read ({error.strerror})"
        problems.add(
            node.place, f"concept file {path} of {short(token.text)} {reason}; paths start at the manifest's folder"
        )
        return None
    if expected and digest != expected:
        problems.add(
            node.place,
            f"concept file {path} has sha256 {digest[:12]}…, the manifest says {expected[:12]}…; "
            "restore the file or correct the sum",
        )
        return None
    return ConceptFile(token.text, path, digest, node.place)
