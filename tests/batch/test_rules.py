"""Rules of drawing that changed: what an earlier one drew is told apart from what is done, kept, and drawn anew if asked."""

import sqlite3
from dataclasses import replace

import pytest

from latentpress.batch.plan.plan import build_plan
from latentpress.batch.render import Summary
from latentpress.runtime import rules
from latentpress.runtime.rules import Rule, Scene, rules_of

BODY = (
    'defaults: {prompt: a mouse}\njobs: [{id: a, steps: 4}, {id: b, steps: 5}, {id: c, steps: 6}]\noutput: "{id}.png"\n'
)
FIRST = Rule("odd-steps", 2, lambda request, scene: request.steps % 2 == 1)
AGAIN = Rule("odd-steps", 3, lambda request, scene: request.steps == 5)
OTHER = Rule("long-pictures", 2, lambda request, scene: request.steps >= 5)


@pytest.fixture
def ruled(facts, folder):
    """ruled(*rules) is a folder of BODY where these are all the rules there are."""

    def make(*known):
        made = folder(BODY)
        own = replace(facts, rules=lambda request: tuple(rule for rule in known if rule.touches(request, None)))
        made._models = replace(made._models, known={"demo": own})
        return made

    return make


def states(folder):
    found = folder.status()
    return [found.state(index) for index in (1, 2, 3)]


def test_a_picture_of_an_earlier_rule_is_kept_until_it_is_to_be_drawn_anew(ruled, new_executor):
    assert ruled().render(executor=new_executor()).summary == Summary(3, 0, 0)
    old = [(ruled().path / f"{name}.png").read_bytes() for name in "abc"]
    later = ruled(FIRST)
    assert states(later) == ["done", "earlier", "done"]
    assert (later.status().left, dict(later.status().rules)) == (0, {"odd-steps": 1})
    said = []
    outcome = later.render(executor=new_executor(), say=said.append)
    assert outcome.summary == Summary(0, 3, 0)
    assert outcome.warnings == tuple(said)
    assert "1 picture was drawn by an earlier rule (odd-steps) and kept; `render --redraw` draws" in said[0]
    again = new_executor()
    assert later.render(executor=again, redraw=True).summary == Summary(1, 2, 0)
    assert [(ruled().path / f"{name}.png").read_bytes() != before for name, before in zip("abc", old, strict=True)] == [
        *(False, True, False)
    ], "its metadata holds the rule"
    assert states(later) == ["done"] * 3
    assert later.render(executor=again, redraw=True).summary == Summary(0, 3, 0)


def test_every_state_that_a_rule_ever_had_is_known(ruled, new_executor):
    """Pictures of the first rule, and of the second, both stand behind the third."""
    ruled().render(executor=new_executor())
    assert states(ruled(FIRST, OTHER, AGAIN)) == ["done", "earlier", "earlier"]
    ruled(FIRST).render(executor=new_executor(), redraw=True)
    assert states(ruled(FIRST)) == ["done"] * 3
    assert states(ruled(FIRST, OTHER)) == ["done", "earlier", "earlier"]
    ruled(FIRST, OTHER).render(executor=new_executor(), redraw=True)
    assert states(ruled(FIRST, OTHER)) == ["done"] * 3
    assert states(ruled(FIRST, OTHER, AGAIN)) == ["done", "earlier", "done"]


def test_what_failed_or_is_gone_is_drawn_by_the_rule_of_now(ruled, new_executor):
    made = ruled()
    made.render(executor=new_executor())
    (made.path / "b.png").unlink()
    (made.path / "c.png").unlink()
    database = sqlite3.connect(made.path / ".latentpress/ledger.sqlite")
    with database:
        database.execute("UPDATE images SET status='failed' WHERE output='c.png'")
    database.close()
    assert states(ruled(OTHER)) == ["done", "missing", "missing"]
    assert ruled(OTHER).render(executor=new_executor()).summary == Summary(2, 1, 0)
    assert states(ruled(OTHER)) == ["done"] * 3


def test_a_missing_twin_is_no_copy_of_what_an_earlier_rule_drew(facts, folder, new_executor):
    body = "defaults: {prompt: a mouse, steps: 5}\njobs: [{id: a}, {id: b}]\noutput: '{id}.png'\n"
    made = folder(body)
    made.render(executor=new_executor())
    (made.path / "b.png").unlink()
    made._models = replace(made._models, known={"demo": replace(facts, rules=lambda request: (FIRST,))})
    drawn = new_executor()
    assert made.render(executor=drawn).summary == Summary(1, 1, 0)
    assert drawn.rendered == [0]


def test_only_the_jobs_that_a_rule_touches_get_other_hashes(manifest, facts):
    def hashes(*known):
        own = replace(facts, rules=lambda request: tuple(rule for rule in known if rule.touches(request, None)))
        return [job.job_hash for job in build_plan(manifest(BODY), {"demo": own}, {}, lambda: 7).jobs]

    before, after = hashes(), hashes(FIRST)
    assert [one == other for one, other in zip(before, after, strict=True)] == [True, False, True]
    assert hashes(FIRST, OTHER)[0] == before[0]


def test_the_rules_that_there_are_have_numbers_that_rise(monkeypatch):
    last = {}
    for rule in rules.RULES:
        assert rule.number == last.get(rule.name, 1) + 1, rule.name
        assert rule.name.replace("-", "").isalpha()
        last[rule.name] = rule.number
    monkeypatch.setattr(rules, "RULES", (FIRST, OTHER))
    request = type("Request", (), {"steps": 5})
    assert rules_of(request, Scene(None, {})) == (FIRST, OTHER)
