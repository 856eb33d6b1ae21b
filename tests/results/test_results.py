"""The table of a folder's pictures: what stands in its rows, and what Arrow, which `datasets` reads with, makes of it."""

import hashlib
import io
import json
import shutil
import sqlite3
import sys
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.json
import pyarrow.parquet
import pytest
from PIL import Image

from fakes import FakeExecutor
from latentpress.batch.ledger.ledger import ledger_path
from latentpress.batch.pictures.png import png_bytes
from latentpress.cli import run_cli
from latentpress.results.image_folder import may_replace
from latentpress.runtime.request import Origin, Rendered

LARGEST = 2**64 - 1
BODY = f"""\
defaults: {{size: 64x64, steps: 20, negative_prompt: blurry}}
jobs:
  - {{id: owl, prompt: "2024-01-01", seed: 1, loss: canny}}
  - {{id: big, prompt: "2024-01-01", seed: {LARGEST}, loss: canny}}
  - {{id: bad, prompt: nan, seed: 5}}
  - {{id: gone, prompt: a kite, seed: 6}}
output: "{{id}}/{{seed}}.png"
"""


class Executor(FakeExecutor):
    """As on another engine and device, with a loss whose value is no number for one seed."""

    origin = Origin("openvino-bf16", 8, "any", "a CPU", "openvino 1")

    def render(self, requests):
        for done in super().render(requests):
            value = float("nan") if self.rendered[-1] == 1 else 0.25
            yield Rendered(done.key, done.image, done.error, done.seconds, done.origin, (("canny", value),))


@pytest.fixture
def out(folder):
    made = folder(BODY)
    made.render(executor=Executor())
    (made.path / "gone" / "6.png").unlink()
    Image.new("RGB", (8, 8)).save(made.path / "sheet.png")
    Image.new("RGB", (8, 8)).save(made.path / "photo.png")
    return made.path


def rows(out, capsys):
    capsys.readouterr()
    assert run_cli(["results", str(out)]) == 0
    return {row["file_name"]: row for row in map(json.loads, capsys.readouterr().out.splitlines())}


def test_each_picture_has_a_row_of_what_is_known(out, capsys):
    found = rows(out, capsys)
    states = {"owl/1.png": "done", f"big/{LARGEST}.png": "done", "bad/5.png": "failed", "gone/6.png": "missing"}
    assert {name: row["status"] for name, row in found.items()} == states
    one = found[f"big/{LARGEST}.png"]
    assert one["seed"] == one["request"]["seed"] == LARGEST
    assert (one["steps"], one["width"], one["height"], one["guidance_scale"]) == (20, 64, 64, 7.5)
    assert (one["prompt"], one["negative_prompt"], one["labels"]["loss"]) == ("2024-01-01", "blurry", "canny")
    assert (one["engine"], one["device"], one["versions"]) == ("openvino:bf16", "a CPU", "openvino 1")
    assert (one["model"], one["source_sha256"], one["bundle_content"]) == ("fake", "0123456789abcdef" * 4, "d" * 64)
    assert one["losses"] == [{"name": "canny", "value": 0.25}]
    assert found["owl/1.png"]["losses"] == [{"name": "canny", "value": None}]
    for name in ("owl/1.png", f"big/{LARGEST}.png"):
        pixels = np.asarray(Image.open(out / name))
        assert found[name]["file_sha256"] == hashlib.sha256((out / name).read_bytes()).hexdigest()
        assert found[name]["pixel_sha256"] == hashlib.sha256(str(pixels.shape).encode() + pixels.tobytes()).hexdigest()
        assert json.loads(Image.open(out / name).text["latentpress"])["request"] == found[name]["request"]
    finished = datetime.fromisoformat(one["finished"])
    assert finished.utcoffset() == timedelta(0)
    assert timedelta(0) <= datetime.now(UTC) - finished < timedelta(minutes=5)
    failed = found["bad/5.png"]
    assert (failed["error"], failed["attempts"], failed["prompt"]) == ("the latents became NaN", 1, "nan")
    assert (failed["pixel_sha256"], failed["model"]) == (None, None)


def test_what_the_ledger_lost_is_read_from_the_pictures(out, capsys):
    whole = rows(out, capsys)
    with sqlite3.connect(ledger_path(out)) as ledger:  # of before the plan was a table
        ledger.executescript("DROP TABLE jobs; DROP VIEW drafts; DROP TABLE prompts; DROP TABLE shapes;")
    found = rows(out, capsys)
    assert found["owl/1.png"] | {"labels": None} == whole["owl/1.png"] | {"labels": None}
    assert found["bad/5.png"]["prompt"] is None
    shutil.rmtree(out / ".latentpress")
    found = rows(out, capsys)
    assert {name: row["status"] for name, row in found.items()} == dict.fromkeys(
        ("owl/1.png", f"big/{LARGEST}.png"), "unrecorded"
    )
    kept = ("seed", "prompt", "steps", "model", "engine", "job_hash", "request")
    assert {name: found["owl/1.png"][name] for name in kept} == {name: whole["owl/1.png"][name] for name in kept}


@pytest.mark.parametrize("whole", [True, False])
def test_a_picture_that_says_an_earlier_hash_of_its_job_is_believed_while_it_is_whole(whole, out, capsys):
    """As the ledger has it where a later version hashes the job anew. No plan has that hash, so nothing else says it."""
    before = rows(out, capsys)["owl/1.png"]
    if not whole:
        shutil.copy(out / f"big/{LARGEST}.png", out / "owl/1.png")
    with sqlite3.connect(ledger_path(out)) as ledger:
        ledger.execute("UPDATE images SET job_hash=? WHERE output='owl/1.png'", ("e" * 64,))
    found = rows(out, capsys)["owl/1.png"]
    kept = ("prompt", "seed", "model", "source_sha256", "request")
    assert [found[name] for name in kept] == ([before[name] for name in kept] if whole else [None] * len(kept))
    assert (found["job_hash"], found["status"]) == ("e" * 64, "done" if whole else "missing")


def test_planned_pictures_that_are_not_rendered_have_rows(folder, capsys):
    made = folder(BODY)
    with pytest.raises(KeyboardInterrupt):
        made.render(executor=Executor(crash_after=1))
    found = rows(made.path, capsys)
    assert sorted(row["status"] for row in found.values()) == ["done", "waiting", "waiting", "waiting"]
    assert {row["seed"] for row in found.values()} == {1, LARGEST, 5, 6}


def test_replaced_pictures_are_no_results(folder, capsys):
    """They lie whole in `.latentpress/replaced`, with rows of the ledger's, and would be in the data set twice."""
    folder(BODY).render(executor=Executor())
    made = folder(BODY.replace("steps: 20", "steps: 21"))
    made.render(executor=Executor())
    assert (made.path / ".latentpress/replaced/1/owl/1.png").exists()
    assert list(rows(made.path, capsys)) == ["bad/5.png", f"big/{LARGEST}.png", "gone/6.png", "owl/1.png"]


def test_nothing_is_written_into_a_folder_that_is_asked(out, capsys):
    before = {path: path.stat().st_mtime_ns for path in (out, *out.rglob("*"))}
    rows(out, capsys)
    assert {path: path.stat().st_mtime_ns for path in (out, *out.rglob("*"))} == before


def test_pictures_may_say_anything(tmp_path, capsys):
    """Of what a stranger wrote only that is believed which can be."""
    head = {"job_hash": "x", "bundle": {"name": 3}, "engine": [1]}
    for name, request in (
        ("seed", {"seed": 2**70, "steps": -1, "width": True, "guidance_scale": "7", "prompt": 3}),
        ("infinite", {"guidance_scale": float("inf")}),
        ("half", {"prompt": "\ud800"}),
    ):
        text = json.dumps(head | {"request": request})
        (tmp_path / f"{name}.png").write_bytes(png_bytes(np.zeros((8, 8, 3), np.uint8), {"latentpress": text}))
    found = rows(tmp_path, capsys)
    assert list(found) == ["seed.png"]
    known = {name for name, value in found["seed.png"].items() if value is not None}
    assert known == {"file_name", "status", "reason", "job_hash", "request"}
    assert run_cli(["results", str(tmp_path), "-o", str(tmp_path / "x.parquet")]) == 0


def test_parquet_holds_the_same(out, tmp_path, capsys):
    found = rows(out, capsys)
    assert run_cli(["results", str(out), "-o", str(tmp_path / "x.parquet")]) == 0
    table = pyarrow.parquet.read_table(tmp_path / "x.parquet")
    assert table.schema.field("seed").type == pa.uint64()
    assert table.schema.field("finished").type == pa.timestamp("ms", tz="UTC")
    for row in table.to_pylist():
        expected = found.pop(row["file_name"])
        for name in ("losses", "guided", "drift", "labels", "request"):
            row[name] = row[name] and json.loads(row[name])
        assert row | {"finished": None} == expected | {"finished": None}
        assert row["finished"] == (expected["finished"] and datetime.fromisoformat(expected["finished"]))
    assert not found


def test_files_are_not_overwritten_unasked(out, tmp_path, monkeypatch, capsys):
    path = tmp_path / "x.jsonl"
    path.write_text("mine")
    words = ["results", str(out), "-o", str(path)]
    assert run_cli(words) == 2
    assert f"-o {path}: exists already; give another name, or --replace" in capsys.readouterr().err
    assert path.read_text() == "mine"
    assert run_cli([*words, "--replace"]) == 0
    assert [json.loads(line) for line in path.read_text().splitlines()] == list(rows(out, capsys).values())
    for words, code, sentence in (
        (["results", str(out), "-o", "x.csv"], 2, "-o x.csv: the table is JSON lines or Parquet"),
        (["results", str(tmp_path / "no")], 2, "no: no such folder"),
        (["results", str(tmp_path / "m.yaml")], 2, "m.yaml: no such folder"),
    ):
        assert run_cli(words) == code
        assert sentence in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert run_cli(["results", str(out), "-o", str(tmp_path / "y.parquet")]) == 3
    assert "pip install 'latentpress[parquet]' adds it" in capsys.readouterr().err
    assert not (tmp_path / "y.parquet").exists()


def test_image_folder_metadata_is_read_as_texts_and_numbers(out, capsys):
    """By Arrow's reader of JSON, as datasets does: a prompt like a date and a null would change a column's kind."""
    assert run_cli(["results", str(out), "--image-folder"]) == 0
    assert "metadata.jsonl: 2 pictures, 2 left out" in capsys.readouterr().out
    content = (out / "metadata.jsonl").read_bytes()
    table = pyarrow.json.read_json(io.BytesIO(content))
    numbers = {"steps": pa.int64(), "width": pa.int64(), "height": pa.int64(), "guidance_scale": pa.float64()}
    kinds = {field.name: field.type for field in table.schema if field.name != "prompt"}
    assert kinds == dict.fromkeys(kinds, pa.string()) | numbers
    assert not any(column.null_count for column in table.columns)
    found = {row["file_name"]: row for row in table.to_pylist()}
    assert {name: row["seed"] for name, row in found.items()} == {"owl/1.png": "1", f"big/{LARGEST}.png": str(LARGEST)}
    assert json.loads(found["owl/1.png"]["request"])["steps"] == 20


def test_metadata_that_anyone_changed_is_not_replaced(out, capsys):
    path, words = out / "metadata.jsonl", ["results", str(out), "--image-folder"]
    assert may_replace(path)
    assert run_cli(words) == 0
    ours = path.read_bytes()
    assert run_cli(words) == 0
    assert path.read_bytes() == ours
    lines = ours.splitlines(keepends=True)
    changed = {
        "a caption": ours.replace(b"blurry", b"bright", 1),
        "a line fewer": lines[0],
        "another order": b"".join(reversed(lines)),
        "another file's": b'{"file_name": "photo.png", "text": "a photo"}\n',
        "empty": b"",
        "no text": b"\xff\xfe",
    }
    for what, content in changed.items():
        path.write_bytes(content)
        assert run_cli(words) == 2, what
        assert "exists already and is not as latentpress wrote it; move it away" in capsys.readouterr().err
        assert path.read_bytes() == content


def test_names_that_datasets_takes_for_splits_are_named(folder, capsys):
    made = folder(BODY.replace("{id}/", "test/{id}-"))
    made.render(executor=Executor())
    assert run_cli(["results", str(made.path), "--image-folder"]) == 0
    assert (
        f'test/big-{LARGEST}.png make datasets sort pictures into splits; load all with data_files="metadata.jsonl"'
        in (capsys.readouterr().err)
    )
