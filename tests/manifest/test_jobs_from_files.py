"""Entries of `jobs` that name files: what their jobs are given and called, and what is wrong with an entry."""

# ruff: noqa: E501 - messages as they are

from pathlib import Path

import pytest

from latentpress.errors import ManifestError
from latentpress.manifest.manifest import read_manifest


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def write(name, text):
    Path(name).parent.mkdir(exist_ok=True)
    Path(name).write_text(text, encoding="utf-8", newline="")
    return name


def refused(name):
    with pytest.raises(ManifestError) as caught:
        read_manifest(name)
    return caught.value.problems


MANIFEST = """version: 1
model: demo
defaults: {prompt: a mouse, steps: 4}
jobs:
  - id: one
  - {from: in/r.jsonl, steps: 9}
  - prompt: last
  - {from: in/list.yaml, id: b, seed: 8}
output: "{id}.png"
"""


def test_an_entry_gives_its_file_defaults_and_an_id():
    write("in/r.jsonl", '{"prompt": "a"}\n\n{"id": "mine", "steps": 1}\n')
    write("in/list.yaml", "- {id: x, seed: 3}\n- from: r.jsonl\n")
    write("m.yaml", MANIFEST)
    jobs = [(d.id, d.values["prompt"], d.values["steps"], seed) for d, seed, _ in read_manifest("m.yaml").drafts()]
    assert jobs == [
        ("one", "a mouse", 4, 0),
        ("r-1", "a", 9, 0),
        ("mine", "a mouse", 1, 0),
        ("3", "last", 4, 0),
        ("b-x", "a mouse", 4, 3),
        ("b-r-1", "a", 4, 8),
        ("b-mine", "a mouse", 1, 8),
    ]
    write("m.yaml", MANIFEST.replace("jobs:\n", "matrix: {steps: [2]}\njobs:\n"))
    (problem,) = refused("m.yaml")
    assert problem.startswith("in/r.jsonl:3:25: steps is set by this job and by the matrix"), (
        "which overrides an entry's"
    )


def test_paths_start_at_the_folder_of_the_file_they_stand_in():
    write("in/r.jsonl", '{"prompt": "a", "model": "bundles/x", "init_image": "p.png"}')
    write("m.yaml", "version: 1\njobs: [{from: in/r.jsonl}]\n")
    (problem,) = refused("m.yaml")
    assert problem.startswith("in/r.jsonl:1:53: init_image in/p.png does not exist")


FROM = {
    "from: r.jsonl, stps: 3": "2:25: unknown key 'stps' in an entry with `from`; did you mean 'steps'?",
    "from: nowhere.jsonl": "2:16: file nowhere.jsonl does not exist; paths start at the folder of the file they stand in",
    "from: folder.csv": "2:16: file folder.csv cannot be read (it is a folder, not a regular file)",
    "from: r.txt": "2:16: from is 'r.txt'; it must be a file that ends with one of .yaml, .yml, .json, .jsonl, .ndjson, .csv",
    "from: null": "2:16: from names no file; write the path of one, e.g. requests.jsonl",
    "from: [r.jsonl]": "2:16: from is a list; it must be text",
    "from: m.yaml": "2:16: from leads back to a file that is being read: m.yaml -> m.yaml; remove one of these",
    "from: a.yaml": "b.yaml:1:10: from leads back to a file that is being read: m.yaml -> a.yaml -> b.yaml -> a.yaml; remove",
    "from: other.yaml": "other.yaml:1:1: the file is a map, perhaps a manifest; what `from` names is a list of jobs",
    "from: empty.yaml": "empty.yaml:1:1: the file holds no job; it must be a list of maps such as - {prompt: ...}",
    "from: r.jsonl}, {from: ./r.jsonl, steps: 3": "2:33: from names r.jsonl again, as the entry on line 2 does, and its jobs would",
    "from: lines.jsonl": "lines.jsonl:1:16: from names a file with jobs, which only the list `jobs` of YAML or JSON can; name",
    "from: lines.csv": "lines.csv:1:8: from names a file with jobs, which only the list `jobs` of YAML or JSON can; name",
    "from: r.jsonl}, {from: in/r.jsonl": "in/r.jsonl:1:1: job id 'r-1' is given twice; the first is at r.jsonl:1:1; give",
}


@pytest.mark.parametrize("entry", FROM)
def test_what_is_wrong_with_an_entry(entry):
    for name in ("r.jsonl", "in/r.jsonl"):
        write(name, '{"prompt": "a"}\n')
    write("a.yaml", "- {from: b.yaml}\n")
    write("b.yaml", "- {from: a.yaml}\n")
    write("other.yaml", "version: 1\n")
    write("empty.yaml", "[]\n")
    write("r.txt", "a")
    write("lines.jsonl", '{"steps": "a", "from": "r.jsonl"}\n')
    write("lines.csv", "prompt,from\na,r.jsonl\n")
    Path("folder.csv").mkdir()
    write("m.yaml", f"{{version: 1, model: demo,\n jobs: [{{{entry}}}]}}\n")
    (problem,) = refused("m.yaml")
    assert problem.removeprefix("m.yaml:").startswith(FROM[entry])


def test_what_each_line_must_say_is_missed_at_its_line(tmp_path):
    (tmp_path / "m.jsonl").write_text('{"prompt": "a", "model": "demo"}\n{"prompt": "b"}\n')
    (tmp_path / "m.csv").write_text("prompt,model\na,demo\nb,\n")
    for name, place in (("m.jsonl", "2:1"), ("m.csv", "3:1")):
        with pytest.raises(ManifestError, match=rf"{name}:{place}: model is missing") as caught:
            read_manifest(tmp_path / name)
        assert len(caught.value.problems) == 1
