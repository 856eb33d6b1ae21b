"""Rendering with a fake renderer: resume, twins, failures, metadata, the lock and the sheet."""

import errno
import json
import re
import sqlite3
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from latentpress.batch import writers
from latentpress.batch.ledger.ledger import Ledger, ledger_path
from latentpress.batch.ledger.lock import locked
from latentpress.batch.pictures.png import pixel_sha256
from latentpress.batch.progress import Lines, duration
from latentpress.batch.render import Summary
from latentpress.batch.tally import Silence
from latentpress.errors import EnvironmentFailure, OutputLocked, UsageError
from latentpress.files import TEMP_PREFIX
from pictures import enlarged, places

SIX = 'defaults: {prompt: a mouse}\nmatrix: {seed: 1..6}\noutput: "s/{seed}.png"\n'


class Finished(Silence):
    finished = False

    def finish(self, tally):
        self.finished = True


def tree(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.png")}


def rows(folder, columns="output, job_hash, pixel_sha256, file_sha256, file_size, attempts, status"):
    with sqlite3.connect(ledger_path(folder)) as connection:
        return sorted(connection.execute(f"SELECT {columns} FROM images"))


def test_an_interrupted_render_resumes_to_the_same_tree_and_ledger(go, new_executor, tmp_path):
    out = tmp_path / "out"
    shown = Finished()
    with pytest.raises(KeyboardInterrupt):
        go(SIX, new_executor(crash_after=2), shown)
    assert shown.finished, "or a bar would leave the cursor hidden"
    assert len(tree(out)) == 2, "what was finished was written"
    (out / "s" / f"{TEMP_PREFIX}left").write_bytes(b"torn")
    resumed = new_executor()
    assert go(SIX, resumed) == Summary(done=4, skipped=2, failed=0)
    assert resumed.rendered == [4, 3, 2, 1]
    found, ledger = tree(out), rows(out)
    assert not list(out.rglob(TEMP_PREFIX + "*"))
    out.rename(tmp_path / "resumed")
    assert go(SIX, new_executor()) == Summary(6, 0, 0)
    assert (tree(out), rows(out)) == (found, ledger)


def test_only_what_is_missing_changed_or_edited_is_rendered_again(go, new_executor, tmp_path):
    go(SIX, new_executor())
    before = tree(tmp_path / "out")
    (tmp_path / "out/s/2.png").unlink()
    torn = tmp_path / "out/s/5.png"
    torn.write_bytes(torn.read_bytes()[:-9])
    again = new_executor()
    assert go(SIX, again) == Summary(2, 4, 0)
    assert again.rendered == [5, 2]
    after = tree(tmp_path / "out")
    assert after.pop(".latentpress/replaced/1/s/5.png") == before["s/5.png"][:-9], "what was in the way is kept"
    assert after == before
    assert [row[0] for row in rows(tmp_path / "out", "attempts")] == [1, 1, 1, 1, 2, 2]
    assert go(SIX.replace("a mouse", "a cat"), new_executor()) == Summary(6, 0, 0)


def test_twins_render_once_and_are_written_twice(go, new_executor, tmp_path):
    body = 'defaults: {prompt: a}\njobs: [{id: a}, {id: b}]\noutput: "{id}.png"\n'
    renderer = new_executor()
    assert go(body, renderer) == Summary(2, 0, 0)
    assert renderer.rendered == [0]
    out = tmp_path / "out"
    assert (out / "a.png").read_bytes() == (out / "b.png").read_bytes()
    (out / "b.png").unlink()
    renderer = new_executor()
    assert go(body, renderer) == Summary(0, 2, 0)
    assert renderer.rendered == [], "the twin was copied"
    assert (out / "a.png").read_bytes() == (out / "b.png").read_bytes()


def test_a_twin_that_was_changed_is_not_copied(go, new_executor, tmp_path):
    body = 'defaults: {prompt: a}\njobs: [{id: a}, {id: b}]\noutput: "{id}.png"\n'
    go(body, new_executor())
    out = tmp_path / "out"
    good = (out / "b.png").read_bytes()
    (out / "a.png").write_bytes(bytes(len(good)))
    (out / "b.png").unlink()
    renderer = new_executor()
    go(body, renderer)
    assert renderer.rendered == [0]
    assert (out / "b.png").read_bytes() == good


def test_a_failed_picture_is_recorded_tried_again_and_the_others_go_on(go, folder, new_executor, tmp_path, capsys):
    body = 'defaults: {prompt: "{p}"}\nmatrix: {p: [nan, fine]}\noutput: "{p}.png"\n'
    out = tmp_path / "out"
    assert go(body, new_executor(), Lines(sys.stderr)) == Summary(1, 0, 1)
    said = capsys.readouterr().err
    assert said.startswith("2 images to render, 0 already done\n")
    assert "failed: job 1 (id m, seed 0): the latents became NaN" in said
    assert go(body, new_executor()) == Summary(0, 1, 1)
    assert rows(out, "output, status, attempts") == [("fine.png", "done", 1), ("nan.png", "failed", 2)]
    assert folder(body).status().counts == {"done": 1, "failed": 1, "missing": 0, "earlier": 0, "other": 0, "found": 0}
    assert [job.title for job in folder(body).status().jobs("failed")] == ["job 1 (id m, seed 0)"]


def test_drawn_seeds_are_frozen_by_the_first_render(go, new_executor):
    body = 'defaults: {prompt: a}\njobs: [{id: a, seed: -1}]\noutput: "{seed}.png"\n'
    go(body, new_executor(), draw=lambda: 99)
    again = new_executor()
    assert go(body, again, draw=lambda: 1) == Summary(0, 1, 0)
    assert again.rendered == []


def test_a_write_that_fails_ends_the_run(go, new_executor, tmp_path, monkeypatch):
    def full(path, content, root):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(writers, "publish", full)
    with pytest.raises(OSError, match=re.escape(f"{tmp_path / 'out' / 's'}")):
        go(SIX, new_executor())
    assert rows(tmp_path / "out") == []


def test_metadata_reads_back(planned, go, new_executor, tmp_path):
    body = (
        'defaults: {prompt: "a möuse, in {style}", negative_prompt: "fog: grey", sampler: dpmpp_2m_karras, steps: 5}\n'
        'matrix: {style: [<line-art>], loss: [{name: canny, scale: 200}]}\noutput: "x.png"\n'
    )
    go(body, new_executor())
    with Image.open(tmp_path / "out/x.png") as image:
        text = image.text
    prompt, negative, params = text["parameters"].split("\n")
    assert (prompt, negative) == ("a möuse, in <line-art>", "Negative prompt: fog: grey")
    # The pattern of A1111's own parser (modules/infotext_utils.py).
    pairs = dict(re.findall(r'\s*(\w[\w \-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)', params))
    assert pairs == {
        "Steps": "5",
        "Sampler": "DPM++ 2M",
        "Schedule type": "Karras",
        "CFG scale": "7.5",
        "Seed": "0",
        "RNG": "CPU",
        "Size": "64x64",
        "Model hash": "0123456789",
        "Model": "fake",
        "Loss guidance": "canny",
        "Loss scale": "200",
        "Loss every": "5",
        "Loss parameters": "low=100 high=200",
        "TI hashes": f'"line-art: {"a" * 12}"',
        "Version": pairs["Version"],
    }
    own = json.loads(text["latentpress"])
    assert own["job_hash"] == planned(body).jobs[0].job_hash
    assert own["concepts"] == {"<line-art>": "a" * 64}, "the sum of its vectors"
    with Image.open(tmp_path / "out/x.png") as image:
        assert own["pixel_sha256"] == rows(tmp_path / "out", "pixel_sha256")[0][0] == pixel_sha256(np.asarray(image))
    assert own["engine"] == "fake"
    assert own["request"]["prompt"] == "a möuse, in <line-art>"
    assert own["bundle"]["content"] == "d" * 64


def test_a_locked_folder_names_its_owner_and_a_dead_owner_holds_nothing(tmp_path):
    code = (
        "import os, sys, time\nfrom pathlib import Path\nfrom latentpress.batch.ledger.lock import locked\n"
        "with locked(Path(sys.argv[1])):\n    print(os.getpid(), flush=True)\n    time.sleep(60)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code, tmp_path], stdout=subprocess.PIPE, text=True)
    with process:
        pid = process.stdout.readline().strip()
        with pytest.raises(OutputLocked, match=f"process {pid} renders into this folder") as caught, locked(tmp_path):
            pass
        assert caught.value.exit_code == 75
        process.kill()
    with locked(tmp_path):
        pass


def test_a_damaged_or_foreign_ledger_gets_a_sentence(tmp_path):
    path = tmp_path / "ledger.sqlite"
    path.write_bytes(b"not a database at all" * 100)
    with pytest.raises(UsageError, match="the ledger is damaged"):
        Ledger(path)
    path.unlink()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version=9")
    connection.close()
    with pytest.raises(UsageError, match="ledger version 9"):
        Ledger(path)
    with pytest.raises(EnvironmentFailure, match="cannot be used"):
        Ledger(tmp_path / "nowhere" / "ledger.sqlite")


SHEET = (
    'defaults: {prompt: "in {style}"}\nmatrix:\n  style: [<line-art>, {label: "a label much too long for one line of '
    'its cell, and anunbreakablywidewordattheend-anunbreakablywidewordattheend", value: x}]\n  seed: 1..3\n'
    'output: "{style:5}-{seed}.png"\nsheet: {rows: seed, columns: style}\n'
)


def test_the_sheet_shows_every_picture_and_is_always_the_same(go, new_executor, tmp_path):
    out = tmp_path / "out"
    go(SHEET, new_executor())
    first = (out / "sheet.png").read_bytes()
    (out / "sheet.png").unlink()
    go(SHEET, new_executor())
    assert (out / "sheet.png").read_bytes() == first
    with Image.open(out / "sheet.png") as image:
        pixels = np.asarray(image.convert("RGB"))
        said = json.loads(image.text["latentpress-sheet"])
    # Nothing touches the border, so no label and no picture is clipped.
    for edge in (pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]):
        assert (edge == 255).all()
    # The pictures are there, their pixels enlarged by a whole factor: a row for each seed, a column for each style
    # (the fake paints by seed alone, so both styles look alike).
    with Ledger(out / ".latentpress/ledger.sqlite") as ledger:
        images = ledger.images()
    found = [places(pixels, enlarged(next(out.glob(f"line*-{seed}.png")))) for seed in (1, 2, 3)]
    tops, lefts = ([sorted({place[axis] for place in row}) for row in found] for axis in (0, 1))
    assert [len(row) for row in found] == [2, 2, 2]
    assert tops == [[top] for top in sorted(top for (top,) in tops)]
    assert len(lefts[0]) == 2
    assert lefts == [lefts[0]] * 3
    # It says what it shows: the plan, each picture's job and its pixels.
    assert said["cells"] == {
        name: {"state": "done", "job_hash": image.job_hash, "pixel_sha256": image.pixel_sha256}
        for name, image in images.items()
    }


def test_a_render_with_failures_draws_its_sheet(go, new_executor, tmp_path):
    body = SHEET.replace("[<line-art>,", "[<line-art>, nan,")
    assert go(body, new_executor()).failed == 3
    with Image.open(tmp_path / "out/sheet.png") as image:
        said = json.loads(image.text["latentpress-sheet"])["cells"]
    failed = {name: cell for name, cell in said.items() if cell["state"] == "failed"}
    assert failed.keys() == {"nan-1.png", "nan-2.png", "nan-3.png"}
    assert {cell["reason"] for cell in failed.values()} == {"the latents became NaN"}


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.21, "0.2 s"), (44.4, "44 s"), (200, "3 min 20 s"), (7500, "2 h 5 min")]
)
def test_durations_read_well(seconds, text):
    assert duration(seconds) == text
