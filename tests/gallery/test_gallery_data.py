"""What a gallery's folder holds: the ledger's cells, thumbnails of their pixels, and nothing of it anywhere else."""

import fcntl
import json
import os

import numpy as np
import pytest
from PIL import Image

from fakes import FakeExecutor
from latentpress.batch.cells import folder_cells
from latentpress.cli import run_cli
from latentpress.errors import OutputLocked, UsageError
from latentpress.gallery import make_gallery

EVIL = '</script><b>"kite"</b> & \u2028 \u202eשמש'
BODY = f"""\
defaults: {{prompt: "a {{word}}", steps: 1, size: 64x48}}
matrix:
  word: [owl, {{label: {json.dumps(EVIL)}, value: kite}}, nan]
  seed: [9007199254740993, 2, 3, 4]
  exclude: [{{word: owl, seed: 2}}]
output: "{{index}}.png"
sheet: {{rows: word, columns: seed}}
"""


class Various(FakeExecutor):
    """The fake, whose noise is of the prompt too."""

    def render(self, requests):
        asked = dict(requests)
        for one in super().render(asked.items()):
            if one.image is not None:
                one.image[0, :3, 0] = [*asked[one.key].prompt.encode()[-3:]]
            yield one


def data_of(home):
    """What the page gets, read as JSON."""
    text = (home / "data.js").read_text("ascii")
    assert text.startswith("latentpressGallery(")
    assert "</" not in text
    return json.loads(text.removeprefix("latentpressGallery(").removesuffix(");\n"))


def stamps(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def night(folder):
    made = folder(BODY)
    made.render(executor=Various())
    return made


def test_the_page_gets_the_ledgers_cells(night, capsys):
    before = stamps(night.path)
    assert run_cli(["gallery", "out"]) == 0
    assert (
        capsys.readouterr().out == "7 done, 4 failed; 7 thumbnails made\ngallery: out/.latentpress/gallery/index.html\n"
    )
    home = night.path / ".latentpress/gallery"
    assert {path: stamp for path, stamp in stamps(night.path).items() if home not in path.parents} == before
    data = data_of(home)
    assert (data["rows"], data["columns"], data["axes"]) == ("word", "seed", ["word", "seed", "prompt"])
    texts, cells = data["texts"], folder_cells(night.path).cells.cells
    for row, cell in zip(data["cells"], cells, strict=True):
        labels = {key: texts[place] for key, place in zip(data["keys"], row[15:], strict=True)}
        assert labels == dict(cell.labels)
        assert [data["states"][row[1]], texts[row[2]], *row[4:9]] == [
            *(cell.state, str(cell.output), cell.pixel_sha256, cell.job_hash, cell.width, cell.height, cell.seconds)
        ]
        assert [texts[place] for place in row[9:14]] == [
            *(cell.prompt, cell.negative_prompt, cell.reason, str(cell.seed), cell.alt)
        ]
        if cell.state == "done":
            small = Image.open(home / f"thumbs/{cell.pixel_sha256[:2]}/{cell.pixel_sha256}-160.webp")
            assert np.array_equal(np.asarray(small), np.asarray(Image.open(night.path / cell.output)))
    assert EVIL in texts
    assert "9007199254740993" in texts
    assert os.path.normpath(home / data["folders"][0]["root"]) == str(night.path)


def test_a_later_gallery_makes_what_changed(folder, capsys):
    night = folder(BODY.replace("nan", "sun"))
    with pytest.raises(KeyboardInterrupt):
        night.render(executor=Various(crash_after=4))
    made = make_gallery([night.path])
    assert (made.counts["done"], made.counts["waiting"], made.thumbnails) == (4, 7, 4)
    first = stamps(made.page.parent)
    assert make_gallery([night.path]).thumbnails == 0
    assert stamps(made.page.parent) == first, "nothing is written again"
    night.render(executor=Various())
    made = make_gallery([night.path])
    assert (made.thumbnails, made.removed) == (7, 0)
    changed = {path.name for path, stamp in stamps(made.page.parent).items() if first.get(path) != stamp}
    assert len(changed) == 8
    assert "data.js" in changed
    again = make_gallery([night.path], night.path.parent / "elsewhere")
    assert (again.page.parent / "gallery.js").read_bytes() == (made.page.parent / "gallery.js").read_bytes()
    assert data_of(again.page.parent)["folders"][0]["root"] == "../out/"


def test_thumbnails_that_no_cell_has_go_and_nothing_else(folder):
    night = folder(BODY)
    night.render(executor=Various())
    home = make_gallery([night.path]).page.parent
    (home / "thumbs/ab").mkdir(exist_ok=True)
    for name in (f"{'ab' * 32}-160.webp", "mine.txt", ".latentpress-tmp-0"):
        (home / "thumbs/ab" / name).write_text("x")
    assert make_gallery([night.path]).removed == 1
    left = {path.name for path in (home / "thumbs/ab").iterdir()}
    assert "mine.txt" in left
    assert not {f"{'ab' * 32}-160.webp", ".latentpress-tmp-0"} & left


def test_pictures_that_are_not_what_was_written_are_told_and_marked(night, capsys):
    (night.path / "1.png").write_bytes(b"torn")
    Image.new("RGB", (64, 48), "red").save(night.path / "2.png")
    (night.path / "3.png").unlink()
    assert run_cli(["gallery", "out"]) == 0
    said = capsys.readouterr()
    assert "4 done, 4 failed, 3 missing; 4 thumbnails made" in said.out
    assert "warning: out/1.png: the file cannot be read; `latentpress verify` says more" in said.err
    assert "warning: out/2.png: the file is not what was rendered" in said.err
    data = data_of(night.path / ".latentpress/gallery")
    assert [data["states"][row[1]] for row in data["cells"][:4]] == ["missing"] * 3 + ["done"]
    assert data["texts"][data["cells"][1][11]] == "file is not what was rendered"


def test_the_same_pixels_under_two_names_are_made_small_once_from_a_file_that_is_whole(folder):
    night = folder("defaults: {prompt: a, size: 64x64, seed: 3}\nmatrix: {steps: [1, 2]}\noutput: '{steps}.png'\n")
    night.render(executor=Various())
    (night.path / "1.png").write_bytes(b"torn")
    made = make_gallery([night.path])
    assert (made.thumbnails, made.counts["done"], made.counts["missing"]) == (1, 1, 1)


def test_two_folders_with_one_name_are_told_apart(folder, tmp_path, capsys):
    for name in ("a/out", "b/out"):
        folder(BODY, name).render(executor=Various())
    assert run_cli(["gallery", "a/out", "b/out", "-o", "both"]) == 0
    data = data_of(tmp_path / "both")
    assert [(one["name"], one["root"]) for one in data["folders"]] == [("a/out", "../a/out/"), ("b/out", "../b/out/")]
    assert data["folderKey"] == "folder"
    assert [row[0] for row in data["cells"]] == [0] * 11 + [1] * 11


def test_while_a_render_goes_on(folder):
    seen = []

    class Looking(Various):
        def render(self, requests):
            for one in super().render(requests):
                seen.append(make_gallery([night.path]).counts["done"])
                yield one

    night = folder(BODY)
    assert night.render(executor=Looking()).summary.done == 7
    assert seen[0] == 0
    assert make_gallery([night.path]).counts["done"] == 7


def test_what_cannot_be_shown_or_is_not_ours_is_refused(night, tmp_path, capsys):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes/index.html").write_text("<p>mine</p>")
    for arguments, words in (
        (["out", "-o", "notes"], "notes: holds something else than a gallery; name another folder with -o"),
        (["out", "-o", "m.yaml"], "m.yaml: is there, and is no folder"),
        (["out", "./out"], "out: is named twice"),
        (["nothing"], "nothing: no such folder"),
        (["notes"], "notes: its ledger holds no plan"),
    ):
        assert run_cli(["gallery", *arguments]) == 2
        assert words in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "notes").iterdir()] == ["index.html"]
    with pytest.raises(UsageError, match="named twice"):
        make_gallery([night.path, night.path])
    home = make_gallery([night.path]).page.parent
    descriptor = os.open(home, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    with pytest.raises(OutputLocked, match="another process writes this gallery"):
        make_gallery([night.path])
    os.close(descriptor)
