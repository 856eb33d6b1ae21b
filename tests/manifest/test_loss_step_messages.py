"""What messages about a loss's step and method hold: what was probably meant, and what belongs to which of them."""

import pytest

from latentpress.errors import ManifestError
from latentpress.manifest.manifest import read_manifest


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("jobs: [{prompt: a, loss: {name: canny, step: caped}}]\n", "loss step is 'caped'; did you mean 'capped'?"),
        ("jobs: [{prompt: a, loss: {name: canny, step: x}}]\n", "loss step is 'x'; it must be one of capped, raw, rms"),
        (
            "jobs: [{prompt: a, loss: {name: canny, step: raw, cap: 0.1}}]\n",
            "loss cap is for step capped, and step is raw; take it out, or write step: capped",
        ),
        (
            "jobs: [{prompt: a, loss: {name: canny, size: 0.1}}]\n",
            "loss size is for step rms, and step is by default capped; take it out, or write step: rms",
        ),
        (
            "jobs: [{prompt: a, loss: {name: canny, method: x0_iters}}]\n",
            "loss method is 'x0_iters'; did you mean 'x0_iter'?",
        ),
        (
            "jobs: [{prompt: a, loss: {name: canny, samples: 3}}]\n",
            "loss samples is for method x0_mc, and method is by default x0; take it out, or write method: x0_mc",
        ),
        (
            "jobs: [{prompt: a, loss: {name: canny, method: x0_iter, iterations: 1}}]\n",
            "loss iterations is '1'; it must be a whole number from 2 to 50",
        ),
        ("jobs: [{prompt: a, loss: {name: canny, clamp: 1}}]\n", "loss clamp is '1'; it must be true or false"),
    ],
)
def test_what_a_step_or_method_does_not_take_is_told_with_the_way_out(body, said, tmp_path):
    path = tmp_path / "m.yaml"
    path.write_text(f"version: 1\nmodel: demo\n{body}")
    with pytest.raises(ManifestError) as error:
        read_manifest(path)
    assert said in str(error.value)
