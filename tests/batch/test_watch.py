"""`status` and `watch`: what failed and why, how renders went, who renders now, and an exit code for scripts."""

import hashlib
import json
import os
import re
import signal
import sqlite3
import time
from contextlib import closing
from datetime import datetime

import pytest

from eight import TWO
from faulted import Fault
from latentpress.batch.ledger.beside import beside
from latentpress.errors import EnvironmentFailure
from published import read

MINUTE = r"\d{4}-\d\d-\d\d \d\d:\d\d"


@pytest.fixture
def stopped(eight):
    """(folder, process) of a render that is stopped while its first picture gets its name; it goes on at the end."""
    for _ in range(10):
        folder = eight.folder()
        pid = eight.runner.start(
            folder, "render", eight.manifest, "-o", folder, fault=Fault(1, "stop", kinds=("link",))
        )
        eight.runner.wait_for_stop(pid)
        if readable(folder):
            break
        # Another thread of it holds the ledger's lock, of which test_owners_and_places has a test.
        os.kill(pid, signal.SIGCONT)
        eight.runner.wait(pid)
    yield folder, pid
    os.kill(pid, signal.SIGCONT)
    eight.runner.wait(pid)


def readable(folder):
    """Whether nothing keeps the ledger from being read."""
    path = f"file:{folder}/.latentpress/ledger.sqlite?mode=ro"
    with closing(sqlite3.connect(path, uri=True, timeout=0)) as ledger:
        try:
            ledger.execute("SELECT count(*) FROM images").fetchall()
        except sqlite3.OperationalError:
            return False
    return True


def asked(eight, command, *arguments):
    return eight.runner.run(eight.scratch, command, *arguments)


def files(folder):
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*") if path.is_file()}


def test_status_says_what_failed_and_how_the_render_went(eight, tmp_path):
    (tmp_path / "two.yaml").write_text(TWO)
    two = [tmp_path / "two.yaml", "-o", tmp_path / "out"]
    before = asked(eight, "status", *two, "--exit-code")
    assert (before.code, before.out) == (
        4,
        f"{tmp_path}/out: 0 of 2 images done, 2 missing, 0 failed, at most 17.5 KiB to write\n",
    )
    assert asked(eight, "render", *two).code == 1
    assert asked(eight, "render", *two).code == 1
    done = asked(eight, "status", *two, "--exit-code")
    assert done.code == 1
    assert asked(eight, "status", *two).code == 0
    failed, counts, last = done.out.splitlines()
    pattern = rf"failed: job 2 \(id two, seed 0\): nan.png: the latents became NaN \(2 attempts, the last {MINUTE}\)"
    assert re.fullmatch(pattern, failed)
    assert counts.startswith(f"{tmp_path}/out: 1 of 2 images done, 0 missing, 1 failed")
    assert re.fullmatch(rf"last render: began {MINUTE}, took [\d.]+ s, finished; 0 of 1 image rendered, 1 failed", last)
    data = json.loads(asked(eight, "status", *two, "--json").out)
    assert data["failed"] == ["nan.png"]
    [failure] = data["failures"]
    assert abs(time.time() - datetime.fromisoformat(failure.pop("when")).timestamp()) < 300
    assert failure == {
        "job": "job 2 (id two, seed 0)", "output": "nan.png", "error": "the latents became NaN",
        "cause": None, "attempts": 2,
    }  # fmt: skip
    assert data["renders"]["pid"] is None
    run = data["renders"]["last_run"]
    assert (run["end"], run["images"], run["done"], run["failed"]) == ("finished", 1, 0, 1)
    assert (data["renders"]["images_per_second"], data["renders"]["seconds_left"]) == (None, None)
    watched = asked(eight, "watch", tmp_path / "out")
    assert watched.code == 1
    assert watched.out.startswith(f"{tmp_path}/out: 1 of 2 images done, 0 missing, 1 failed; last render: began")


def test_while_a_render_runs_its_process_is_named(stopped, eight):
    folder, pid = stopped
    before = files(folder)
    said = asked(eight, "status", eight.manifest, "-o", folder, "--exit-code")
    assert said.code == 4
    assert re.search(rf"process {pid} renders since {MINUTE}: \d of 8 images", said.out.splitlines()[-1])
    renders = json.loads(asked(eight, "status", eight.manifest, "-o", folder, "--json").out)["renders"]
    assert (renders["pid"], renders["last_run"]["end"], renders["last_run"]["images"]) == (pid, None, 8)
    assert files(folder) == before


def test_a_render_stopped_while_it_writes_the_ledger_is_named(eight, monkeypatch):
    folder = eight.folder()
    # The third journal is the plan's; it goes when the transaction is through, which holds the ledger until then.
    pid = eight.runner.start(folder, "render", eight.manifest, "-o", folder, fault=Fault(3, "stop", kinds=("unlink",)))
    eight.runner.wait_for_stop(pid)
    monkeypatch.setattr("latentpress.batch.plan.database._TIMEOUT", 0.1)
    ledger = folder / ".latentpress/ledger.sqlite"
    with pytest.raises(EnvironmentFailure, match=rf"process {pid}, .* was stopped .*`kill -CONT {pid}`"):
        beside(ledger)
    os.kill(pid, signal.SIGCONT)
    assert eight.runner.wait(pid).code == 0
    beside(ledger).close()


@pytest.mark.parametrize("by_folder", [False, True])
def test_watch_ends_when_all_is_done(by_folder, stopped, eight, tmp_path):
    folder, pid = stopped
    target = [folder] if by_folder else [eight.manifest, "-o", folder]
    said = tmp_path / "said.txt"
    said.touch()
    watching = eight.runner.start(
        folder, "watch", *target, "--every", "0.1", streams=(os.devnull, str(said), os.devnull)
    )
    until = time.monotonic() + 60
    while not said.read_text() and time.monotonic() < until:
        time.sleep(0.05)
    os.kill(pid, signal.SIGCONT)
    assert eight.runner.wait(watching).code == 0
    first, *_, last = lines = said.read_text().splitlines()
    assert re.match(rf"{folder}: \d of 8 images done, \d missing, 0 failed; process {pid} renders since", first)
    assert re.match(rf"{folder}: 8 of 8 images done, 0 missing, 0 failed; ", last)
    assert len(lines) < 12


def test_watch_ends_when_nobody_renders(stopped, eight):
    folder, pid = stopped
    assert asked(eight, "watch", eight.scratch, "--every", "0.1").out == (
        f"{eight.scratch}: nothing was rendered into it yet, and nobody renders\n"
    )
    watching = eight.runner.start(folder, "watch", folder, "--every", "0.1")
    time.sleep(0.3)
    os.kill(pid, signal.SIGKILL)
    watched = eight.runner.wait(watching)
    assert watched.code == 4
    assert re.search(r"; last render: began [-\d: ]+, killed; \d of 8 images", watched.out.splitlines()[-1])
    assert (folder / ".latentpress" / "lock").read_text() == f"{pid}\n", "the number of a process that is no more"


def test_watch_and_plan_name_what_is_quarantined(eight, tmp_path):
    """watch by the ledger alone: the number of retries is the last render's."""
    (tmp_path / "two.yaml").write_text(TWO)
    two = [tmp_path / "two.yaml", "-o", tmp_path / "out"]
    assert asked(eight, "render", *two, "--retries", "1").code == 1
    with closing(sqlite3.connect(tmp_path / "out/.latentpress/ledger.sqlite")) as ledger, ledger:
        ledger.execute("UPDATE images SET cause='memory', attempts=2 WHERE status='failed'")
    watched = asked(eight, "watch", tmp_path / "out")
    assert watched.code == 1
    assert "1 of 2 images done, 0 missing, 1 failed, 1 of them quarantined; last render: began" in watched.out
    assert watched.out.splitlines()[-1].startswith("quarantined: nan.png: did not fit into memory: the latents")
    # The manifest allows two retries, so for it the picture is to be rendered.
    assert json.loads(asked(eight, "plan", *two, "--json").out)["estimate"]["pictures"] == 1
    (tmp_path / "two.yaml").write_text(TWO + "policy: {retries: 1}\n")
    planned = read("plan", asked(eight, "plan", *two, "--json").out)
    assert (planned["quarantined"], planned["estimate"]["pictures"]) == (["nan.png"], 0)
    assert "1 picture is quarantined" in asked(eight, "plan", *two).out
    rehearsed = read("render-dry-run", asked(eight, "render", *two, "--dry-run", "--json").out)
    assert (rehearsed["quarantined"], rehearsed["to_write"]) == (["nan.png"], 0)
    assert "1 picture is quarantined" in asked(eight, "render", *two, "--dry-run").out
