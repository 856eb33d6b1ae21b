"""A line of an OpenAI Batch file as a job: which fields its parameters are, and which mean nothing here."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from latentpress.errors import shown
from latentpress.manifest.fields import FIELDS, PROMPTS
from latentpress.manifest.nodes import ListNode, MapNode, Node, Problems, Scalar, described
from latentpress.manifest.openai.parameters import (
    EDITS,
    ENDPOINTS,
    PICTURES,
    VARIATIONS,
    complaint,
    parameters,
    required,
)
from latentpress.manifest.openai.pictures import Pictures, WrongPicture
from latentpress.manifest.values import not_given, parse_text, verbatim

CUSTOM_ID = "custom_id"
KEYS = (CUSTOM_ID, "method", "url", "body")
# What pictures are written as in the answers.
OUTPUT_FORMATS = ("png", "jpeg", "webp")
_TAKEN = ("prompt", "n", "size", "response_format", "output_format", "output_compression", "stream", "partial_images")
_REFUSED = ("markup", "svg", "frame_count", "frame_duration_ms")


class Requests:
    """Turns lines into jobs; mistakes go to `problems`, and what means nothing here is told once, as a warning.

    folder: where paths to pictures start; uploads: the folder with files by their `file_id`, None where there is none.
    """

    def __init__(self, folder: Path, uploads: Path | None, problems: Problems) -> None:
        self._problems, self._pictures = problems, Pictures(folder, uploads)
        self._told: set[str] = set()

    def job(self, line: MapNode) -> MapNode | None:
        """The map of the job that a line asks for; None once it is reported that it asks for none."""
        before = self._problems.count
        values = self._job(line)
        return MapNode(values, line.keys, line.place) if self._problems.count == before else None

    def _job(self, line: MapNode) -> dict[str, Node]:
        for key in line.values.keys() - set(KEYS):
            self._problems.unknown_key(line.keys[key], KEYS, "a request")
        for key in KEYS:
            if key not in line.values:
                self._problems.add(line.place, f"{key} is missing; a request has custom_id, method, url and body")
                return {}
        method, url, body = (line.values[key] for key in KEYS[1:])
        if not parse_text(CUSTOM_ID, line.values[CUSTOM_ID], self._problems):
            self._problems.add(line.values[CUSTOM_ID].place, "custom_id is empty; give each request one of its own")
        if not isinstance(method, Scalar) or method.text != "POST":
            self._problems.add(method.place, f"method is {described(method)}; it must be 'POST'")
        if not isinstance(url, Scalar) or url.text not in ENDPOINTS:
            self._problems.add(url.place, f"url is {described(url)}; it must be one of {', '.join(ENDPOINTS)}")
        elif not isinstance(body, MapNode):
            self._problems.add(body.place, f"body is {described(body)}; it must be an object such as {{prompt: ...}}")
        else:
            return {"id": line.values[CUSTOM_ID], **self._fields(url, body)}
        return {}

    def _fields(self, url: Scalar, body: MapNode) -> dict[str, Node]:
        """The fields that the body of a request sets."""
        known = parameters(url.text)
        given = {("image" if key == "images" else key): node for key, node in body.values.items()}
        for key in body.values.keys() - known.keys() - {"images", *FIELDS}:
            self._problems.unknown_key(body.keys[key], (*known, *FIELDS), f"a request for {url.text}")
        for name in required(url.text) - {name for name, node in given.items() if not not_given(node)}:
            self._problems.add(body.place, f"{name} is missing; every request for {url.text} has it")
        fields: dict[str, Node] = {}
        for name, node in given.items():
            if name in PICTURES and name in known:
                continue
            if name not in known:
                fields |= {name: node} if name in FIELDS else {}
            elif (wrong := complaint(url.text, name, _plain(node))) is not None:
                self._problems.add(node.place, f"{name} is {described(node)}; {wrong}")
            elif not not_given(node) and isinstance(node, Scalar):
                self._parameter(name, node, fields)
            elif not not_given(node):
                self._problems.add(node.place, f"{name} means nothing here; leave it out")
        formats = {name: node.text for name, node in given.items() if isinstance(node, Scalar) and name in known}
        if formats.get("response_format") == "url" and formats.get("output_format", "png") != "png":
            what = "response_format is 'url', which leads to the PNG that is kept; ask for b64_json, or for png"
            self._problems.add(given["response_format"].place, what)
        if url.text in (EDITS, VARIATIONS):
            self._given_pictures(given, fields)
        if url.text == VARIATIONS:
            fields.setdefault("prompt", Scalar("", False, url.place))
        return fields | {name: verbatim(fields[name]) for name in fields.keys() & PROMPTS}

    def _parameter(self, name: str, node: Scalar, fields: dict[str, Node]) -> None:
        """Set the field that one of OpenAI's parameters is, if it is one."""
        if name in ("prompt", "n") or (name == "size" and node.text != "auto"):
            fields[name] = node
        elif name in _REFUSED:
            self._problems.add(node.place, f"{name} is given, and cannot be followed; leave it out")
        elif name == "background" and node.text == "transparent":
            self._problems.add(node.place, "background is 'transparent', and pictures here are opaque; leave it out")
        elif name == "output_format" and node.text not in OUTPUT_FORMATS:
            formats = ", ".join(OUTPUT_FORMATS)
            self._problems.add(node.place, f"output_format is {shown(node.text)}; it must be one of {formats}")
        elif name not in (*_TAKEN, "background") and name not in self._told:
            self._told.add(name)
            whose = "the manifest names the model" if name == "model" else "it means nothing here"
            self._problems.warn(node.place, f"{name} is given by requests, and not followed: {whose}")

    def _given_pictures(self, given: Mapping[str, Node], fields: dict[str, Node]) -> None:
        for name, field, find in (
            ("image", "init_image", self._pictures.picture),
            ("mask", "mask_image", self._pictures.mask),
        ):
            node = given.get(name)
            if node is None or not_given(node):
                continue
            try:
                fields[field] = Scalar(str(find(node).absolute()), False, node.place)
            except WrongPicture as error:
                self._problems.add(error.place, f"{name} {error}")
        if (markup := given.get("markup")) is not None and not not_given(markup):
            self._problems.add(markup.place, "markup is given, and cannot be followed; paint it into the image")


def _plain(node: Node) -> Any:
    """A node as the Python value that it is in JSON."""
    if isinstance(node, MapNode):
        return {key: _plain(value) for key, value in node.values.items()}
    return [_plain(item) for item in node.items] if isinstance(node, ListNode) else node.value
