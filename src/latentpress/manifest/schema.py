"""The manifest as JSON Schema, made from the table of fields, for editors that complete and check as one writes.

What no schema can say is the parsers' alone: ids given twice, placeholders that nothing fills, files that are not there.
"""

import json
import re
from typing import Any

from latentpress.manifest.field_schemas import PATH, RANGE, TEXT, Schema, a_map, built_in_loss, field_schemas, or_null
from latentpress.manifest.fields import FIELDS
from latentpress.manifest.jobs import FILES
from latentpress.manifest.manifest import DEFAULT_OUTPUT, KEYS, VERSION
from latentpress.manifest.named_files import FROM
from latentpress.manifest.names import MAX_COMPONENT, MAX_TEMPLATE, SUFFIXES
from latentpress.manifest.policy import DURATION_PATTERN, FAILURES_PATTERN, MAX_RETRIES, TIME_PATTERN
from latentpress.manifest.sheet_schema import sheet_schema
from latentpress.manifest.sheets import MOST_SHEETS
from latentpress.manifest.source import ENDINGS
from latentpress.manifest.values import MAX_JOBS
from latentpress.safe_names import UNSAFE

DRAFT = "https://json-schema.org/draft/2020-12/schema"
# What cannot be an axis of one's own.
_NO_AXIS = ("id", "index", "hash", "n")
# A template of names: text, `{{` and placeholders with or without a format; no backslash, no part that is `..`.
_OUTPUT = (
    r"^(?!/)(?!(.*/)?\.\.(/|$))([^{}\\]|\{\{|\}\}|\{[^{}:!]+(:(0[0-9]{1,3}|\.[0-9]{1,3}|[1-9][0-9]{0,2})?)?\})*"
    rf"({'|'.join(map(re.escape, SUFFIXES))})$"
)
# What no system refuses as the name of a folder.
_RESERVED = "|".join("".join(f"[{char}{char.upper()}]" for char in word) for word in ("con", "prn", "aux", "nul"))
_NAME = (
    rf"^(?!({_RESERVED}|[cC][oO][mM][0-9]|[lL][pP][tT][0-9])(\..*)?$)(?! )(?!.*\{{(date|time)\}})"
    rf"{UNSAFE.pattern.replace('[', '[^', 1)}*(?<![. ])$"
)
# The endings of files with jobs, in small or capital letters, of paths and no addresses.
_FROM = rf"^(?!.*://).*\.({'|'.join(''.join(f'[{c}{c.upper()}]' for c in ending[1:]) for ending in ENDINGS)})$"
# What every picture needs, and null would take from some.
_NEVER_NULL = ("prompt", "model")
_WORD = {"type": ["string", "number", "boolean", "null"]}
_SAID = {
    "version": "The version of the manifest's form; 1 is the only one so far.",
    "name": "A plain word, which names the output folder; without it the file's name does.",
    "model": "The bundle of every job that names no other: `demo`, or a path.",
    "concepts": "Tokens, and the file, the folder or the two files that teach each.",
    "losses": "Names for losses of your own, and the Python file of each.",
    "wildcards": "The folder of files for __wildcards__ in prompts, or none.",
    "defaults": "Fields for every job.",
    "jobs": "The jobs, and files with more of them.",
    "matrix": "Axes; every job is rendered with every combination, the last axis moving fastest.",
    "output": "The names of the pictures, with {placeholders}, below the output folder.",
    "twins": "Whether each picture that a loss guides is rendered without it too, to tell how far the loss moved it.",
    "quality": "Of pictures in .webp, .jpg or .avif, 1 to 100; a .webp without it keeps every pixel.",
    "sheet": "The contact sheet: which axes or fields go where, and how it looks.",
    "sheets": "Several sheets, each with a name.",
    "policy": "When a render ends early, and how often a picture is tried; options of render win over it.",
}


def manifest_schema() -> Schema:
    """The schema of a manifest."""
    values: dict[str, Schema] = {
        "version": {"const": VERSION},
        "name": or_null({**TEXT, "minLength": 1, "maxLength": MAX_COMPONENT, "pattern": _NAME}),
        "model": {"$ref": "#/$defs/model"},
        "concepts": or_null(
            {"type": "object", "additionalProperties": {"$ref": "#/$defs/concept"}, "propertyNames": {"minLength": 1}}
        ),
        "losses": or_null(_own_losses()),
        "wildcards": {"anyOf": [TEXT, {"const": False}, {"type": "null"}]},
        "defaults": or_null(a_map(_fields() | {"n": _count()})),
        "jobs": or_null({"type": "array", "items": {"$ref": "#/$defs/job"}, "minItems": 1}),
        "matrix": or_null({"$ref": "#/$defs/matrix"}),
        "output": or_null({"type": "string", "pattern": _OUTPUT, "maxLength": MAX_TEMPLATE, "default": DEFAULT_OUTPUT}),
        "twins": or_null({"type": "boolean", "default": False}),
        "quality": or_null({"type": "integer", "minimum": 1, "maximum": 100}),
        "sheet": or_null({**sheet_schema(), "minProperties": 1}),
        "sheets": or_null({"type": "array", "items": sheet_schema(), "minItems": 1, "maxItems": MOST_SHEETS}),
        "policy": or_null(_policy()),
    }
    # A key that is newer than this file may hold anything.
    properties = {key: {"description": _SAID.get(key, key), **values.get(key, {})} for key in KEYS}
    whole = a_map(properties, ["version"])
    return {
        "$schema": DRAFT,
        "title": "latentpress manifest",
        **whole,
        "anyOf": [{"required": [key]} for key in ("defaults", "jobs", "matrix")],
        "if": {"not": {"required": ["losses"]}},
        "then": _without_own_losses(),
        "allOf": [_needed("prompt"), _needed("model", _has("model")), _quality_of_what()],
        "not": {"allOf": [_has("sheet"), _has("sheets")]},
        "$defs": field_schemas()
        | {
            "built_in_loss": built_in_loss(),
            "job": _job(),
            "concept": _concept(),
            "matrix": _matrix(),
            "axis": _axis(),
            "zip": _zip(),
        },
    }


def _has(key: str) -> Schema:
    """A map with this key, which is not null."""
    return {"type": "object", "required": [key], "properties": {key: {"not": {"type": "null"}}}}


def _needed(name: str, *otherwise: Schema) -> Schema:
    """Where no matrix might, `defaults` or each job gives a field, and no job switches it off; files are not looked into."""
    file: Schema = {"required": [FROM]}
    every: Schema = {"items": {"anyOf": [file, {"required": [name]}]}}
    switched_off: Schema = {"not": {"anyOf": [file, {"properties": {name: {"not": {"type": "null"}}}}]}}
    of_all: Schema = {"required": ["defaults"], "properties": {"defaults": _has(name)}}
    of_each: Schema = {"required": ["jobs"], "properties": {"jobs": {"type": "array", **every}}}
    return {
        "anyOf": [
            _has("matrix"),
            {"anyOf": [*otherwise, of_all, of_each], "properties": {"jobs": {"not": {"contains": switched_off}}}},
        ]
    }


def _quality_of_what() -> Schema:
    lossy: Schema = {**_has("output"), "properties": {"output": {"not": {"pattern": r"\.png$"}, "type": "string"}}}
    return {"anyOf": [{"not": _has("quality")}, lossy]}


def schema_text() -> str:
    """The schema as it is published."""
    return json.dumps(manifest_schema(), indent=1, ensure_ascii=False) + "\n"


def _policy() -> Schema:
    count: Schema = {"type": "integer", "minimum": 0, "maximum": 999_999_999}
    retries: Schema = {"type": "integer", "minimum": 0, "maximum": MAX_RETRIES}
    failures: Schema = {"anyOf": [count, {"type": "string", "pattern": FAILURES_PATTERN}, {"type": "null"}]}
    stop_after, stop_at = ({"type": "string", "pattern": one} for one in (DURATION_PATTERN, TIME_PATTERN))
    keys = {"retries": or_null(retries), "stop_after": or_null(stop_after), "stop_at": or_null(stop_at)}
    return a_map({"max_failures": failures} | keys)


def _fields() -> dict[str, Schema]:
    return {name: {"$ref": f"#/$defs/{name}"} for name in FIELDS}


def _count() -> Schema:
    said = "How many pictures, with the seeds from `seed` on, or as many drawn ones."
    return {"description": said, **or_null({"type": "integer", "minimum": 1, "maximum": MAX_JOBS})}


def _job() -> Schema:
    keys = {
        "id": {"description": "What the job is called; its number otherwise.", **or_null(TEXT)},
        FROM: {
            "description": "A file with more jobs; the other keys are given to all of them.",
            **TEXT,
            "pattern": _FROM,
        },
        "n": _count(),
    }
    files: Schema = {
        "description": "The folder with the files that requests of OpenAI's Batch name by file_id.",
        **or_null(TEXT),
    }
    job = a_map(keys | {FILES: files} | _fields())
    return {**job, "dependentRequired": {FILES: [FROM]}}


def _concept() -> Schema:
    path: Schema = {"anyOf": [{"type": "string", "minLength": 1}, {"type": "number"}]}
    paths: Schema = {"anyOf": [path, {"type": "array", "items": path, "minItems": 2, "maxItems": 2}]}
    sha256: Schema = or_null({"type": "string", "pattern": "^[0-9a-fA-F]{64}$"})
    return {"anyOf": [paths, a_map({"file": paths, "sha256": sha256}, ["file"])]}


def _without_own_losses() -> Schema:
    """What of a manifest is narrower that has no losses of its own; its axes are left alone."""
    known: Schema = {"$ref": "#/$defs/built_in_loss"}
    loss: Schema = {"anyOf": [known, {"type": "array", "items": known}, {"type": "null"}]}
    fields: Schema = {"properties": {"loss": loss}}
    return {"properties": {"defaults": fields, "jobs": {"items": fields}}}


def _own_losses() -> Schema:
    file: Schema = {"type": "string", "pattern": r"^.+\.py(:[A-Za-z_]\w*)?$"}
    return {
        "type": "object",
        "patternProperties": {"^x-": {}},
        "propertyNames": {"pattern": r"^[^\W\d][\w-]*$", "not": {"enum": ["none", "off", "no"]}},
        "additionalProperties": file,
    }


def _matrix() -> Schema:
    exclude: Schema = {"type": "array", "items": {"type": "object", "minProperties": 1, "additionalProperties": _WORD}}
    fields = {name: _axis_of(name) for name in FIELDS}
    return {
        "type": "object",
        "properties": fields | {"exclude": or_null(exclude)},
        "patternProperties": {"^x-": {}},
        "additionalProperties": {"$ref": "#/$defs/axis"},
        "propertyNames": _placeholder(),
    }


def _placeholder() -> Schema:
    return {
        "anyOf": [{"pattern": "^x-"}, {"pattern": r"^[^\s\-.:{}0-9][^\s\-.:{}]*$"}],
        "not": {"enum": list(_NO_AXIS)},
    }


def _axis_of(name: str) -> Schema:
    """The axis of a field: its values, each with a label or with other fields if wanted."""
    value: Schema = {"anyOf": [{"$ref": f"#/$defs/{name}"}, RANGE]}
    if name in _NEVER_NULL:
        value = {"not": {"type": "null"}, **value}
    one: Schema = {"anyOf": [value, _labelled(value), {"$ref": "#/$defs/zip"}]}
    many: list[Schema] = [{"type": "array", "items": one, "minItems": 1}, {"not": {"type": ["array", "null"]}, **one}]
    return {"anyOf": many}


def _axis() -> Schema:
    """An axis of one's own."""
    one: Schema = {"anyOf": [_WORD, _labelled(_WORD), {"$ref": "#/$defs/zip"}]}
    file: Schema = a_map({"file": PATH, "whole": {"type": ["boolean", "null"]}}, ["file"])
    many: list[Schema] = [
        {"type": "array", "items": one, "minItems": 1},
        file,
        {"not": {"type": ["array", "null"]}, **one},
    ]
    return {"anyOf": many}


def _labelled(value: Schema) -> Schema:
    return a_map({"label": or_null(TEXT), "value": value}, ["value"])


def _zip() -> Schema:
    """A map that sets several things at once."""
    properties: dict[str, Any] = _fields() | {"label": or_null(TEXT), "value": False}
    return {
        "type": "object",
        "properties": properties,
        "patternProperties": {"^x-": {}},
        "additionalProperties": _WORD,
        "propertyNames": _placeholder(),
        "minProperties": 1,
    }
