"""Given timesteps, against diffusers' schedulers and pipelines with the argument `timesteps`."""

import json
from dataclasses import replace

import pytest
from diffusers import StableDiffusionImg2ImgPipeline, StableDiffusionPipeline
from diffusers.utils import load_image
from PIL import Image

from compare import diffusers_scheduler, psnr
from families import picture_file, pixels
from latentpress.errors import UsageError
from latentpress.runtime.changes import pushed_otherwise
from latentpress.runtime.request import LossSpec, Refiner, RenderRequest
from latentpress.runtime.sampling.samplers import BASES, SAMPLERS, parse_sampler
from latentpress.runtime.sampling.schedule import noise_schedule
from latentpress.runtime.sampling.solvers import INDEX, SolverCache, solver_table
from latentpress.runtime.sampling.steps import parts_of
from toy_runs import SD15, agree

# Hyper-SD's for one step, the trailing ones of four, and uneven ones down to 0.
LISTS = [(800,), (999, 749, 499, 249), (981, 900, 720, 719, 500, 260, 30, 0)]
GIVEN = [name for name, base in BASES.items() if base.given]
PROMPT, NEGATIVE, SCALE = "a red mouse in the night", "blurry blue", 6.0
# dB, as for pictures of whole schedules.
BOUND = 80


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_they_are_taken_where_diffusers_takes_them(sampler):
    try:
        diffusers_scheduler(sampler, SD15).set_timesteps(timesteps=[999, 500])
        taken = True
    except (TypeError, ValueError):
        taken = False
    assert taken == (sampler in GIVEN)
    if not taken:
        with pytest.raises(UsageError, match=r"^timesteps are given, and .* leave timesteps out$"):
            solver_table(noise_schedule(SD15), sampler, 2, timesteps=(999, 500))


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("sampler", [*GIVEN, "euler_trailing", "euler_leading", "heun_linspace", "dpmpp_2m_leading"])
def test_a_run_at_given_timesteps_is_the_diffusers_schedulers(sampler, prediction_type):
    config = {**SD15, "prediction_type": prediction_type}
    for given in LISTS:
        agree(sampler, config, len(given), given=given)
        for step in (1, 3, 7)[: len(given) // 2]:
            agree(sampler, config, len(given), start=step * parse_sampler(sampler).base.order, given=given)
    agree(sampler, {**config, "timestep_spacing": "trailing"}, 4, given=LISTS[1])


@pytest.mark.parametrize("eta", [0.25, 1.0])  # of other ones diffusers takes float32's product, see the pictures
def test_tcd_draws_as_the_diffusers_scheduler(eta):
    for given in LISTS:
        agree("tcd", SD15, len(given), given=given, eta=eta)


@pytest.mark.parametrize("sampler", [name for name in GIVEN if name != "heun"])
def test_zero_terminal_snr_is_the_diffusers_schedulers(sampler):
    config = {**SD15, "rescale_betas_zero_snr": True, "prediction_type": "v_prediction"}
    for given in LISTS:
        agree(sampler, config, len(given), given=given)


def test_as_many_as_a_distilled_model_knows_is_no_limit_of_given_ones():
    agree("lcm", SD15, 60, given=tuple(range(960, 0, -16)))


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ((1000, 500), r"timesteps are \[1000, 500\]; they must lie in 0\.\.999"),
        ((500, -1), r"must lie in 0\.\.999"),
        ((500, 500), "each must be smaller than the one before"),
        (tuple(range(500, 520)), r"timesteps are \[500, 501, 502, 503, 504, 505, \.\.\., 519\]; each"),
    ],
)
def test_what_the_schedule_has_not_is_refused(given, says):
    with pytest.raises(UsageError, match=says):
        solver_table(noise_schedule(SD15), "euler", len(given), timesteps=given)


def test_a_rule_looks_at_the_given_timesteps():
    """A loss pushed too hard near timestep 999 of a zero-SNR schedule: not in a picture that begins below."""
    zero = SolverCache(noise_schedule({**SD15, "rescale_betas_zero_snr": True, "prediction_type": "v_prediction"}))
    asked = RenderRequest("", 0, 64, 64, "euler", 2, 1.0, losses=(LossSpec("contrast", 1.0, 1),))
    assert pushed_otherwise(replace(asked, timesteps=(999, 400)), zero, None)
    assert not pushed_otherwise(replace(asked, timesteps=(800, 400)), zero, None)


def request(sampler, given, **changes):
    return RenderRequest(
        PROMPT,
        negative_prompt=NEGATIVE,
        seed=5,
        height=64,
        width=64,
        sampler=sampler,
        steps=len(given),
        guidance_scale=SCALE,
        timesteps=given,
        **changes,
    )


def agree_in_pixels(renderer, asked, expected):
    (found,) = renderer.render([("only", asked)])
    assert found.error is None
    assert expected.std() > 5, "a flat picture proves nothing"
    assert psnr(found.image, expected) >= BOUND


@pytest.fixture(scope="module")
def pipeline(assets, reference_pipeline):
    """pipeline(sampler, kind): one on the parts of the reference one."""
    config = json.loads((assets / "checkpoint/scheduler/scheduler_config.json").read_text())

    def make(sampler, kind=StableDiffusionPipeline):
        scheduler = diffusers_scheduler(sampler, {k: v for k, v in config.items() if k[0] != "_"})
        made = kind(**{**reference_pipeline.components, "scheduler": scheduler}, requires_safety_checker=False)
        made.set_progress_bar_config(disable=True)
        return made

    return make


@pytest.mark.parametrize(("sampler", "eta"), [("tcd", 0.3), *((name, 0.0) for name in GIVEN)])
def test_a_picture_is_the_pipelines(sampler, eta, pipeline, renderer):
    # With TCD's gamma of 0.3, 720 leads to 504 in float32 and to 503 in float64.
    given = LISTS[2] if eta else LISTS[1]
    options = {"negative_prompt": NEGATIVE, "guidance_scale": SCALE, "height": 64, "width": 64, "eta": eta, "seed": 5}
    expected = pixels(pipeline(sampler), PROMPT, timesteps=list(given), **options)
    agree_in_pixels(renderer, request(sampler, given, eta=eta), expected)


@pytest.mark.parametrize("sampler", ["euler", "lcm", "dpmpp_2m"])
def test_a_given_picture_is_the_pipelines(sampler, pipeline, renderer, tmp_path):
    """Strength is the share of the given timesteps that is run."""
    file, given = picture_file(tmp_path), LISTS[2]
    options = {"image": load_image(str(file.path)).resize((64, 64), Image.Resampling.LANCZOS), "strength": 0.6}
    options |= {"negative_prompt": NEGATIVE, "guidance_scale": SCALE, "seed": 5}
    made = pipeline(sampler, StableDiffusionImg2ImgPipeline)
    expected = pixels(made, PROMPT, timesteps=list(given), **options)
    agree_in_pixels(renderer, request(sampler, given, init_image=file, strength=0.6), expected)


def test_a_refiner_begins_at_the_first_of_them_below_its_switch():
    """denoising_end and denoising_start of 0.4 cut at timestep 600; inside a step of Heun, which is repeated."""
    solvers = SolverCache(noise_schedule(SD15))
    for sampler, base, refined in (
        ("euler", [981, 900, 720, 719], [500, 260, 30, 0]),
        ("heun", [981, 900, 900, 720, 720, 719, 719], [719, 500, 500, 260, 260, 30, 30, 0, 0]),
    ):
        parts, total = parts_of(request(sampler, LISTS[2], refiner=Refiner("a" * 64, 0.4)), solvers, solvers)
        found = [part.table.rows[:, INDEX["timestep"]].tolist() for part in parts]
        assert (total, found) == (8, [base, refined])
