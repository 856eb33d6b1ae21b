"""Useful scales of losses: what they promise of a move holds, and they are found again."""

from dataclasses import replace

import pytest

from latentpress.batch import loss_scales
from latentpress.batch.executors.local import LocalExecutor, Settings
from latentpress.cache.place import cache_dir
from latentpress.cli import run_cli
from latentpress.models import named_bundle
from latentpress.runtime.guidance import LOSSES
from latentpress.runtime.request import LossSpec


@pytest.fixture
def basis():
    found = loss_scales.basis_of_bundle("demo", named_bundle("demo", cache_dir()))
    requests = [replace(found.requests[0], steps=6)]
    return replace(found, requests=requests)


def longest(basis, scales, tmp_path):
    """The longest move of a capped picture at each (loss, scale), as a share of |x0|."""
    executor = LocalExecutor({basis.bundle.hash: basis.bundle}, Settings(batch_rows=8), tmp_path, lambda line: None)
    work = {
        key: replace(basis.requests[0], losses=(LossSpec(key[0], key[1], params=LOSSES[key[0]].params().complete()),))
        for key in scales
    }
    executor.open(basis.bundle.hash, list(work.values()))
    return {one.key: max(step.share for step in one.guided) for one in executor.render(work.items())}


def test_a_useful_scale_moves_by_five_percent_and_more_until_the_cap(basis, tmp_path, monkeypatch):
    monkeypatch.setattr(loss_scales, "LOSSES", {name: LOSSES[name] for name in ("symmetry", "brightness", "reference")})
    assert loss_scales.known_scales(basis, tmp_path) is None
    said = []
    found = loss_scales.measure_scales(basis, Settings(batch_rows=8), tmp_path, said.append)
    assert said == [line for line in said if line.startswith("2 pictures to render on demo, at most ")] != []
    assert loss_scales.known_scales(basis, tmp_path) == found
    assert found.keys() == {"symmetry", "brightness"}, "a loss that needs a file is left out"
    scales = [(name, factor * span[end]) for name, span in found.items() for end, factor in ((0, 1), (1, 0.9), (1, 9))]
    moved = longest(basis, scales, tmp_path)
    for name, (least, most) in found.items():
        assert moved[name, least] == pytest.approx(0.05, rel=0.01)
        assert moved[name, 0.9 * most] == pytest.approx(0.27, rel=0.01)
        assert 0.29 < moved[name, 9 * most] <= 0.3, "a little less than the cap, as x holds a little of the picture"


def test_a_file_that_says_something_else_says_nothing(basis, tmp_path):
    (tmp_path / loss_scales.FILE).write_text("[]")
    assert loss_scales.known_scales(basis, tmp_path) is None


def test_without_a_bundle_there_is_nothing_to_measure_on(capsys):
    assert run_cli(["losses", "--calibrate"]) == 2
    assert "--calibrate measures on a bundle; name one, or a manifest" in capsys.readouterr().err
