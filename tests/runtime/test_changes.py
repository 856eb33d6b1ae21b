"""Which requests the rules of sampling touch, without a bundle: the tables alone decide."""

from dataclasses import replace

import pytest

from latentpress.batch.plan.job import request_data, request_from
from latentpress.runtime.changes import moved_otherwise, timed_otherwise
from latentpress.runtime.request import ImageFile, LossSpec, RenderRequest
from latentpress.runtime.sampling.samplers import SAMPLERS
from latentpress.runtime.sampling.schedule import noise_schedule
from latentpress.runtime.sampling.solvers import SolverCache

CONFIG = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}
SOLVERS = SolverCache(noise_schedule(CONFIG))


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_first_timestep_touches_the_samplers_that_began_at_999(sampler, tmp_path):
    base, _, option = sampler.rpartition("_")
    asked = RenderRequest("", 0, 64, 64, sampler, 8, 5.0)
    changed = base in ("dpmpp_2m", "dpmpp_2m_sde", "unipc", "deis") and option in ("beta", "exponential")
    assert timed_otherwise(asked, SOLVERS, None) == changed
    # A given picture begins later, where both agree.
    given = replace(asked, init_image=ImageFile("a" * 64, tmp_path), strength=0.5)
    assert not timed_otherwise(given, SOLVERS, None)


LOSS = LossSpec("contrast", 200.0)


def test_loss_step_touches_the_losses_that_act_and_name_no_step():
    asked = RenderRequest("", 0, 64, 64, "euler", 8, 5.0)
    for losses, touched in (
        ((), False),
        ((LOSS,), True),
        ((replace(LOSS, step="raw"),), False),
        ((replace(LOSS, step="capped"),), False),
        ((replace(LOSS, step="raw"), LOSS), True),
        ((replace(LOSS, every=5, start=0.7),), False),  # steps 0 and 5, of which none is 6 or 7
        ((replace(LOSS, every=5, start=0.6),), True),
    ):
        assert moved_otherwise(replace(asked, losses=losses), SOLVERS, None) == touched, losses


def test_a_step_is_no_part_of_what_a_job_was_before_there_were_steps():
    """Of the hash, that is: pictures of a job that names none are known as drawn by an earlier rule."""
    asked = RenderRequest("", 0, 64, 64, "euler", 8, 5.0, losses=(LOSS,))
    assert request_data(asked)["losses"] == [
        {"name": "contrast", "scale": 200.0, "every": 5, "start": 0.0, "stop": 1.0, "params": {}}
    ]
    named = replace(LOSS, step="raw", warm_up=0.5, clamp=True)
    (held,) = request_data(replace(asked, losses=(named,)))["losses"]
    assert (held["step"], held["warm_up"], held["clamp"], "cap" in held) == ("raw", 0.5, True, False)
    assert request_from(request_data(replace(asked, losses=(named,)))).losses == (named,)
