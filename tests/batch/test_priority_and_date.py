"""Priorities decide when a picture is rendered and nothing else; dates in names stay what they were at first."""

from contextlib import suppress
from pathlib import Path

import pytest

from latentpress.batch import dated as dated_folders
from latentpress.batch.plan import plan as planning

JOBS = """\
jobs:
  - {id: large, prompt: a, seed: 1..3, size: 128x128}
  - {id: late, prompt: b, seed: 4..5, priority: -1}
  - {id: first, prompt: c, seed: 6..7, size: 72x72, priority: 10}
output: "{id}-{seed}.png"
"""


def test_higher_priorities_are_rendered_first(go, new_executor):
    executor = new_executor()
    go(JOBS, executor)
    # The fake renders each block from its end.
    assert executor.rendered == [7, 6, 3, 2, 1, 5, 4]


def test_a_priority_changes_no_hash_no_name_and_no_drawn_seed(planned):
    body = "jobs:\n  - {prompt: a, seed: -1}\n  - {prompt: b}\n"
    plain = planned(body)
    urgent = planned(body.replace("a,", "a, priority: 7,"), dict(plain.draws), draw=lambda: 1 / 0)
    assert [(job.output, job.job_hash) for job in plain.jobs] == [(job.output, job.job_hash) for job in urgent.jobs]


def test_priorities_stand_in_defaults_and_on_axes(planned):
    plan = planned("defaults: {prompt: a, priority: 2}\nmatrix: {style: [{style: x, priority: 5}, y]}\njobs: [{}]\n")
    found = plan.table.answers("SELECT priority FROM jobs JOIN drafts USING (draft) ORDER BY job")
    assert [priority for (priority,) in found] == [5, 2]


def test_a_picture_of_several_names_has_the_highest_priority_of_theirs(go, new_executor):
    executor = new_executor()
    body = "jobs:\n  - {id: a, prompt: x, seed: 1}\n  - {id: b, prompt: y, seed: 2, priority: 1}\n"
    go(body + '  - {id: c, prompt: x, seed: 1, priority: 3}\noutput: "{id}.png"\n', executor)
    assert executor.rendered == [1, 2]


@pytest.fixture
def clock(monkeypatch):
    """clock(text) sets the time that new plans begin at."""
    return lambda text: monkeypatch.setattr(planning, "now", lambda: text)


DATED = 'jobs: [{prompt: a, seed: 1..4}]\noutput: "{date}/{time}/{seed}.png"\n'


def test_a_resume_on_another_day_goes_on_under_the_first_date(folder, new_executor, clock):
    clock("2026-11-27 22-00")
    with pytest.raises(KeyboardInterrupt):
        folder(DATED).render(executor=new_executor(crash_after=2))
    clock("2026-11-28 09-30")
    executor = new_executor()
    outcome = folder(DATED).render(executor=executor)
    assert (outcome.summary.done, outcome.summary.skipped, len(executor.rendered)) == (2, 2, 2)
    # A seed more is rendered beside the others, and a status reads the same names.
    more = DATED.replace("1..4", "1..5")
    assert folder(more).render(executor=new_executor()).summary.skipped == 4
    names = sorted(str(job.output) for job in folder(more).status().plan.jobs)
    assert names == [f"2026-11-27/22-00/{seed}.png" for seed in range(1, 6)]


def test_another_folder_has_another_date(folder, new_executor, clock):
    clock("2026-11-27 22-00")
    folder(DATED).render(executor=new_executor())
    clock("2026-11-28 22-00")
    assert str(folder(DATED, "other").plan().jobs[0].output) == "2026-11-28/22-00/1.png"


def test_an_axis_may_still_be_called_date(planned):
    plan = planned('defaults: {prompt: "{date}"}\nmatrix: {date: [may, june]}\noutput: "{date}-{time}.png"\n')
    assert [str(job.output).partition("-")[0] for job in plan.jobs] == ["may", "june"]


@pytest.fixture
def nights(manifest, facts, tmp_path, clock):
    """nights(when, crash_after) renders into the folder that out/{date} means then; gives its name."""
    from latentpress.batch.dated import dated
    from latentpress.batch.folder import OutputFolder
    from latentpress.models import Models

    def night(when, executor=None, body=DATED):
        clock(when)
        read = manifest(body)
        path = dated(Path("out/{date}"), read.path, latest=executor is None)
        if executor is not None:
            output = OutputFolder(read, path, models=Models({}, {"demo": facts}), draw=lambda: 7)
            with suppress(KeyboardInterrupt):
                output.render(executor=executor)
        return path.name

    return night


def test_a_folder_a_night_is_gone_on_with_on_the_next_morning(nights, new_executor, monkeypatch):
    monkeypatch.setattr(dated_folders, "now", lambda: planning.now())
    assert nights("2026-11-26 22-00", new_executor()) == "2026-11-26"
    # The same line begins anew where the last render ended, and goes on where it did not.
    assert nights("2026-11-27 22-00", new_executor(crash_after=1)) == "2026-11-27"
    assert nights("2026-11-28 09-30") == "2026-11-27"
    executor = new_executor()
    assert nights("2026-11-28 09-30", executor) == "2026-11-27"
    assert len(executor.rendered) == 3
    assert nights("2026-11-28 22-00", new_executor(crash_after=1)) == "2026-11-28"
    # What was never gone on with is left at the next night.
    assert nights("2026-11-29 22-00", new_executor()) == "2026-11-29"
    assert nights("2026-11-30 08-00") == "2026-11-29"


def test_folders_of_others_are_left_alone(nights, new_executor, monkeypatch):
    monkeypatch.setattr(dated_folders, "now", lambda: planning.now())
    Path("out/2026-11-29").mkdir(parents=True)
    Path("out/not-a-date").mkdir()
    nights("2026-11-27 22-00", new_executor(crash_after=1))
    assert nights("2026-11-28 09-00") == "2026-11-27"
    assert dated_folders.dated(Path("out/{date}"), Path("other.yaml"), latest=True).name == "2026-11-28"
    assert dated_folders.dated(Path("out/plain"), Path("m.yaml")) == Path("out/plain")
