"""The published JSON Schema: made of the table of fields, and of one mind with the parsers wherever a schema can be."""

import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
from PIL import Image

import schema_files
from latentpress.cli import run_cli
from latentpress.errors import ManifestError
from latentpress.manifest.field_schemas import SAID
from latentpress.manifest.fields import FIELDS
from latentpress.manifest.manifest import KEYS, read_manifest
from latentpress.manifest.nodes import ListNode, MapNode, Problems
from latentpress.manifest.readers import read_root
from latentpress.manifest.schema import manifest_schema, schema_text
from latentpress.manifest.source import Source
from latentpress.runtime.guidance import LOSSES
from latentpress.runtime.sampling.samplers import SAMPLERS
from manifest_corpus import PARSER, right, wrong

ROOT = Path(__file__).resolve().parent.parent.parent
SCHEMA = manifest_schema()
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
HEAD = "version: 1\nmodel: demo\n"


def data_of(node):
    """A node as an editor's YAML 1.2 has it."""
    if isinstance(node, MapNode):
        return {key: data_of(value) for key, value in node.values.items()}
    if isinstance(node, ListNode):
        return [data_of(item) for item in node.items]
    return None if node is None else node.value


def by_schema(path):
    """Whether the schema accepts the manifest at `path`."""
    return VALIDATOR.is_valid(data_of(read_root(Source.of(path), Problems())))


def by_parser(path):
    """The mistakes that the parsers find."""
    try:
        read_manifest(path)
    except ManifestError as error:
        return error.problems
    return ()


@pytest.fixture
def write(tmp_path, monkeypatch):
    """write(body) writes a manifest beside the files that the corpus names."""
    monkeypatch.chdir(tmp_path)
    Path("p.txt").write_text("a kite\n")
    for name in ("j.jsonl", "J.JSONL"):
        Path(name).write_text('{"prompt": "a"}\n')
    Path("lists").mkdir()
    Path("c.bin").write_bytes(b"c")
    Path("d.bin").write_bytes(b"d")
    Image.new("RGB", (64, 64)).save("p.png")

    def one(body):
        head = HEAD.replace("model: demo\n", "") if body.startswith("model:") or "\nmodel: null\n" in body else HEAD
        Path("m.yaml").write_text(head + body, encoding="utf-8")
        return Path("m.yaml")

    return one


def test_the_published_schema_is_the_codes(capsys):
    for file in schema_files.FILES:
        assert file.read_text(encoding="utf-8") == schema_text(), "run `make docs`"
    assert (ROOT / "docs" / "manifest.schema.json") in schema_files.FILES
    assert run_cli(["schema"]) == 0
    assert capsys.readouterr().out == schema_text()


def test_the_schema_is_printed_without_what_makes_it():
    """To read all that reads manifests takes some half a second of a CPU, which who completes a key waits for."""
    code = "import sys; from latentpress.cli import run_cli; run_cli(['schema']); print(*sys.modules, file=sys.stderr)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(run.stdout) == SCHEMA
    loaded = set(run.stderr.split())
    assert loaded.isdisjoint({"numpy", "PIL", "latentpress.manifest.fields", "latentpress.engines"})


def test_the_schema_is_one_that_editors_can_use():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert set(SCHEMA["properties"]) == set(KEYS)
    assert SAID.keys() == FIELDS.keys()
    defs = SCHEMA["$defs"]
    assert all(defs[name]["title"] == name and defs[name]["description"] for name in FIELDS)
    text = json.dumps(defs["sampler"])
    assert all(f'"{name}"' in text for name in SAMPLERS)
    assert all(f'"{name}"' in json.dumps(defs["loss"]) for name in LOSSES)


def test_every_example_is_accepted_and_names_the_schema():
    examples = sorted((ROOT / "examples").glob("**/*.yaml"))
    assert len(examples) > 3
    for path in examples:
        document = data_of(read_root(Source.of(path), Problems()))
        if "version" in document:
            assert not list(VALIDATOR.iter_errors(document)), path
            assert path.read_text().startswith("# yaml-language-server: $schema="), path


def test_what_is_right_is_right_to_both(write):
    bodies = right()
    for body in bodies:
        path = write(body)
        assert not by_parser(path), body
        assert by_schema(path), body


def test_what_is_wrong_is_wrong_to_both(write):
    for body in wrong():
        path = write(body)
        assert by_parser(path), body
        assert not by_schema(path), body


@pytest.mark.parametrize("kind", PARSER)
def test_what_no_schema_can_see_the_parsers_do(kind, write):
    for body in PARSER[kind]:
        path = write(body)
        assert by_parser(path), body
        if kind not in ("a key or an id given twice", "YAML that is no JSON"):
            assert by_schema(path), body


def test_the_corpus_is_large():
    assert len(right()) + len(wrong()) + sum(map(len, PARSER.values())) >= 200


def test_files_stands_beside_from_alone():
    from latentpress.manifest.jobs import FILES
    from latentpress.manifest.named_files import FROM

    job = manifest_schema()["$defs"]["job"]
    jsonschema.validate({FROM: "a.jsonl", FILES: "uploads"}, {**manifest_schema(), **job, "anyOf": [{}], "allOf": [{}]})
    assert job["dependentRequired"] == {FILES: [FROM]}
