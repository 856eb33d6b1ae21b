"""A ledger that is lost or damaged costs nothing: `rebuild` makes it again from what the pictures prove of themselves."""

import json
import random
import shutil
import sqlite3
import tarfile
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from foreign import FOREIGN
from latentpress.batch.folder import OutputFolder
from latentpress.batch.pictures.png import png_bytes
from latentpress.batch.proof.rebuild import rebuild
from latentpress.batch.proof.verify import verify
from latentpress.batch.render import Summary
from latentpress.cli import run_cli
from latentpress.runtime.request import Origin

DATA = Path(__file__).parent.parent / "data"
SIX = 'defaults: {prompt: a mouse, steps: 3}\nmatrix: {seed: 1..6}\noutput: "s/{seed}.png"\n'
# Labels, twins, a loss, concepts, drawn seeds, subfolders, and a sheet.
MIXED = """\
defaults: {steps: 3}
jobs:
  - {id: look, prompt: "a {style}", seed: 1..2}
  - {id: twin, prompt: "a kite", seed: 1}
  - {id: loss, prompt: a mouse, seed: 5, loss: {name: channel, channel: red, scale: 20, every: 1}}
  - {id: taught, prompt: a house in <line-art>, seed: 18446744073709551615}
  - {id: drawn, prompt: an owl, seed: -1, n: 3}
  - {id: also, prompt: an owl, seed: -1, steps: 4}
matrix: {style: [{label: one, value: kite}, {label: two, value: owl}]}
output: "{id}/{style}-{index}.png"
sheet: {rows: id}
"""


def pictures(folder):
    """Every picture below `folder`, without what was moved aside."""
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*.png")}
    return {name: path.read_bytes() for name, path in found.items() if not name.startswith(".latentpress")}


def rows(folder, columns):
    with sqlite3.connect(folder / ".latentpress/ledger.sqlite") as connection:
        found = sorted(connection.execute(f"SELECT {columns} FROM images").fetchall())
    connection.close()
    return found


class Nobody:
    """Renders nothing, and must not be asked to."""

    def open(self, bundle, requests):
        raise AssertionError("something is to be rendered")


class Fixed:
    """As the fake executor, in fixed rows: pixels depend on more than the job, and pictures say so."""

    def __init__(self, executor):
        self._executor = executor
        executor.origin = Origin("openvino-bf16", 4, "4")

    def open(self, bundle, requests):
        return "4"

    def render(self, requests):
        return self._executor.render(requests)


KNOWN = "output, job_hash, status, pixel_sha256, file_sha256, file_size, identity, contents, unseeded, stamp"


def test_a_deleted_ledger_costs_nothing(folder, new_executor, tmp_path, capsys):
    out, numbers = tmp_path / "out", count(70)
    folder(MIXED, draw=lambda: next(numbers)).render(executor=new_executor())
    before, table = pictures(out), rows(out, KNOWN)
    assert len(before) == 19
    (out / ".latentpress/ledger.sqlite").unlink()
    assert run_cli(["rebuild", str(out)]) == 0
    assert capsys.readouterr().out == (
        f"{out}: 18 pictures recorded, 0 known before, 0 not taken, 1 without a word of what they are\n"
    )
    assert (run_cli(["sheet", str(out)]), "holds no plan, as after" in capsys.readouterr().err) == (2, True)
    assert rows(out, KNOWN) == table
    assert {tuple(row) for row in rows(out, "provider, row_rule")} == {("fake", "any")}
    made = folder(MIXED, draw=lambda: next(numbers))
    state = made.status()
    assert (state.counts["done"], state.plan.undrawn) == (18, 0)
    assert made.render(executor=Nobody()).summary == Summary(0, 18, 0)
    assert run_cli(["sheet", str(out)]) == 0
    assert pictures(out) == before
    assert not (out / ".latentpress/replaced").exists()
    assert verify(out).right


def test_renamed_after_the_ledger_was_lost(folder, new_executor, tmp_path):
    """What lies under another name is found by the job that it proves to be, which no plan can know without a ledger."""
    out, numbers = tmp_path / "out", count(70)
    folder(MIXED, draw=lambda: next(numbers)).render(executor=new_executor())
    old = set(pictures(out).values())
    (out / ".latentpress/ledger.sqlite").unlink()
    renamed = MIXED.replace("{id}/{style}", "all/{id}/{style}").replace("label: one", "label: three")
    assert folder(renamed).status().counts["found"] == 0
    rebuild(out)
    outcome = folder(renamed, draw=lambda: next(numbers)).render(executor=Nobody())
    assert (outcome.summary, outcome.taken) == (Summary(0, 18, 0), 18)
    assert {content for name, content in pictures(out).items() if name.startswith("all/")} <= old


def test_drawn_seeds_of_new_jobs_are_new(folder, new_executor, tmp_path):
    """A picture's seed is its own draw's; that of a picture that a render has met is nobody else's."""
    body = 'defaults: {prompt: an owl}\njobs: [{id: a, seed: -1, n: 2}]\noutput: "{id}-{index}.png"\n'
    out, numbers = tmp_path / "out", count(70)

    def draw():
        return next(numbers)

    folder(body, draw=draw).render(executor=new_executor())
    (out / ".latentpress/ledger.sqlite").unlink()
    rebuild(out)
    folder(body, draw=draw).render(executor=Nobody())
    more = folder(body.replace("}]", "}, {id: b, seed: -1}]"), draw=draw)
    executor = new_executor()
    assert more.render(executor=executor).summary == Summary(1, 2, 0)
    assert executor.rendered == [next(numbers) - 1]


def zeroed(content, choose):
    place = choose.randrange(0, len(content) - 16, 16)
    return content[:place] + bytes(16) + content[place + 16 :]


HARMS = {
    "zeroed header": lambda content: bytes(16) + content[16:],
    "zeroed page": lambda content: content[:4096] + bytes(4096) + content[8192:],
    "truncated": lambda content: content[: len(content) // 2],
    "cut in a page": lambda content: content[:5000],
    "emptied": lambda content: b"",
    "text": lambda content: b"hello" * 1000,
    "another table": lambda content: content.replace(b"CREATE TABLE images", b"CREATE TABLE imagez"),
}


@pytest.mark.parametrize("harm", HARMS)
def test_a_damaged_ledger_is_moved_and_made_again(harm, folder, new_executor, tmp_path, capsys):
    out = tmp_path / "out"
    folder(SIX).render(executor=new_executor())
    before, ledger = pictures(out), out / ".latentpress/ledger.sqlite"
    damaged = HARMS[harm](ledger.read_bytes())
    ledger.write_bytes(damaged)
    (out / ".latentpress/ledger.sqlite-journal").write_bytes(b"of the damaged one")
    if harm != "emptied":
        assert run_cli(["verify", str(out)]) == 2
        err = capsys.readouterr().err
        assert err.startswith(f"error: {ledger}: the ledger is damaged")
        assert f"`latentpress rebuild {out}` makes it again from the pictures" in err
    done = rebuild(out)
    assert len(done.recorded) == 6
    if harm != "emptied":
        assert done.moved == out / ".latentpress/replaced/1/ledger.sqlite"
        assert done.moved.read_bytes() == damaged, "never deleted"
    assert folder(SIX).render(executor=Nobody()).summary == Summary(0, 6, 0)
    assert pictures(out) == before


@pytest.mark.parametrize("table", ["images_hash", "jobs", "prompts", "shapes", "seeds"])
def test_a_page_that_opening_does_not_read(table, folder, new_executor, tmp_path):
    out = tmp_path / "out"
    folder(SIX).render(executor=new_executor())
    ledger = out / ".latentpress/ledger.sqlite"
    with sqlite3.connect(ledger) as connection:
        (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name=?", (table,)).fetchone()
        (size,) = connection.execute("PRAGMA page_size").fetchone()
    connection.close()
    content = ledger.read_bytes()
    ledger.write_bytes(content[: (page - 1) * size] + bytes(size) + content[page * size :])
    done = rebuild(out)
    assert (len(done.recorded), done.moved) == (6, out / ".latentpress/replaced/1/ledger.sqlite")
    assert folder(SIX).render(executor=Nobody()).summary == Summary(0, 6, 0)


def test_sixteen_zeroed_bytes_anywhere(folder, new_executor, tmp_path):
    out, choose = tmp_path / "out", random.Random(13)
    folder(SIX).render(executor=new_executor())
    before, ledger = pictures(out), out / ".latentpress/ledger.sqlite"
    whole = ledger.read_bytes()
    for attempt in range(8):
        ledger.write_bytes(zeroed(whole, choose))
        done = rebuild(out)
        assert len(done.recorded) + done.known == 6, attempt
        assert folder(SIX).render(executor=Nobody()).summary == Summary(0, 6, 0), attempt
    assert pictures(out) == before


def test_what_proves_nothing_is_named_and_not_taken(folder, new_executor, tmp_path):
    """Pixels that are not those that are named, a damaged file, and a text that another job's hash was put into."""
    out = tmp_path / "out"
    folder(SIX).render(executor=new_executor())
    (out / ".latentpress/ledger.sqlite").unlink()
    content = (out / "s/2.png").read_bytes()
    FOREIGN["retouched"](content, out / "s/2.png")
    (out / "s/3.png").write_bytes(content[:-20])
    with Image.open(out / "s/4.png") as picture:
        text = dict(picture.text)
        pixels = np.array(picture)
    for name, change in {"s/4.png": {"job_hash": "0" * 64}, "s/5.png": {"concepts": {"<line-art>": "0" * 64}}}.items():
        claim = json.loads(text["latentpress"]) | change
        (out / name).write_bytes(png_bytes(pixels, text | {"latentpress": json.dumps(claim)}))
    shutil.copy(out / "s/6.png", out / "copy.png")
    Image.new("RGB", (9, 9)).save(out / "photo.png")
    done = rebuild(out)
    assert done.recorded == ["copy.png", "s/1.png", "s/6.png"]
    assert done.silent == 1
    assert done.refused == {
        "s/2.png": "was changed since it was rendered",
        "s/3.png": "is damaged",
        "s/4.png": "does not have the hash that it names",
        "s/5.png": "does not have the hash that it names",
    }


def test_pictures_of_two_machines_become_one_folder(folder, new_executor, tmp_path):
    """With names that the manifest of both does not give them."""
    one = SIX.replace("1..6", "1..3")
    other = SIX.replace("1..6", "4..6").replace("s/", "theirs/")
    folder(one).render(executor=new_executor())
    folder(other, "two").render(executor=new_executor())
    out = tmp_path / "out"
    shutil.copytree(tmp_path / "two/theirs", out / "theirs")
    kept = rows(out, "output, plan_hash, provider, seconds, finished")
    done = rebuild(out)
    assert (done.known, done.recorded, done.moved) == (3, ["theirs/4.png", "theirs/5.png", "theirs/6.png"], None)
    assert set(kept) <= set(rows(out, "output, plan_hash, provider, seconds, finished")), "what was known is known"
    outcome = folder(SIX).render(executor=Nobody())
    assert (outcome.summary, outcome.taken) == (Summary(0, 6, 0), 3)
    assert rebuild(out).recorded == []


def test_what_was_moved_aside_is_found_again(folder, new_executor, tmp_path):
    out = tmp_path / "out"
    folder(SIX).render(executor=new_executor())
    old = pictures(out)
    folder(SIX.replace("steps: 3", "steps: 4")).render(executor=new_executor())
    (out / ".latentpress/ledger.sqlite").unlink()
    assert len(rebuild(out).recorded) == 12
    assert folder(SIX).render(executor=Nobody()).summary == Summary(0, 6, 0)
    assert pictures(out) == old


def test_engine_and_rows_are_those_that_the_picture_names(folder, new_executor, tmp_path):
    folder(SIX).render(executor=Fixed(new_executor()))
    out = tmp_path / "out"
    (out / ".latentpress/ledger.sqlite").unlink()
    rebuild(out)
    assert {tuple(row) for row in rows(out, "provider, row_rule")} == {("openvino:bf16", "4")}


@pytest.mark.parametrize("commit", ["05dd2c3", "5bef550"])
@pytest.mark.parametrize("name", ["kept", "names"])
def test_pictures_of_earlier_releases_survive(name, commit, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LATENTPRESS_CACHE", str(tmp_path / "cache"))
    for archive in ("ledgers-version-3", "bundle-format-2"):
        with tarfile.open(DATA / f"{archive}.tar.xz") as packed:
            packed.extractall(tmp_path, filter="data")
    out = tmp_path / commit / "out" / name
    before = pictures(out)
    (out / ".latentpress/ledger.sqlite").unlink()
    done = rebuild(out)
    pngs = {"kept": 9, "names": 4}[name]
    assert (len(done.recorded), done.refused) == (pngs, {})
    outcome = OutputFolder(f"{name}.yaml", out).render(executor=Nobody())
    assert (outcome.summary.done, outcome.summary.failed) == (0, 0)
    contents = {path.read_bytes() for path in out.rglob("*.png")}
    assert {content for path, content in before.items() if path != "sheet.png"} <= contents


def test_a_folder_that_is_none_of_ours_stays_as_it_is(tmp_path, capsys):
    Image.new("RGB", (9, 9)).save(tmp_path / "photo.png")
    assert run_cli(["rebuild", str(tmp_path)]) == 2
    assert "no picture in it says what it is" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["photo.png"]
    assert run_cli(["rebuild", str(tmp_path / "gone")]) == 2
    assert "no such folder" in capsys.readouterr().err


def test_a_rebuilt_folder_is_its_manifests(folder, new_executor, tmp_path):
    """An edited manifest moves its pictures as it did before."""
    folder(SIX).render(executor=new_executor())
    (tmp_path / "out/.latentpress/ledger.sqlite").unlink()
    rebuild(tmp_path / "out")
    edited = folder(SIX.replace("steps: 3", "steps: 4"))
    outcome = edited.render(executor=new_executor())
    assert (outcome.summary, outcome.moved) == (Summary(6, 0, 0), 6)
