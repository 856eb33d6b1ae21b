"""What losses did to a picture: as the program measured it, as the picture says it, and what of that is believed."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from latentpress.batch.folder import OutputFolder
from latentpress.batch.ledger.ledger import Ledger, ledger_path
from latentpress.batch.pictures.guided import guided_claimed, guided_lines, went_wrong
from latentpress.batch.proof.rebuild import rebuild
from latentpress.manifest.manifest import read_manifest

GUIDED = {
    "steps": [0, 5, 10],
    "moved": [0.3, 0.2, 0.1],
    "losses": [
        {"name": "tv", "before": [1.0, None, 0.5], "after": 0.25},
        {"name": "hue", "before": [None, 2.0, None], "after": 3.0},
    ],
}


def test_the_wrong_way_depends_on_the_sign_of_the_scale():
    assert went_wrong(GUIDED, [1.0, 1.0]) == ["hue"]
    assert went_wrong(GUIDED, [-1.0, -1.0]) == ["tv"]
    assert went_wrong(GUIDED, [1.0, 1.0], [0.2, 9.0]) == ["tv"]
    assert went_wrong(GUIDED, [1.0, 1.0], [0.249, None]) == ["hue"], "one percent is not told of"


@pytest.mark.parametrize(
    "said",
    [
        None,
        [],
        {},
        {**GUIDED, "more": 1},
        {**GUIDED, "steps": [0, 5]},
        {**GUIDED, "steps": [0, 5, "10"]},
        {**GUIDED, "moved": [0.1, 0.2, float("inf")]},
        {**GUIDED, "losses": [{"name": 3, "before": [1.0, 1.0, 1.0], "after": 1.0}]},
        {**GUIDED, "losses": [{"name": "a", "before": [1.0], "after": 1.0}]},
        {**GUIDED, "losses": [{"name": "a", "before": [1.0, 1.0, 1.0], "after": "1"}]},
    ],
)
def test_what_is_no_such_data_is_not_believed(said):
    assert guided_claimed(said) is None


def test_it_is_told_in_a_line_for_each_loss():
    assert guided_claimed(GUIDED) == GUIDED
    assert guided_lines(GUIDED) == [
        ("tv", "1 at step 0, 0.5 at step 10, 0.25 on the picture"),
        ("hue", "2 at step 5, 3 on the picture"),
    ]


@pytest.fixture
def rendered(tmp_path, monkeypatch):
    """A folder of one picture of the built-in model, guided at steps 0 and 2 by one loss and at step 0 by another."""
    monkeypatch.chdir(tmp_path)
    losses = "[{name: symmetry, every: 2}, {name: brightness, target: 0.9, every: 9, scale: 50}]"
    (tmp_path / "m.yaml").write_text(
        f"version: 1\nmodel: demo\ndefaults: {{prompt: an owl, seed: 4, steps: 4, loss: {losses}}}\noutput: owl.png\n"
    )
    folder = OutputFolder(read_manifest(tmp_path / "m.yaml"), tmp_path / "out")
    folder.render()
    return folder.path


def test_values_are_the_losses_own_and_survive_a_lost_ledger(rendered):
    (picture,) = rendered.glob("*.png")
    with Image.open(picture) as image:
        said = json.loads(image.info["latentpress"])["guided"]
        pixels = torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1)[None] / 255
    assert said["steps"] == [0, 2]
    assert all(0 < moved <= 0.3 + 1e-6 for moved in said["moved"])
    symmetry, brightness = said["losses"]
    assert (symmetry["name"], brightness["name"]) == ("symmetry", "brightness")
    assert [value is None for value in brightness["before"]] == [False, True]
    luma = (pixels * torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)).sum(1)
    assert brightness["after"] == pytest.approx((luma.mean().item() - 0.9) ** 2, rel=1e-4)
    assert symmetry["after"] == pytest.approx((pixels - pixels.flip(-1)).square().mean().item(), rel=1e-4)
    query = "SELECT losses, guided, rose FROM images"
    with Ledger(ledger_path(rendered)) as ledger:
        losses, *others = ledger.one(query)
    ledger_path(rendered).unlink()
    rebuild(rendered)
    with Ledger(ledger_path(rendered)) as ledger:
        again, *other = ledger.one(query)
    assert other == others
    assert json.loads(others[0]) == said
    assert dict(json.loads(again)) == pytest.approx(dict(json.loads(losses)), rel=1e-5)
