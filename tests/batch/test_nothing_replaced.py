"""A render replaces nothing that its folder's ledger did not write with that very content."""

import shutil

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from foreign import FOREIGN
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


def test_what_was_saved_again_is_refused_texts_pixels_and_all(folder, new_executor, tmp_path):
    """Other bytes are not what was written, however little they differ."""
    path = tmp_path / "out/s/3.png"
    folder(SIX).render(executor=new_executor())
    with Image.open(path) as picture:
        info = PngInfo()
        for keyword, text in picture.text.items():
            info.add_text(keyword, text)
        picture.save(path, pnginfo=info, compress_level=1)
    before = path.read_bytes()
    with pytest.raises(UsageError, match=r"s/3.png was changed since it was rendered"):
        folder(SIX).render(executor=new_executor())
    assert path.read_bytes() == before


def test_a_file_where_a_folder_is_needed_is_refused_and_moved(folder, new_executor, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/s").write_text("seeds to try")
    with pytest.raises(
        UsageError, match=r"s/1.png, s/2.png, .* and 1 more, each of which needs a folder where the file .*out/s lies"
    ):
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
    with pytest.raises(UsageError, match=r"s/1.png, .* each of which was rendered for the manifest .*m1.yaml"):
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


def test_a_sheet_of_the_very_same_pictures_is_everyones(other, new_executor, tmp_path):
    body = SIX + "sheet: {columns: seed}\n"
    other("m1", body).render(executor=new_executor())
    same = other("m2", body)
    assert same.rehearse().warnings == ()
    assert same.render(executor=new_executor()).summary == Summary(0, 6, 0)
    other("m1", body).render(executor=new_executor())
    # Not of other pictures, nor where another was rendered since.
    with pytest.raises(UsageError, match=r"sheet.png was drawn for the manifest"):
        other("m2", body.replace("s/", "t/")).rehearse()
    other("m1", body.replace("s/", "u/")).render(executor=new_executor())
    with pytest.raises(UsageError, match=r"sheet.png was drawn for the manifest"):
        other("m2", body).rehearse()


def test_an_input_in_the_output_folder_is_refused(folder, new_executor, tmp_path):
    (tmp_path / "out").mkdir()
    Image.new("RGB", (64, 64)).save(tmp_path / "out/photo.png")
    body = 'defaults: {prompt: a, init_image: out/photo.png}\noutput: "{seed}.png"\n'
    for replaced in (False, True):
        with pytest.raises(UsageError, match=r"photo.png: is an input, and lies in the output folder"):
            folder(body).render(executor=new_executor(), replace=replaced)


def test_a_linked_subfolder_is_told_and_one_that_leads_nowhere_refused(folder, new_executor, tmp_path):
    body = "defaults: {prompt: a}\nmatrix: {seed: 1..2}\noutput: 'sub/{seed}.png'\n"
    made, elsewhere, said = folder(body), tmp_path / "elsewhere", []
    elsewhere.mkdir()
    (elsewhere / "mine.txt").write_text("mine")
    made.path.mkdir()
    (made.path / "sub").symlink_to(elsewhere)
    line = f"warning: {made.path}/sub is a link, and its pictures are written to {elsewhere}; nothing there is replaced"
    assert made.rehearse().warnings == (line,)
    outcome = made.render(executor=new_executor(), say=said.append)
    assert (outcome.summary.done, outcome.warnings[0], said[0]) == (2, line, line)
    assert sorted(path.name for path in elsewhere.iterdir()) == ["1.png", "2.png", "mine.txt"]
    assert made.rehearse().warnings == (), "nothing is written"
    (made.path / "sub").unlink()
    (made.path / "sub").symlink_to(tmp_path / "nowhere")
    why = f"{made.path}/sub: is a link to {tmp_path}/nowhere, which is no folder"
    for attempt in (made.rehearse, lambda: made.render(executor=new_executor())):
        with pytest.raises(UsageError, match=why):
            attempt()
