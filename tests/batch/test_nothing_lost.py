"""A render replaces nothing that its folder's ledger did not write, and finds what is finished under whatever name."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from latentpress.batch.folder import OutputFolder
from latentpress.batch.render import Summary
from latentpress.errors import UsageError
from latentpress.models import Models

SIX = 'defaults: {prompt: a mouse, steps: 3}\nmatrix: {seed: 1..6}\noutput: "s/{seed}.png"\n'


@pytest.fixture
def other(tmp_path, facts):
    """other(name, body) is tmp_path/out as the manifest NAME.yaml sees it."""

    def make(name, body):
        path = tmp_path / f"{name}.yaml"
        path.write_text("version: 1\nmodel: demo\n" + body)
        return OutputFolder(path, tmp_path / "out", models=Models({}, {"demo": facts}), draw=lambda: 7)

    return make


def pictures(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.png")}


def recompressed(content, path):
    path.write_bytes(content)
    with Image.open(path) as picture:
        picture.load()
        picture.save(path, compress_level=1)


def retouched(content, path):
    """As an editor saves it that keeps the texts: one pixel is another one."""
    from PIL.PngImagePlugin import PngInfo

    path.write_bytes(content)
    with Image.open(path) as picture:
        info = PngInfo()
        for keyword, text in picture.text.items():
            info.add_text(keyword, text)
        pixels = np.array(picture)
        pixels[0, 0] ^= 1
        Image.fromarray(pixels).save(path, pnginfo=info)


def photograph(content, path):
    Image.fromarray(np.full((40, 30, 3), 90, np.uint8)).save(path, "JPEG")


def link_to_photograph(content, path):
    photograph(content, path.parent / "holiday.jpg")
    path.symlink_to("holiday.jpg")


def linked_photograph(content, path):
    photograph(content, path.parent / "holiday.jpg")
    os.link(path.parent / "holiday.jpg", path)


def folder_with_work(content, path):
    path.mkdir()
    (path / "notes.txt").write_text("a week's work")


# What somebody may have put under a name that a picture wants; the content of the picture that was there is given.
FOREIGN = {
    "text": lambda content, path: path.write_text("MY HOLIDAY PHOTO"),
    "photograph": photograph,
    "retouched": retouched,
    "recompressed": recompressed,
    "appended to": lambda content, path: path.write_bytes(content + b"a note"),
    "link to a photograph": link_to_photograph,
    "link to nothing": lambda content, path: path.symlink_to("gone.png"),
    "second name of a photograph": linked_photograph,
    "folder": folder_with_work,
    "pipe": lambda content, path: os.mkfifo(path),
    "empty picture of another program": lambda content, path: Image.new("RGB", (64, 64)).save(path),
    "text that begins as a picture": lambda content, path: path.write_bytes(content[:8] + b"x" * len(content)),
}


def state_of(path):
    """Everything below `path`, links and kinds included."""
    found = {}
    for one in [path, *sorted(path.rglob("*"))] if path.is_dir() and not path.is_symlink() else [path]:
        facts = one.lstat()
        content = one.read_bytes() if one.is_file() and not one.is_symlink() else None
        found[str(one.relative_to(path.parent))] = (facts.st_mode, facts.st_ino, content)
    return found


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("kind", FOREIGN)
def test_a_foreign_file_is_refused_and_survives(kind, known, folder, new_executor, tmp_path):
    """known: whether a picture of ours was there before."""
    path = tmp_path / "out/s/3.png"
    folder(SIX).render(executor=new_executor())
    content = path.read_bytes()
    if not known:
        shutil.rmtree(tmp_path / "out")
        path.parent.mkdir(parents=True)
    path.unlink(missing_ok=True)
    FOREIGN[kind](content, path)
    before = state_of(path)
    made = folder(SIX)
    for attempt in (lambda: made.refuse(made.status()), lambda: made.render(executor=new_executor())):
        with pytest.raises(UsageError, match=r"s/3.png (is|was) .*add --replace, which moves it to .*replaced"):
            attempt()
    assert state_of(path) == before
    assert made.status().counts["missing"] == (1 if known else 6)

    said = []
    outcome = made.render(executor=new_executor(), replace=True, say=said.append)
    assert outcome.summary == (Summary(1, 5, 0) if known else Summary(6, 0, 0))
    assert path.read_bytes() == content
    aside = tmp_path / "out/.latentpress/replaced/1/s/3.png"
    assert state_of(aside) == before, "moved, not copied"
    assert said[-1] == f"1 file was moved to {tmp_path / 'out/.latentpress/replaced/1'}"


def test_a_file_where_a_folder_is_needed_is_refused_and_moved(folder, new_executor, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/s").write_text("seeds to try")
    with pytest.raises(UsageError, match=r"s/1.png lies below a file, where a folder is needed, s/2.png"):
        folder(SIX).render(executor=new_executor())
    assert folder(SIX).render(executor=new_executor(), replace=True).summary == Summary(6, 0, 0)
    assert (tmp_path / "out/.latentpress/replaced/1/s").read_text() == "seeds to try"


def test_an_edited_manifest_keeps_what_it_replaces(folder, new_executor, tmp_path):
    folder(SIX).render(executor=new_executor())
    old = pictures(tmp_path / "out")
    said = []
    edited = folder(SIX.replace("steps: 3", "steps: 4"))
    edited.refuse(edited.status())
    assert edited.render(executor=new_executor(), say=said.append).summary == Summary(6, 0, 0)
    assert said == [f"6 files were moved to {tmp_path / 'out/.latentpress/replaced/1'}"]
    assert pictures(tmp_path / "out/.latentpress/replaced/1") == old
    # And back: nothing is rendered that lies there.
    nobody = new_executor()
    assert folder(SIX).render(executor=nobody).summary == Summary(0, 6, 0)
    assert nobody.rendered == []
    assert {name: (tmp_path / "out" / name).read_bytes() for name in old} == old


def test_another_manifest_is_refused_a_renamed_one_is_not(other, new_executor, tmp_path):
    other("m1", SIX).render(executor=new_executor())
    old = pictures(tmp_path / "out")
    second = other("m2", SIX.replace("a mouse", "an owl"))
    with pytest.raises(UsageError, match=r"s/1.png was rendered for the manifest .*m1.yaml"):
        second.render(executor=new_executor())
    assert pictures(tmp_path / "out") == old
    assert other("m2", SIX).render(executor=new_executor()).summary == Summary(0, 6, 0), "the same pictures are shared"
    (tmp_path / "m1.yaml").unlink()
    (tmp_path / "m2.yaml").rename(tmp_path / "m3.yaml")
    assert other("m3", SIX.replace("a mouse", "an owl")).render(executor=new_executor()).summary == Summary(6, 0, 0)


@pytest.mark.parametrize("kind", ["drawn by hand", "another manifest's", "retouched"])
def test_the_sheet_is_under_the_same_rule(kind, other, new_executor, tmp_path):
    body = SIX + "sheet: {columns: seed}\n"
    sheet = tmp_path / "out/sheet.png"
    if kind == "drawn by hand":
        sheet.parent.mkdir()
        Image.new("RGB", (9, 9)).save(sheet)
        why = "was not drawn for this folder"
    else:
        other("m1", body).render(executor=new_executor())
        why = "was drawn for the manifest"
    made = other("m2", body.replace("s/", "t/").replace("1..6", "1..2"))
    if kind == "retouched":
        Image.new("RGB", (9, 9)).save(sheet)
        made, why = other("m1", body), "was changed since it was drawn"
    old = sheet.read_bytes()
    with pytest.raises(UsageError, match=f"sheet.png {why}.*--replace"):
        made.render(executor=new_executor())
    assert sheet.read_bytes() == old
    made.render(executor=new_executor(), replace=True)
    assert sheet.read_bytes() != old
    assert (tmp_path / "out/.latentpress/replaced/1/sheet.png").read_bytes() == old
    again = sheet.stat()
    made.render(executor=new_executor())
    assert sheet.stat().st_mtime_ns == again.st_mtime_ns, "what is the same is not written again"


def test_an_input_in_the_output_folder_is_refused(folder, new_executor, tmp_path):
    (tmp_path / "out").mkdir()
    Image.new("RGB", (64, 64)).save(tmp_path / "out/photo.png")
    body = 'defaults: {prompt: a, init_image: out/photo.png}\noutput: "{seed}.png"\n'
    for replaced in (False, True):
        with pytest.raises(UsageError, match=r"photo.png: is an input, and lies in the output folder"):
            folder(body).render(executor=new_executor(), replace=replaced)


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
        'matrix: {s: [<line-art>{}], seed: 1..50}\noutput: "{s}-{seed}.png"\n'
    )
    first = folder(body.replace("{}", ""))
    assert first.render(executor=new_executor()).summary == Summary(50, 0, 0)
    more = folder(body.replace("{}", ", <moeb-style>"))
    derived = replace(
        facts, hash="9" * 64, vectors={**facts.vectors, "<moeb-style>": "8" * 64}, versions={"torch": "3"}
    )
    more._models = Models({}, {"demo": derived})
    executor = new_executor()
    assert more.render(executor=executor).summary == Summary(50, 50, 0)
    assert len(executor.rendered) == 50


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
