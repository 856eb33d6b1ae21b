"""The cells of a folder, from its ledger alone: what is done, failed, waiting or gone, on a copy, and during a run."""

import json
import shutil

import pytest
from PIL import Image

from fakes import FakeExecutor
from latentpress.batch.cells import folder_cells
from latentpress.batch.ledger.ledger import Ledger
from latentpress.batch.sheets import draw_folder
from latentpress.errors import UsageError
from latentpress.measures.axes import independent
from latentpress.sheets.cells import DONE, FAILED, MISSING, WAITING
from latentpress.sheets.grid import grid_of
from latentpress.sheets.spec import Sheet

BODY = (
    'defaults: {prompt: "a {word} kite", negative_prompt: dull}\nmatrix:\n'
    '  word: [{label: Größe ½, value: red}, nan]\n  seed: 1..3\noutput: "{word}-{seed}.png"\n'
    "sheet: {rows: word, columns: seed, pages: steps, width: nature column, caption: '{name}'}\n"
)


def states(found):
    return [cell.state for cell in found.cells.cells]


def test_the_ledger_tells_of_every_cell_without_manifest_or_bundle(folder, tmp_path):
    made = folder(BODY)
    plan = made.render(executor=FakeExecutor()).plan
    (tmp_path / "m.yaml").unlink()
    copy = tmp_path / "copy"
    shutil.copytree(made.path, copy)
    for path in (copy / ".latentpress/lock", copy / ".latentpress/ledger.sqlite"):
        path.chmod(0o444)
    found = folder_cells(copy)
    assert states(found) == [DONE] * 3 + [FAILED] * 3
    assert (found.cells.name, found.cells.plan_hash, found.cells.axes[:2]) == ("m", plan.plan_hash, ("word", "seed"))
    assert found.cells.date == plan.began
    assert found.sheets == made.manifest.sheets
    assert found.manifest == "../m.yaml"
    first, last = found.cells.cells[0], found.cells.cells[-1]
    assert (first.labels["word"], first.labels["seed"], first.seed, first.prompt) == ("Größe ½", "1", 1, "a red kite")
    assert (first.negative_prompt, first.width, first.height, first.seconds) == ("dull", 64, 64, 0.5)
    image = Ledger(made.home / "ledger.sqlite").image(str(first.output))
    assert (first.job_hash, first.pixel_sha256) == (image.job_hash, image.pixel_sha256)
    assert first.alt == "Generated picture of: a red kite. word: Größe ½; seed: 1."
    assert (last.reason, last.pixel_sha256) == ("the latents became NaN", "")
    assert "Reason: the latents became NaN" in last.alt


def test_what_is_gone_and_what_waits_is_told_apart(folder, tmp_path):
    made = folder(BODY.replace("nan", "blue"))
    with pytest.raises(KeyboardInterrupt):
        made.render(executor=FakeExecutor(crash_after=2))
    assert sorted(states(folder_cells(made.path))) == [DONE] * 2 + [WAITING] * 4
    (made.path / str(next(c.output for c in folder_cells(made.path).cells.cells if c.state == DONE))).unlink()
    assert sorted(states(folder_cells(made.path))) == [DONE, MISSING] + [WAITING] * 4


def test_a_file_that_is_not_what_was_rendered_is_not_shown_as_it(folder):
    made = folder(BODY.replace("nan", "blue"))
    made.render(executor=FakeExecutor())
    swapped, other, red, torn, saved, _ = [made.path / str(cell.output) for cell in folder_cells(made.path).cells.cells]
    contents = swapped.read_bytes(), other.read_bytes()
    other.write_bytes(contents[0])
    swapped.write_bytes(contents[1])
    with Image.open(red) as image:
        Image.new("RGB", image.size, "red").save(red)
    torn.write_bytes(torn.read_bytes()[:-300])
    with Image.open(saved) as image:  # anew, without its texts: the same pixels
        image.copy().save(saved)
    cells = folder_cells(made.path).cells.cells
    assert [(cell.state, cell.reason) for cell in cells] == [
        *[(MISSING, "file is not what was rendered")] * 3, (MISSING, "file cannot be read"), (DONE, ""), (DONE, ""),
    ]  # fmt: skip
    assert [cell.pixel_sha256 for cell in cells[:4]] == [""] * 4
    made_sheets = draw_folder(made.path, made.home, None, None)
    assert f"{swapped}: the file is not what was rendered; its place is marked" in " ".join(made_sheets.said)
    shown = json.loads(Image.open(made_sheets.paths[0]).text["latentpress-sheet"])["cells"]
    assert {name: cell.get("reason") for name, cell in shown.items() if cell["state"] != "done"} == {
        str(cell.output): cell.reason for cell in cells[:4]
    }


def test_a_render_that_goes_on_is_only_read(folder):
    seen = []

    class Looking(FakeExecutor):
        def render(self, requests):
            for one in super().render(requests):
                seen.append(states(folder_cells(made.path)).count(DONE))
                yield one

    made = folder(BODY.replace("nan", "blue"))
    assert made.render(executor=Looking()).summary.done == 6
    assert seen[0] == 0
    assert states(folder_cells(made.path)) == [DONE] * 6


def test_folders_without_a_plan_are_refused(tmp_path):
    with pytest.raises(UsageError, match="no such folder; render a manifest"):
        folder_cells(tmp_path / "none")
    (tmp_path / "bare").mkdir()
    with pytest.raises(UsageError, match="holds no plan; render a manifest into it first"):
        folder_cells(tmp_path / "bare")


@pytest.mark.parametrize(
    ("prompt", "independently", "following"),
    [
        ("a {color=red|blue} kite", ["color"], ["variant", "prompt"]),
        ("a {color=red|blue} {what=kite|owl}", ["color", "what"], ["variant", "prompt"]),
        ("a {red|blue} kite", ["variant"], ["prompt"]),
        ("a {color=red|blue} {kite|owl}", ["variant"], ["color", "prompt"]),
    ],
)
def test_words_of_braces_are_axes_before_the_prompt_that_follows_from_them(prompt, independently, following, folder):
    made = folder(f'defaults: {{prompt: "{prompt}"}}\nmatrix: {{seed: 1..2}}\noutput: "{{prompt}}-{{seed}}.png"\n')
    made.render(executor=FakeExecutor())
    cells = folder_cells(made.path).cells
    assert cells.axes == ("seed", *independently, *following)
    assert independent(cells) == ("seed", *independently)
    sheet = grid_of(cells, Sheet()).sheet
    assert (*sheet.rows, *sheet.columns, *sheet.panels) == ("seed", *independently)
