"""The manifest's `concepts`: tokens and the files that teach them. Checks that files are there, not what they hold.

A concept is one file, a folder with one in it, or the two files that diffusers writes for SDXL.
"""

import re
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from latentpress.errors import ConceptError, short, shown
from latentpress.export.reading.concept_paths import concept_files, concept_sha256
from latentpress.files import unread
from latentpress.manifest.inputs import inputs_now, note_file
from latentpress.manifest.nodes import ListNode, MapNode, Node, Place, Problems, Scalar, described
from latentpress.manifest.values import given, not_given, parse_text

_SHA256 = re.compile(r"[0-9a-f]{64}")
# The names in a concept's folder that say which of them it is.
_DECISIVE = ("*.safetensors", "*.bin", "*.pt", "model_index.json")


@dataclass(frozen=True)
class ConceptFile:
    """A concept the manifest names; `place` is where its file, or its two files, are written; sha256: `concept_sha256`."""

    token: str
    files: tuple[Path, ...]
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
    if not token.text or token.text != token.text.strip() or not token.text.isprintable():
        problems.add(token.place, f"concept token {shown(token.text)} must be text as prompts hold it, e.g. <line-art>")
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
    paths = _paths(token, node, problems)
    if not paths:
        return None
    name = short(token.text)
    shown_paths = " and ".join(str(manifest.parent / path) for path in paths)
    try:
        for path, pattern in product(paths, _DECISIVE):
            inputs_now().folder(manifest.parent / path, pattern)
        files = tuple(file for path in paths for file in concept_files(manifest.parent / path))
        for file in files:
            note_file(file)
        digest = concept_sha256(files)
    except ConceptError as error:
        problems.add(node.place, str(error))
        return None
    except OSError as error:
        reason = unread(Path(str(error.filename)), error)
        problems.add(
            node.place, f"concept file {error.filename} of {name} {reason}; paths start at the manifest's folder"
        )
        return None
    if expected and digest != expected:
        problems.add(
            node.place,
            f"concept file {shown_paths} has sha256 {digest[:12]}…, the manifest says {expected[:12]}…; "
            "restore the file or correct the sum",
        )
        return None
    return ConceptFile(token.text, files, digest, node.place)


def _paths(token: Scalar, node: Node, problems: Problems) -> list[str]:
    """The path or the two paths at `node`; none, and a problem, for anything else."""
    name = short(token.text)
    if not isinstance(node, ListNode):
        text = "" if not_given(node) else parse_text(f"concept {name}", node, problems)
        if text == "":
            problems.add(node.place, f"concept {name} names no file; write the path of its .bin or .safetensors")
        return [text] if text else []
    if len(node.items) != 2:
        problems.add(
            node.place, f"concept {name} has {len(node.items)} files; write one, or two for SDXL's two text encoders"
        )
        return []
    texts = [parse_text(f"concept {name}", item, problems) for item in node.items]
    return [text for text in texts if text] if all(texts) else []
