"""A render that ends early because its policy says so: failures, time, time of day."""

import re
import sqlite3
from contextlib import closing
from datetime import datetime

import pytest

from latentpress.batch import policy as module
from latentpress.batch.policy import Limits, Policy
from latentpress.errors import ManifestError
from latentpress.manifest.policy import parse_duration, parse_failures, parse_time

BODY = "jobs:\n- {id: bad, prompt: nan, seed: 1..3}\n- {id: good, prompt: a, seed: 4..9}\ndefaults: {size: 16x16}\n"


def test_one_failure_more_than_allowed_stops_and_the_next_render_goes_on(folder, new_executor):
    executor = new_executor()
    first = folder(BODY.replace("seed: 1..3", "seed: 11..13")).render(executor=executor, policy=Policy(max_failures=2))
    assert first.summary.failed == 3, "the fake renders the last ones first"
    assert first.summary.stopped == ""
    outcome = folder(BODY + "sheet: {rows: seed}\n", "again").render(executor=Reversed(), policy=Policy(max_failures=1))
    assert (outcome.summary.done, outcome.summary.failed, outcome.summary.left) == (0, 2, 7)
    assert "2 pictures failed, and max_failures allows 1" in outcome.summary.stopped
    with closing(sqlite3.connect(folder(BODY, "again").path / ".latentpress/ledger.sqlite")) as connection:
        assert connection.execute("SELECT end FROM runs").fetchall() == [("stopped",)]
    assert folder(BODY, "again").render(executor=new_executor()).summary.done == 6


class Reversed:
    """The fake executor in the order of the plan."""

    def __init__(self):
        from fakes import FakeExecutor

        self.fake = FakeExecutor()

    def open(self, bundle, requests):
        return self.fake.open(bundle, requests)

    def render(self, requests):
        return self.fake.render(reversed(list(requests)))


def test_the_time_is_up(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    limits = Limits(Policy(stop_after=60), 10)
    assert not limits.reached(5)
    now[0] = 160.0
    assert limits.reached(5)


def test_a_share_is_of_the_pictures_to_render():
    limits = Limits(Policy(max_failures=0.01), 300)
    assert not limits.reached(3)
    assert limits.reached(4)


def test_options_are_read():
    assert (parse_failures("1%"), parse_failures("3"), parse_failures("0")) == (0.01, 3, 0)
    assert (parse_duration("6h"), parse_duration("1h30m"), parse_duration("45s")) == (21600, 5400, 45)
    evening = datetime(2026, 11, 28, 22, 15)
    assert datetime.fromtimestamp(parse_time("06:30", evening)) == datetime(2026, 11, 29, 6, 30)
    assert datetime.fromtimestamp(parse_time("23:00", evening)) == datetime(2026, 11, 28, 23, 0)


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (parse_failures, "x"),
        (parse_failures, "200%"),
        (parse_duration, "6"),
        (parse_duration, "h"),
        (parse_time, "25:00"),
    ],
)
def test_what_cannot_be_read_is_told(parse, text):
    with pytest.raises(ValueError, match="must be a"):
        parse(text)


def test_a_manifest_says_the_same_and_options_win(folder):
    night = BODY + "policy: {max_failures: 1, stop_after: 6h}\n"
    manifest = folder(night).manifest
    assert manifest.policy == Policy(max_failures=1, stop_after=21600)
    outcome = folder(night).render(executor=Reversed())
    assert (outcome.summary.failed, outcome.summary.left) == (2, 7)
    outcome = folder(night, "again").render(executor=Reversed(), policy=Policy(max_failures=9))
    assert (outcome.summary.failed, outcome.summary.left) == (3, 0)


def test_mistakes_in_a_manifests_policy_say_where(folder):
    with pytest.raises(ManifestError) as told:
        folder(BODY + "policy: {max_failure: 1, stop_after: 6, stop_at: '25:00', retries: many}\n")
    text = str(told.value)
    assert re.search(r"m\.yaml:\d+:10: .*max_failure'?.*did you mean '?max_failures", text), text
    assert "policy stop_after is '6'; it must be a time such as 6h, 90m or 1h30m" in text
    assert "policy stop_at is '25:00'; it must be a time of day such as '06:30'" in text
    assert "policy retries is 'many'" in text
