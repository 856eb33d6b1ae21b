"""JSON, JSON lines and CSV: the same jobs as YAML gives, each mistake at its place, a million lines in little memory."""

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from latentpress.errors import ManifestError
from latentpress.manifest.manifest import read_manifest
from latentpress.manifest.source import CSV, JSON, JSONL, YAML, spooled

JOBS = [
    {"id": "kite", "prompt": 'a red kite, "high" up', "seed": 7, "steps": 4, "size": "64x48"},
    {"prompt": "two\nlines; and a 凧 😀", "seed": "3..5", "guidance_scale": 2.5, "sampler": "lms", "model": "demo"},
    {"prompt": "null and void", "negative_prompt": "true", "n": 2, "loss": "canny"},
]
FIELDS = ("id", "prompt", "negative_prompt", "seed", "steps", "size", "guidance_scale", "sampler", "model", "n", "loss")


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def write(name, text):
    Path(name).parent.mkdir(exist_ok=True)
    Path(name).write_text(text, encoding="utf-8", newline="")
    return name


def found(name):
    """What is asked for: the values, seeds and ids of every picture."""
    return [
        ({**draft.values, "loss": [loss.name for loss in draft.values["loss"]]}, seed)
        for draft, seed, _ in read_manifest(name).drafts()
    ]


def ids(name):
    return list(dict.fromkeys(draft.id for draft, _, _ in read_manifest(name).drafts()))


def refused(name):
    with pytest.raises(ManifestError) as caught:
        read_manifest(name)
    return caught.value.problems


def as_csv(jobs, delimiter=","):
    text = io.StringIO()
    rows = csv.DictWriter(text, FIELDS, delimiter=delimiter)
    rows.writeheader()
    rows.writerows(jobs)
    return text.getvalue()


def with_blanks(jobs):
    """CSV with blanks on both sides of every cell, which is in quotes if its text is."""
    rows = [FIELDS, *([job.get(name, "") for name in FIELDS] for job in jobs)]
    return "".join(
        ";".join(
            f' "{str(cell).replace(chr(34), chr(34) * 2)}"\t ' if " " in str(cell) else f" {cell} " for cell in row
        )
        + "\n"
        for row in rows
    )


def as_yaml(jobs):
    """The jobs as they are written by hand, without quotes around a range."""
    text = yaml.safe_dump({"version": 1, "model": "demo", "jobs": jobs}, allow_unicode=True)
    return text.replace("'3..5'", "3..5").replace("3..5", "3..5")


def manifest_of(name):
    return json.dumps({"version": 1, "model": "demo", "jobs": [{"from": name}]})


def test_every_format_gives_the_same_jobs():
    expected = found(write("m.yaml", as_yaml(JOBS)))
    assert len(expected) == 1 + 3 + 2
    whole = json.dumps({"version": 1, "model": "demo", "jobs": JOBS})
    assert found(write("m.json", whole)) == expected
    assert found(write("indented.json", json.dumps(json.loads(whole), indent=2))) == expected
    files = {
        "r.jsonl": "".join(json.dumps(job) + "\n" for job in JOBS),
        "crlf.ndjson": "\ufeff" + "\r\n\r\n".join(json.dumps(job, ensure_ascii=False) for job in JOBS),
        "list.json": json.dumps(JOBS),
        "r.csv": as_csv(JOBS),
        "semicolons.csv": "\ufeffsep=;\r\n" + as_csv(JOBS, ";"),
        "tabs.tsv": as_csv(JOBS, "\t"),
        # Old Macs' line ends; a break within a text is a line feed to them all the same.
        "mac.jsonl": "\ufeff" + "\r\r".join(map(json.dumps, JOBS)),
        "mac.csv": as_csv(JOBS).replace("\r\n", "\r"),
        "blanks.csv": with_blanks(JOBS),
    }
    for name, text in files.items():
        write(name, text)
        assert found(write("with.json", manifest_of(name))) == expected, name


def test_a_file_of_lines_is_a_manifest_by_itself():
    lines = [{"model": "demo", **job} for job in JOBS]
    expected = found(write("m.yaml", as_yaml(lines)))
    assert found(write("r.jsonl", "\n".join(map(json.dumps, lines)))) == expected
    assert found(write("r.csv", as_csv(lines))) == expected
    assert read_manifest("r.csv").name == "r"
    assert ids("r.jsonl") == ["kite", "r-2", "r-3"]
    (problem,) = refused(write("r.csv", "prompt\na\n"))
    assert problem.startswith(
        "r.csv:2:1: model is missing; give each job one, `demo` or the path of a bundle, or write"
    )


def test_an_empty_cell_leaves_the_field_to_defaults_and_null_switches_it_off():
    write("r.csv", "prompt,steps,negative_prompt\na,,\n,5,null\n,null,~\n")
    body = {"version": 1, "model": "demo", "defaults": {"prompt": "d", "steps": 9, "negative_prompt": "x"}}
    write("m.json", json.dumps({**body, "jobs": [{"from": "r.csv"}]}))
    values = [(v["prompt"], v["steps"], v["negative_prompt"]) for v, _ in found("m.json")]
    assert values == [("a", 9, "x"), ("d", 5, None), ("d", 30, "~")]


def test_lists_and_maps_stand_in_cells():
    (one,) = found(
        write(
            "r.csv",
            'prompt,loss,timesteps,model\na {b},"[{name: canny, scale: 3}, channel]","[9, 5]",demo\n'.replace(
                "a {b}", "[a] b"
            ),
        )
    )
    assert one[0]["loss"] == ["canny", "channel"]
    assert one[0]["timesteps"] == (9, 5)
    assert one[0]["prompt"] == "[a] b"


# ruff: noqa: E501 - messages as they are
WRONG = {
    "a.jsonl": (
        '{"prompt": "a", "model": "demo", "stps": 3}\n{"model": "demo", "prompt": "a", "steps": 0}\nnot json\n{"prompt": "a",}\n'
        '[1]\n{"prompt": "a" "b": 1}\n{"prompt": "a", "loss": [{"name": "canny", "scael": 3}], "model": "demo"}\n{"prompt": "a", "prompt": 3}\n'
        '{"prompt": NaN}\n{"prompt": "a", "steps": 3\n{"prompt": "\\ud800", "model": "demo"}\n{"model": "demo"}\n\n'
        "{'prompt': 1}\n" + '{"a": ' * 70,
        [
            "a.jsonl:1:34: unknown key 'stps' in a job; did you mean 'steps'?",
            "a.jsonl:2:43: steps is '0'; it must be a whole number from 1 to 1000",
            "a.jsonl:3:1: not JSON: 'not' is no value",
            "a.jsonl:4:15: not JSON: nothing follows this comma; remove it, for JSON has none before }",
            'a.jsonl:5:1: the line is a list; each line is an object such as {"prompt": "a kite"}',
            "a.jsonl:6:16: not JSON: '\"' stands where , or } belongs",
            "a.jsonl:7:44: unknown key 'scael' in loss canny; did you mean 'scale'?",
            "a.jsonl:8:1: model is missing; give each job one",
            "a.jsonl:8:17: key 'prompt' is given twice; the first is on line 8",
            "a.jsonl:9:12: not JSON: 'NaN' is no value",
            "a.jsonl:10:27: not JSON: the end stands where , or } belongs",
            "a.jsonl:11:12: prompt holds a character that no file can carry",
            "a.jsonl:12:1: prompt is missing; give each job one",
            "a.jsonl:14:2: not JSON: \"'prompt'\" is no key; a key is text in double quotes; text stands in double quotes",
            "a.jsonl:15:385: nested deeper than 64 levels",
        ],
    ),
    "a.csv": (
        'prompt,seed,steps,model\na kite, red,5,3,demo\n"x\ny ""z""", -7,3,demo\nok,4,zwölf,demo\n,1,2,demo\n'
        'a,1,2,demo,,\n"open,3\n',
        [
            "a.csv:2:9: seed is 'red'; it must be a whole number from 0",
            "a.csv:2:17: the row has 5 cells, and the header 4; a text that holds commas goes into double quotes",
            "a.csv:4:11: seed is '-7'; it must be",
            "a.csv:5:6: steps is 'zwölf'; it must be",
            "a.csv:6:1: prompt is missing; give each job one",
            "a.csv:8:1: not CSV: the quote that opens here is not closed; write a quote within a text as",
        ],
    ),
    "b.csv": (
        "prompt,stpes,seed,seed\n",
        [
            "b.csv:1:8: unknown key 'stpes' in the header; did you mean 'steps'?",
            "b.csv:1:19: column 'seed' is given twice; leave one of them out",
        ],
    ),
    "c.csv": ("", ["c.csv:1:1: the file is empty; begin with a line of names such as prompt,seed"]),
    "d.csv": ("prompt,,model\na,b,demo\n", ["d.csv:2:3: this cell stands in a column without a name"]),
    "e.csv": ('prompt,loss,model\na,"{name: canny",demo\n', ["e.csv:2:3: '{name: canny' is not a list or a map: did not find"]),
    "f.jsonl": ("\n \n", ["f.jsonl:1:1: the file holds no job"]),
    "g.csv": ("prompt\n", ["g.csv:1:1: the file holds no job"]),
    "h.json": ('{"version": 1,\n // hi\n}', ["h.json:2:2: not JSON: '//' is no key; a key is text in double quotes; JSON has"]),
    "i.json": (
        '{"version": 1, "model": "demo",\n "jobs": [{"prompt": "a", "sed": 1},\n  7]}',
        ["i.json:2:27: unknown key 'sed' in job 1; did you mean 'seed'?", "i.json:3:3: job 2 is '7'; it must be a map"],
    ),
    "j.json": ("[" * 70, ["j.json:1:65: nested deeper than 64 levels"]),
    "k.json": ("\n", ["k.json:1:1: the manifest is empty"]),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_each_mistake_has_its_place(name):
    text, expected = WRONG[name]
    problems = refused(write(name, text))
    assert len(problems) == len(expected), problems
    for problem, begins in zip(problems, expected, strict=True):
        assert problem.startswith(begins)


def test_bytes_that_are_not_utf_8_are_named():
    Path("a.jsonl").write_bytes(b'{"prompt": "a", "model": "demo"}\n{"prompt": "\xe4"}\n')
    assert refused("a.jsonl") == ("a.jsonl:2:13: byte 0xe4 is not UTF-8; save the file as UTF-8",)
    Path("a.csv").write_bytes(b"prompt\n\xe4\n")
    assert refused("a.csv") == (
        "a.csv:2:1: byte 0xe4 is not UTF-8; save the file as UTF-8, which Excel calls 'CSV UTF-8'",
    )
    for name in ("a.csv", "a.jsonl", "a.json", "a.yaml"):
        Path(name).write_bytes("prompt\nx".encode("utf-16"))
        (only,) = refused(name)
        assert only.startswith(f"{name}:1:1: the file is UTF-16; save it as UTF-8")


def test_a_file_that_changes_between_two_passes_is_refused():
    write("r.jsonl", '{"prompt": "a", "model": "demo"}\n')
    manifest = read_manifest("r.jsonl")
    assert len(list(manifest.drafts())) == len(list(manifest.drafts())) == 1
    os.utime("r.jsonl", ns=(1, 1))
    with pytest.raises(
        ManifestError, match=r"r.jsonl:1:1: the file has changed since it was read first; run the command"
    ):
        list(manifest.drafts())


@pytest.mark.parametrize(
    ("text", "format"),
    [
        ("version: 1\nmodel: demo\ndefaults: {prompt: a}\n", YAML),
        ('{"version": 1, "model": "demo", "defaults": {"prompt": "a"}}', JSON),
        ('{\n"version": 1, "model": "demo", "defaults": {"prompt": "a"}}', JSON),
        ('\n{"model": "demo", "prompt": "a"}\n', JSONL),
        ('{"model": "demo", "prompt": "a"}\n{"model": "demo", "prompt": "b"}\n', JSONL),
        ("prompt,model\na,demo\n", CSV),
        ("model,prompt\rdemo,a\r", CSV),
        ('{"model": "demo", "prompt": "a"}\r{"model": "demo", "prompt": "b"}\r', JSONL),
        ('\ufeff"model";"prompt"\ndemo;a\n', CSV),
        ("{version: 1, model: demo, defaults: {prompt: a}}", YAML),
    ],
)
def test_a_stream_is_kept_to_be_read_twice_and_tells_its_format(text, format):
    source = spooled(io.BytesIO(text.encode()))
    assert source.format == format
    manifest = read_manifest(source)
    assert manifest.name == "stdin"
    passes = [[draft.values["prompt"] for draft, _, _ in manifest.drafts()] for _ in range(2)]
    assert passes[0] == passes[1]
    assert passes[0][0] == "a"
    with pytest.raises(ManifestError, match=r"<stdin>:1:1: "):
        read_manifest(spooled(io.BytesIO(b"")))


MANY = 40_000
READING = """
import sys
from latentpress.manifest.jobs import jobs_of
from latentpress.manifest.nodes import Problems
from latentpress.manifest.source import Source
from pathlib import Path
from peak import peak_bytes
before = peak_bytes()
for name in sys.argv[2:]:
    jobs = jobs_of(Source.of(Path(name)), Problems())
    assert sum(1 for job in jobs) == sum(1 for job in jobs) == int(sys.argv[1])
print(peak_bytes() - before)
"""


def test_lines_are_never_held():
    write("a.jsonl", "".join(f'{{"prompt": "kite {n} {"x" * 80}"}}\n' for n in range(MANY)))
    write("a.csv", "prompt\n" + "".join(f"kite {n} {'x' * 80}\n" for n in range(MANY)))
    paths = [str(Path(__file__).parents[1] / "helpers"), *sys.path]
    done = subprocess.run(
        [sys.executable, "-c", READING, str(MANY), "a.jsonl", "a.csv"],
        capture_output=True, text=True, check=False, env=os.environ | {"PYTHONPATH": ":".join(paths)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout) < 4 << 20, "two files of 4 MB, whose jobs would take 50"


def test_mistakes_without_end_are_cut_off(monkeypatch):
    monkeypatch.setattr("latentpress.manifest.jobs._MOST_MISTAKES", 100)
    write("a.jsonl", '{"prompt": "a", "model": "demo", "x": 1}\n' * 200)
    assert refused("a.jsonl")[-1] == "a.jsonl:102:1: more than 100 mistakes; the rest of the file is not read"
