"""Which requests the rules of sampling touch, without a bundle: the tables alone decide."""

from dataclasses import replace

import pytest

from latentpress.runtime.changes import timed_otherwise
from latentpress.runtime.request import ImageFile, RenderRequest
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
