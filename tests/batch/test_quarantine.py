"""A picture that takes the engine or its memory with it too often is left out of renders until someone asks for it."""

import json
import sqlite3
from contextlib import closing

import pytest

from eight import TWO
from fakes import FakeExecutor
from latentpress.batch.policy import Policy
from latentpress.errors import EnvironmentFailure
from latentpress.runtime.request import Rendered
from published import read

BODY = "jobs:\n- {id: bad, prompt: nan, seed: 1}\n- {id: good, prompt: a, seed: 2..3}\ndefaults: {size: 16x16}\n"


class Failing(FakeExecutor):
    """The fake, whose failures have a cause."""

    def __init__(self, cause):
        super().__init__()
        self.cause = cause

    def render(self, requests):
        for one in super().render(requests):
            yield Rendered(one.key, one.image, one.error, 0.5, one.origin, cause=self.cause if one.error else "")


class Broken(FakeExecutor):
    """A machine on which nothing can be rendered."""

    def render(self, requests):
        raise EnvironmentFailure("the driver is gone")
        yield


def attempts(folder):
    with closing(sqlite3.connect(folder.path / ".latentpress/ledger.sqlite")) as connection:
        return dict(connection.execute("SELECT status, max(attempts) FROM images GROUP BY status"))


def counts(outcome):
    summary = outcome.summary
    return summary.done, summary.skipped, summary.failed, summary.quarantined


@pytest.mark.parametrize("cause", ["memory", "killed", "hang"])
def test_after_three_renders_it_is_left_out_and_tried_again_when_asked(cause, folder):
    night = folder(BODY + "sheet: {rows: seed}\n")
    with pytest.raises(EnvironmentFailure):
        night.render(executor=Broken())
    assert counts(night.render(executor=Failing(cause))) == (2, 0, 1, 0)
    for _ in range(2):
        assert not night.status().quarantined
        assert counts(night.render(executor=Failing(cause))) == (0, 2, 1, 0)
    said, executor = [], Failing(cause)
    outcome = night.render(executor=executor, say=said.append)
    assert counts(outcome) == (0, 2, 0, 1)
    assert executor.rendered == []
    assert outcome.sheet is not None
    assert [line for line in said if "quarantined" in line] == list(outcome.warnings)
    assert night.status().quarantined == {1}
    assert counts(night.render(executor=Failing(cause), retry=True)) == (0, 2, 1, 0)
    assert attempts(night)["failed"] == 4
    assert counts(night.render(executor=Failing(cause))) == (0, 2, 0, 1)
    assert counts(night.render(executor=Failing(cause), policy=Policy(retries=4))) == (0, 2, 1, 0)


@pytest.mark.parametrize("cause", ["not_finite", "exception", "input", ""])
def test_other_failures_are_tried_by_each_render(cause, folder):
    night = folder(BODY + "policy: {retries: 0}\n")
    night.render(executor=Failing(cause))
    for _ in range(4):
        assert counts(night.render(executor=Failing(cause))) == (0, 2, 1, 0)


def test_a_manifest_sets_the_number_and_a_changed_job_begins_anew(folder):
    night = folder(BODY + "policy: {retries: 0}\n")
    night.render(executor=Failing("memory"))
    assert counts(night.render(executor=Failing("memory"))) == (0, 2, 0, 1)
    changed = folder(BODY.replace("size: 16x16", "size: 16x16, steps: 3") + "policy: {retries: 0}\n")
    assert counts(changed.render(executor=FakeExecutor())) == (2, 0, 1, 0)


TWICE = f"{TWO}policy: {{retries: 1}}\n"


def test_commands_tell_of_it(eight, tmp_path):
    (tmp_path / "two.yaml").write_text(TWICE)

    def run(command, *options):
        return eight.runner.run(tmp_path, command, tmp_path / "two.yaml", "-o", tmp_path / "out", *options)

    assert run("render").code == 1
    with closing(sqlite3.connect(tmp_path / "out/.latentpress/ledger.sqlite")) as ledger, ledger:
        ledger.execute("UPDATE images SET cause='memory', attempts=2 WHERE status='failed'")
    status = run("status")
    assert "quarantined: job 2 (id two, seed 0): nan.png: did not fit into memory: " in status.out
    assert "1 picture is quarantined" in status.out
    assert "`render --retry` tries it again" in status.out
    assert read("status", run("status", "--json").out)["quarantined"] == ["nan.png"]
    assert run("status", "--exit-code").code == 1
    left_out = run("render", "--log-file", tmp_path / "log")
    assert left_out.code == 1
    assert left_out.out.splitlines()[0].endswith("0 rendered, 1 already done, 0 failed, 1 quarantined")
    assert json.loads((tmp_path / "log").read_text().splitlines()[-1])["quarantined"] == 1
    assert "0 failed" not in run("render", "--retry").out


def test_the_end_of_a_stopped_render_is_told(eight, tmp_path):
    (tmp_path / "two.yaml").write_text(TWICE.replace("kite, nan", "nan, kite, crab"))
    told = f'echo "$LATENTPRESS_END $LATENTPRESS_LEFT $LATENTPRESS_EXIT" >{tmp_path}/told'
    options = ("--stop-after", "0s", "--on-complete", told, "--log-file", tmp_path / "log", "--json")
    done = eight.runner.run(tmp_path, "render", tmp_path / "two.yaml", "-o", tmp_path / "out", *options)
    summary = read("render", done.out)["summary"]
    assert summary["left"] == 2
    assert summary["stopped"] == "its time is up (stop_after)"
    assert (tmp_path / "told").read_text() == f"stopped 2 {done.code}\n"
    ended = json.loads((tmp_path / "log").read_text().splitlines()[-1])
    assert (ended["end"], ended["left"], ended["exit"]) == ("stopped", 2, done.code)
