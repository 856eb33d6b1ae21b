"""A folder half rendered on one engine and finished on another: refused, unless it is asked for."""

import sqlite3
import subprocess
import sys

import pytest

from latentpress.batch.folder import OutputFolder
from latentpress.batch.ledger.ledger import Ledger, ledger_path
from latentpress.batch.render import Summary
from latentpress.batch.state.mixture import refuse_other_engine, refuse_other_rows
from latentpress.cli import run_cli
from latentpress.engines.choice import engine_called, parse_engine
from latentpress.engines.opening import open_session
from latentpress.errors import UsageError
from latentpress.runtime.loop import model
from latentpress.runtime.request import Origin

MANIFEST = """\
version: 1
name: m
model: {bundle}
defaults: {{prompt: {prompt}, steps: 1, size: 64x64}}
jobs: [{jobs}]
output: "{{id}}.png"
"""


@pytest.fixture
def go(assets, tmp_path, monkeypatch):
    """go(jobs, *options): the exit code of a render; an engine that is not here is the CPU's under its name."""

    def opened(bundle, component, choice, threads=None):
        session = open_session(bundle, component, parse_engine("cpu"), 1)
        session.engine = choice
        return session

    monkeypatch.setattr(model, "open_session", opened)
    monkeypatch.setenv("LATENTPRESS_CACHE", str(tmp_path / "cache"))

    def run(jobs, *options, prompt="a mouse"):
        text = ", ".join(f"{{id: {name}, seed: {seed}}}" for name, seed in jobs.items())
        (tmp_path / "m.yaml").write_text(MANIFEST.format(bundle=assets / "bundle", prompt=prompt, jobs=text))
        return run_cli(["render", str(tmp_path / "m.yaml"), "-o", str(tmp_path / "out"), *options])

    return run


def providers(folder):
    with sqlite3.connect(ledger_path(folder)) as connection:
        return dict(connection.execute("SELECT output, provider FROM images WHERE output NOT LIKE '.latentpress/%'"))


TWO, FOUR = {"a": 1, "b": 2}, {"a": 1, "b": 2, "c": 3, "d": 4}


def test_another_engine_does_not_finish_a_folder(go, tmp_path, capsys):
    out = tmp_path / "out"
    assert go(TWO, "--engine", "cpu") == 0
    before = {file.name: file.read_bytes() for file in out.glob("*.png")}
    capsys.readouterr()
    assert go(FOUR, "--engine", "openvino") == 2
    error = capsys.readouterr().err
    assert f"{out}: 2 pictures were rendered on engine cpu, and this run would use openvino" in error
    assert "go on with --engine cpu, render into another folder with -o, or add --mixed" in error
    assert len(list(out.glob("*.png"))) == 2

    assert go(FOUR, "--engine", "openvino", "--mixed") == 0
    cpu, other = "onnxruntime-cpu", "openvino-f32"
    assert providers(out) == {"a.png": cpu, "b.png": cpu, "c.png": other, "d.png": other}
    assert {name: (out / name).read_bytes() for name in before} == before

    assert go(FOUR) == 0, "all is there, and no engine was named"
    assert go(FOUR, "--engine", "cpu") == 2, "of four pictures for that engine two are another's"


def test_the_default_engine_is_an_engine_too(go, capsys):
    assert go(TWO, "--engine", "openvino") == 0
    assert go(FOUR) == 2
    assert "rendered on engine openvino, and this run would use cpu" in capsys.readouterr().err
    assert go(FOUR, "--engine", "openvino") == 0


def test_what_is_rendered_anew_anyway_may_be_rendered_on_any_engine(go, tmp_path):
    assert go(TWO, "--engine", "cpu") == 0
    assert go(TWO, "--engine", "openvino", prompt="a house") == 0
    assert set(providers(tmp_path / "out").values()) == {"openvino-f32"}


def test_a_twin_that_is_copied_keeps_its_engine(go, tmp_path):
    assert go({"a": 1}, "--engine", "cpu") == 0
    assert go({"a": 1, "b": 1, "c": 2}, "--engine", "openvino", "--mixed") == 0
    cpu = "onnxruntime-cpu"
    assert providers(tmp_path / "out") == {"a.png": cpu, "b.png": cpu, "c.png": "openvino-f32"}


@pytest.mark.parametrize(
    ("provider", "engine"),
    [("onnxruntime-cuda-graphs", "cuda"), ("onnxruntime-tensorrt", "tensorrt"), ("tensorrt-rtx", "tensorrt-rtx")],
)
def test_engines_by_what_their_sessions_are_called(provider, engine):
    assert engine_called(provider) == engine


TWO_SEEDS = 'defaults: {prompt: a}\nmatrix: {seed: 1..2}\noutput: "{seed}.png"\n'


@pytest.fixture
def half(folder, new_executor):
    """half(rule): the folder of two pictures rendered on a GPU under that rule."""

    def make(rule):
        executor = new_executor()
        executor.origin = Origin("onnxruntime-cuda", 8, rule)
        made = folder(TWO_SEEDS, rule)
        made.render(executor=executor)
        return made

    return make


def refuse_engine(made, engine):
    state = made.status()
    refuse_other_engine(state, made.path, state.plan.bundle.hash, engine)


def refuse_rows(made, rule):
    state = made.status()
    refuse_other_rows(state, made.path, state.plan.bundle.hash, rule)


@pytest.mark.parametrize("was", ["any", "untested", "unfixed", "8", "1"])
@pytest.mark.parametrize("now", ["any", "untested", "unfixed", "8", "1"])
def test_fixed_rows_are_kept(was, now, half):
    made = half(was)
    refuse_engine(made, "cuda")
    if was == now or not (was.isdigit() or now.isdigit()):
        refuse_rows(made, now)
        return
    with pytest.raises(UsageError, match="2 pictures were rendered with") as caught:
        refuse_rows(made, now)
    wanted = f"go on with --strict --batch-rows {was}" if was.isdigit() else "go on without --strict"
    assert wanted in str(caught.value)


def test_pictures_that_are_gone_do_not_count(half):
    made = half("8")
    for file in made.path.glob("*.png"):
        file.unlink()
    refuse_engine(made, "cpu")
    refuse_rows(made, "any")


@pytest.mark.parametrize("version", [1, 2])
def test_a_ledger_of_before_is_read_and_gone_on_with(version, half, new_executor):
    made = half("any")
    later = ["finished", "device", "versions", "losses", "identity", "contents", "unseeded", "stamp", "cause"]
    later += ["gradient", "guided", "drift", "rose"]
    with sqlite3.connect(ledger_path(made.path)) as connection:
        connection.execute("DROP INDEX images_hash")
        for column in ("manifest", "began"):
            connection.execute(f"ALTER TABLE plans DROP COLUMN {column}")
        for column in later if version == 2 else [*later, "row_rule"]:
            connection.execute(f"ALTER TABLE images DROP COLUMN {column}")
        connection.execute("DROP VIEW drafts")
        for table in ("jobs", "twins", "prompts", "shapes", "bundles", "documents", "runs"):
            connection.execute(f"DROP TABLE {table}")
        connection.execute(f"PRAGMA user_version={version}")
    connection.close()
    before = ledger_path(made.path).read_bytes()
    assert made.status().counts["done"] == 2
    assert ledger_path(made.path).read_bytes() == before, "status writes nothing"
    (made.path / "1.png").unlink()
    assert made.render(executor=new_executor()).summary.done == 1
    with Ledger(ledger_path(made.path)) as ledger:
        images = ledger.images()
    kept = "untested" if version == 1 else "any"
    assert {name: row.origin.row_rule for name, row in images.items()} == {"1.png": "any", "2.png": kept}
    assert images["1.png"].attempts == 2


# Dies in the middle of a transaction that has reached the file: SQLite must roll its journal back before anyone reads.
KILLED = """
import os, signal, sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA cache_size=1")
connection.execute("BEGIN IMMEDIATE")
connection.executemany("INSERT INTO seeds VALUES (?, 1)", ((f"{number:0500}",) for number in range(500)))
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_status_after_a_kill_rolls_back_and_does_no_more(half):
    made = half("any")
    with sqlite3.connect(ledger_path(made.path)) as connection:
        connection.execute("PRAGMA user_version=2")
    connection.close()
    before = ledger_path(made.path).read_bytes()
    subprocess.run([sys.executable, "-c", KILLED, ledger_path(made.path)])
    assert ledger_path(made.path).with_name("ledger.sqlite-journal").exists(), "else nothing was to be rolled back"
    assert made.status().counts["done"] == 2
    assert ledger_path(made.path).read_bytes() == before, "not even brought up to this version"


def test_an_executor_answers_for_its_engine(assets, new_executor, tmp_path):
    def render(seeds):
        jobs = ", ".join(f"{{id: j{seed}, seed: {seed}}}" for seed in seeds)
        (tmp_path / "m.yaml").write_text(MANIFEST.format(bundle=assets / "bundle", prompt="a mouse", jobs=jobs))
        executor = new_executor()
        executor.origin = Origin("openvino-f32", 8, "any")
        return OutputFolder(tmp_path / "m.yaml", tmp_path / "out", cache=tmp_path / "cache").render(executor=executor)

    assert render([1]).summary.done == 1
    assert render([1, 2]).summary == Summary(1, 1, 0)


def test_a_repair_renders_each_picture_on_the_engine_that_made_it(go, tmp_path, capsys):
    out = tmp_path / "out"
    assert go(TWO, "--engine", "cpu") == 0
    assert go(FOUR, "--engine", "openvino", "--mixed") == 0
    pictures, made = {path: path.read_bytes() for path in out.glob("*.png")}, providers(out)
    assert len(set(made.values())) == 2
    for path in (out / "b.png", out / "c.png"):
        path.write_bytes(pictures[path][:100])
    capsys.readouterr()
    assert run_cli(["verify", str(out), "--repair"]) == 0
    assert "0 pictures copied, 2 rendered, 2 files moved aside" in capsys.readouterr().out
    assert {path: path.read_bytes() for path in out.glob("*.png")} == pictures
    assert providers(out) == made
