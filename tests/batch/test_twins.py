"""Unguided twins: which jobs they are, what they are called, and how far from them losses led."""

import csv
import io
import json

import numpy as np
import pytest
from PIL import Image

from latentpress.batch.cells import folder_cells
from latentpress.batch.drift import drift_line, drifts
from latentpress.batch.ledger.ledger import Ledger, ledger_path
from latentpress.batch.measured import measure_folder
from latentpress.errors import ManifestError
from latentpress.gallery.data import Source, gallery_script
from latentpress.measures.likeness import psnr, ssim
from latentpress.measures.plot import plot_of
from latentpress.measures.tables import columns, groups
from latentpress.results import result_rows
from latentpress.runtime.request import GuidedStep, Rendered
from latentpress.sheets.table import table_bytes

LOSSES = "[{name: symmetry, scale: 5}, {name: symmetry, scale: 50}]"
BODY = (
    f'twins: true\ndefaults: {{prompt: a}}\nmatrix: {{loss: {LOSSES}, seed: [1, 2]}}\noutput: "{{loss}}-{{seed}}.png"\n'
)


def named(plan):
    return {str(job.output): [loss.scale for loss in job.request.losses] for job in plan.jobs}


def twins(plan):
    """Each guided picture's name -> its twin's."""
    query = (
        "SELECT jobs.output, twin.output FROM twins JOIN jobs USING (job) JOIN jobs AS twin ON twin.job_hash=twins.twin"
    )
    return dict(plan.table.answers(query))


def test_pictures_that_differ_in_their_losses_alone_share_a_twin(planned):
    plan = planned(BODY)
    assert list(named(plan))[4:] == ["none-1.png", "none-2.png"]
    assert [plan.jobs[4].labels["loss"], plan.jobs[4].request.losses] == ["none", ()]
    assert twins(plan) == {f"symmetry-{scale}-{seed}.png": f"none-{seed}.png" for scale in (5, 50) for seed in (1, 2)}
    plain = planned(BODY.replace("twins: true", "twins: false"))
    assert [job.job_hash for job in plain.jobs] == [job.job_hash for job in plan.jobs][:4]


def test_words_beside_the_loss_are_none_too(planned):
    pairs = "[{kind: a, push: few, loss: tv}, {kind: a, push: many, loss: {name: tv, scale: 900}}]"
    plan = planned(
        f'twins: true\ndefaults: {{prompt: a}}\nmatrix: {{pair: {pairs}}}\noutput: "{{kind}}-{{push}}.png"\n'
    )
    assert [str(job.output) for job in plan.jobs] == ["a-few.png", "a-many.png", "none-none.png"]
    assert [plan.jobs[2].labels[key] for key in ("kind", "push", "loss")] == ["none"] * 3


def test_a_picture_that_the_plan_has_already_is_the_twin(planned):
    plan = planned(BODY.replace("[{name", "[{label: plain, value: none}, {name"))
    assert len(plan.jobs) == 6
    assert set(twins(plan).values()) == {"plain-1.png", "plain-2.png"}


@pytest.mark.parametrize(
    ("output", "jobs", "names"),
    [
        ("{seed}.png", "[{seed: 1, loss: tv}]", ["1.png", "1-unguided.png"]),
        ("{loss}.png", "[{seed: 1, loss: tv}, {seed: 2, loss: hue}]", ["tv.png", "hue.png", "none.png", "hue-unguided.png"]),
        ("{index}.png", "[{seed: 1, loss: tv}, {seed: 2}]", ["1.png", "2.png", "3.png"]),
    ],
)  # fmt: skip
def test_twins_have_names_of_their_own(planned, output, jobs, names):
    plan = planned(f'twins: true\ndefaults: {{prompt: a}}\njobs: {jobs}\noutput: "{output}"\n')
    assert [str(job.output) for job in plan.jobs] == names


def test_a_twin_has_the_words_and_the_seed_that_its_picture_drew(planned):
    plan = planned(
        'twins: true\njobs: [{prompt: "{~a|b|c|d}", seed: -1, loss: tv}, {prompt: "{~e|f|g}", seed: 5, loss: hue}]\n'
    )
    guided, unguided = plan.jobs[:2], plan.jobs[2:]
    assert [(job.request.prompt, job.request.seed) for job in guided] == [
        (job.request.prompt, job.request.seed) for job in unguided
    ]


def test_only_a_truth_value_asks_for_twins(manifest):
    with pytest.raises(ManifestError, match=r"m.yaml:4:8: twins is '3'; it must be true or false"):
        manifest("twins: 3\ndefaults: {prompt: a}\n")


class Guided:
    """Paints the seed's noise, which losses lighten; symmetry, about 0.1 of such noise, comes to 0.05, or for 50 to 2."""

    def __init__(self, origin, most=200):
        self.origin, self.most, self.rendered = origin, most, 0

    def open(self, bundle, requests):
        return self.origin.row_rule

    def render(self, requests):
        for key, request in requests:
            self.rendered += 1
            image = np.random.default_rng(request.seed).integers(
                0, self.most, (request.height, request.width, 3), np.uint8
            )
            if not request.losses:
                yield Rendered(key, image, None, 0.5, self.origin)
                continue
            image += np.uint8(9)
            after = 0.05 if request.losses[0].scale < 50 else 2.0
            steps = (GuidedStep(0, (1.0,), 0.3), GuidedStep(5, (float("nan"),), 0.2))
            yield Rendered(key, image, None, 0.5, self.origin, (("symmetry", after),), guided=steps)


def test_the_ledger_has_how_far_pictures_are_from_their_twins(folder, new_executor):
    out = folder(BODY)
    outcome = out.render(executor=Guided(new_executor.origin))
    rows = {row["file_name"]: row for row in result_rows(out.path)}
    a, b = (np.asarray(Image.open(out.path / name)) for name in ("symmetry-5-1.png", "none-1.png"))
    drift = rows["symmetry-5-1.png"]["drift"]
    assert drift["twin"] == "none-1.png"
    assert drift["psnr"] == pytest.approx(psnr(a, b)[0], abs=1e-3) == pytest.approx(20 * np.log10(255 / 9), abs=1e-3)
    assert drift["ssim"] == pytest.approx(ssim(a, b), abs=1e-5)
    assert rows["none-1.png"]["drift"] is rows["none-1.png"]["guided"] is None
    with Ledger(ledger_path(out.path)) as ledger:
        assert drift_line(drifts(ledger)).startswith("4 pictures beside unguided twins: PSNR 29 dB (29 to 29), SSIM ")
    (line,) = [line for line in outcome.warnings if "worse" in line]
    assert line.endswith("than in the unguided twin in 2 of 4 guided pictures (symmetry-50-1.png, symmetry-50-2.png)")


def test_tables_plots_and_galleries_have_them(folder, new_executor):
    out = folder(BODY)
    out.render(executor=Guided(new_executor.origin))
    found = measure_folder(out.path, by=("loss",))
    names = ["loss_symmetry", "loss_symmetry_change", "drift_psnr", "drift_ssim"]
    assert columns(found)[-4:] == names
    weak, strong, none = groups(found)
    assert (weak.means["loss_symmetry"], strong.means["loss_symmetry"], none.means["loss_symmetry"]) == (
        0.05,
        2.0,
        None,
    )
    assert strong.means["loss_symmetry_change"] == pytest.approx(2 - 2 * 200**2 / 12 / 255**2, rel=0.02)
    assert {"loss symmetry", "change of the loss symmetry", "PSNR to the unguided twin (dB)"} <= {
        panel.title for panel in plot_of(found).panels
    }
    rows = list(csv.DictReader(io.StringIO(table_bytes(found.cells, found.cells.cells, "csv").decode())))
    assert [row["loss_symmetry"] for row in rows] == ["0.05", "0.05", "2.0", "2.0", "", ""]
    script = gallery_script([Source(out.path, "out", folder_cells(out.path).cells)], out.path).decode()
    data = json.loads(script.removeprefix("latentpressGallery(").removesuffix(");\n"))
    assert data["figures"] == names
    assert [row[14] and row[14][0] for row in data["cells"]] == [0.05, 0.05, 2.0, 2.0, 0, 0]


def test_a_twin_that_is_another_is_compared_anew(folder, new_executor):
    out = folder(BODY)
    out.render(executor=Guided(new_executor.origin))
    (out.path / "none-2.png").unlink()
    out.render(executor=Guided(new_executor.origin, most=100))
    (row,) = [row for row in result_rows(out.path) if row["file_name"] == "symmetry-50-2.png"]
    a, b = (np.asarray(Image.open(out.path / name)) for name in ("symmetry-50-2.png", "none-2.png"))
    assert 20 > row["drift"]["psnr"] == pytest.approx(psnr(a, b)[0], abs=1e-3)


def test_twins_are_asked_for_later(folder, new_executor):
    folder(BODY.replace("twins: true\n", "")).render(executor=Guided(new_executor.origin))
    executor = Guided(new_executor.origin)
    out = folder(BODY)
    out.render(executor=executor)
    assert executor.rendered == 2
    assert all(row["drift"] for row in result_rows(out.path) if row["losses"])


def test_without_twins_a_loss_is_compared_with_where_it_began(folder, new_executor, capsys):
    out = folder(BODY.replace("twins: true\n", ""))
    outcome = out.render(executor=Guided(new_executor.origin))
    (line,) = [line for line in outcome.warnings if "worse" in line]
    assert "symmetry is worse than where its guiding began in 2 of 4 guided pictures (symmetry-50-1.png, symm" in line
    row = next(row for row in result_rows(out.path) if row["file_name"] == "symmetry-50-1.png")
    assert row["guided"] == {
        "steps": [0, 5],
        "moved": [0.3, 0.2],
        "losses": [{"name": "symmetry", "before": [1.0, None], "after": 2.0}],
    }
    with Image.open(out.path / "symmetry-50-1.png") as picture:
        assert json.loads(picture.info["latentpress"])["guided"] == row["guided"]
