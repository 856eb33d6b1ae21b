"""What `status`, `watch` and `report` say of the last render: images are those it rendered, and its pace is its own."""

import sqlite3
from contextlib import closing

import pytest

from latentpress.batch.ledger.beside import beside
from latentpress.batch.state import standing as module
from latentpress.batch.state.standing import standing

BODY = "defaults: {prompt: a}\nmatrix: {seed: 1..10}\n"
BEGAN = 1_000_000.0


@pytest.fixture
def stands(folder, new_executor, monkeypatch):
    """stands(run, ..., pid) is how a folder stands whose runs have such columns; finished says when pictures came so far."""
    made = folder(BODY)
    made.render(executor=new_executor())
    ledger = made.home / "ledger.sqlite"

    def ask(*runs, pid=None, done=(), failed=()):
        with closing(sqlite3.connect(ledger)) as database, database:
            database.execute("DELETE FROM runs")
            [(plan,)] = database.execute("SELECT plan_hash FROM plans")
            for run in runs:
                columns = {"plan_hash": plan, "manifest": "m", "began": BEGAN, **run}
                names = ", ".join(columns)
                values = ", ".join("?" * len(columns))
                database.execute(f"INSERT INTO runs ({names}) VALUES ({values})", tuple(columns.values()))
            database.execute("UPDATE images SET finished=0, status='done'")
            outputs = [output for (output,) in database.execute("SELECT output FROM images ORDER BY output")]
            for status, times in (("done", done), ("failed", failed)):
                for seconds in times:
                    values = (status, BEGAN + seconds, outputs.pop())
                    database.execute("UPDATE images SET status=?, finished=? WHERE output=?", values)
        monkeypatch.setattr(module, "holder", lambda home: pid)
        with beside(ledger) as database:
            return standing(made.home, database)

    return ask


def ended(done, failed, seconds=10.0, end="finished", pictures=10):
    return {
        "ended": BEGAN + 20, "end": end, "pictures": pictures, "done": done, "failed": failed, "seconds": seconds
    }  # fmt: skip


def said(now, missing):
    return now.line(missing).partition("; ")[2]


def test_images_are_those_that_were_rendered(stands):
    now = stands(ended(8, 2))
    assert (now.done, now.failed, now.pace) == (8, 2, 0.8)
    assert said(now, 0) == "8 of 10 images rendered, 2 failed, 0.80 images/s"
    assert now.left(0) is None, "what failed may fail again"


def test_the_pace_is_the_last_renders_own(stands):
    now = stands(ended(8, 0), ended(0, 1, pictures=1))
    assert (now.pace, now.left(5)) == (None, None)
    assert said(now, 5) == "0 of 1 image rendered, 1 failed"
    killed = stands(ended(8, 0), {"pictures": 2})
    assert (killed.end, killed.pace, said(killed, 2)) == ("killed", None, "0 of 2 images rendered")


def test_what_is_missing_takes_the_time_of_the_next_render(stands):
    now = stands(ended(4, 1, end="interrupted"))
    assert said(now, 5) == "4 of 10 images rendered, 1 failed, 0.40 images/s; the 5 missing take about 12 s"
    assert said(now, 1).endswith("; the missing one takes about 2.5 s")
    assert now.data(5)["seconds_left"] == pytest.approx(12.5)


def test_a_render_that_runs_is_timed_by_all_that_it_comes_to(stands):
    """Six of ten in 12 s: two a four seconds, of which one failed in three."""
    now = stands(ended(9, 0, 1.0), {"pictures": 10}, pid=7, done=(2, 6, 8, 12), failed=(4, 10))
    assert (now.done, now.failed) == (4, 2)
    assert now.pace == pytest.approx(4 / 12)
    assert now.left(99) == pytest.approx(4 / (6 / 12))
    assert said(now, 99) == ""
    assert now.line(99).endswith(": 4 of 10 images rendered, 2 failed, 0.33 images/s, about 8.0 s left")
    data = now.data(4)["last_run"]
    assert (data["images"], data["done"], data["failed"], data["count"]) == (10, 4, 2, 6)
    early = stands(ended(9, 0, 1.0), {"pictures": 10}, pid=7, done=(2, 2.1))
    assert (early.done, early.pace, early.left(8)) == (2, None, None)
