"""A finished picture is found again by what it is, under whatever name, in whatever folder, and is not rendered twice."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from latentpress.batch.folder import OutputFolder
from latentpress.batch.render import Summary
from latentpress.errors import UsageError
from latentpress.models import Models

SIX = 'defaults: {prompt: a mouse, steps: 3}\nmatrix: {seed: 1..6}\noutput: "s/{seed}.png"\n'


def pictures(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.png")}


LABELS = """\
defaults: {{prompt: "a {{x}}"}}
matrix: {{x: [{{label: {}, value: kite}}, {{label: {}, value: owl}}]}}
output: "{}"
"""
TO = (
    *(("toy", "bird", "{x}.png"), ("two", "one", "{x}.png"), ("one", "two", "{x}/{seed:04}.png")),
    ("one", "two", "{hash:.20}.png"),
)


@pytest.mark.parametrize("after", TO)
def test_renamed_swapped_and_retemplated_labels_render_nothing(after, folder, new_executor, tmp_path):
    folder(LABELS.format("one", "two", "{x}.png")).render(executor=new_executor())
    old = pictures(tmp_path / "out")
    made = folder(LABELS.format(*after))
    assert made.status().counts["found"] == 2
    nobody = new_executor()
    outcome = made.render(executor=nobody)
    assert (outcome.summary, outcome.taken, nobody.rendered) == (Summary(0, 2, 0), 2, [])
    state = folder(LABELS.format(*after)).status()
    assert state.counts["done"] == 2
    now = [(tmp_path / "out" / job.output).read_bytes() for job in state.plan.jobs]
    assert now == [old["one.png"], old["two.png"]]
    assert made.render(executor=nobody).taken == 0
    left = made.orphans(made.status())
    assert left == ([] if after[0] == "two" else ["one.png", "two.png"])
    assert made.tidy()[0] == len(left)
    assert made.orphans(made.status()) == []
    assert set(pictures(tmp_path / "out").values()) == set(old.values()), "tidied is not lost"


def test_a_style_more_renders_the_new_ones_alone(folder, facts, new_executor):
    """Also where its concept makes the bundle another one, with other figures and an other folder's hash."""
    body = (
        'defaults: {prompt: "a mouse in the style of {s}"}\n'
        'matrix: {s: [<line-art>{}], seed: 1..100}\noutput: "{s}-{seed}.png"\n'
    )
    first = folder(body.replace("{}", ""))
    assert first.render(executor=new_executor()).summary == Summary(100, 0, 0)
    more = folder(body.replace("{}", ", <moeb-style>"))
    derived = replace(
        facts, hash="9" * 64, vectors={**facts.vectors, "<moeb-style>": "8" * 64}, versions={"torch": "3"}
    )
    more._models = Models({}, {"demo": derived})
    executor = new_executor()
    assert more.render(executor=executor).summary == Summary(100, 100, 0)
    assert len(executor.rendered) == 100


def test_another_export_asks_for_mixed_and_replaces_nothing(folder, facts, new_executor, tmp_path):
    parts = {"unet": "1" * 64, "vae_decoder": "2" * 64}
    made = folder(SIX)
    made._models = Models({}, {"demo": replace(facts, parts=parts)})
    made.render(executor=new_executor())
    old = pictures(tmp_path / "out")
    more = folder(SIX.replace("1..6", "1..8"))
    again = replace(facts, hash="9" * 64, content="8" * 64, parts=parts | {"unet": "7" * 64})
    more._models = Models({}, {"demo": again})
    assert more.status().counts == {"done": 0, "failed": 0, "missing": 2, "earlier": 0, "other": 6, "found": 0}
    why = r"6 pictures were rendered on another export of fake \(its unet differs\).*--mixed.*--redraw"
    with pytest.raises(UsageError, match=why):
        more.render(executor=new_executor())
    assert more.render(executor=new_executor(), mixed=True).summary == Summary(2, 6, 0)
    assert pictures(tmp_path / "out").items() >= old.items()
    assert more.render(executor=new_executor()).summary == Summary(0, 8, 0), "there is nothing to refuse"
    assert more.render(executor=new_executor(), redraw=True).summary == Summary(6, 2, 0)
    assert pictures(tmp_path / "out/.latentpress/replaced/1") == old


def test_a_copied_folder_without_its_ledger_is_done(folder, new_executor, tmp_path):
    """Each picture says which job it is, and the sum of its pixels proves it."""
    folder(SIX).render(executor=new_executor())
    shutil.rmtree(tmp_path / "out/.latentpress")
    assert folder(SIX).render(executor=new_executor()).summary == Summary(0, 6, 0)
    row = json.loads(
        json.dumps(folder(SIX).plan().table.answers("SELECT provider, row_rule, pixel_sha256 FROM images"))
    )
    assert {tuple(one[:2]) for one in row} == {("fake", "any")}
    assert len({one[2] for one in row}) == 6


def test_a_file_that_comes_in_between_is_kept_and_so_is_the_picture(folder, facts, new_executor, tmp_path):
    class Meddler(type(new_executor())):
        def render(self, requests):
            for rendered in super().render(requests):
                if rendered.key == 2:
                    (tmp_path / "out/s").mkdir(exist_ok=True)
                    (tmp_path / "out/s/2.png").write_text("mine")
                yield rendered

    outcome = folder(SIX).render(executor=Meddler())
    assert (tmp_path / "out/s/2.png").read_text() == "mine"
    failed = [job.output.name for job in folder(SIX).status().jobs("missing")]
    assert failed == ["2.png"]
    (tmp_path / "out/s/2.png").unlink()
    nobody = new_executor()
    assert folder(SIX).render(executor=nobody).taken == 1
    assert nobody.rendered == []
    assert outcome.plan.plan_hash == folder(SIX).plan().plan_hash


def test_a_whole_run_of_another_folder_may_be_moved(folder, new_executor, tmp_path):
    """The folder and its manifest moved together are still each other's."""
    folder(SIX).render(executor=new_executor())
    place = tmp_path / "elsewhere"
    place.mkdir()
    shutil.move(tmp_path / "out", place / "out")
    shutil.move("m.yaml", place / "m.yaml")
    moved = OutputFolder(Path(place / "m.yaml"), place / "out", models=folder(SIX)._models)
    nobody = new_executor()
    assert moved.render(executor=nobody).summary == Summary(0, 6, 0)
    (place / "m.yaml").write_text((place / "m.yaml").read_text().replace("a mouse", "an owl"))
    edited = OutputFolder(Path(place / "m.yaml"), place / "out", models=folder(SIX)._models)
    assert edited.render(executor=nobody).summary == Summary(6, 0, 0)


def test_of_a_render_that_is_asked_for_no_picture_none_is_rendered(folder, new_executor):
    executor = new_executor()
    folder(SIX).render(executor=executor, only=())
    assert executor.rendered == []
    folder(SIX).render(executor=executor, only={"s/2.png"})
    assert executor.rendered == [2]
