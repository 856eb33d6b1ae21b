"""The samplers' names, and the Brownian path that DPM++ SDE draws its noise from."""

import difflib
import itertools

import diffusers
import numpy as np
import pytest
import torch
from diffusers.schedulers.scheduling_dpmsolver_sde import BrownianTreeNoiseSampler

from latentpress.errors import UsageError
from latentpress.runtime.sampling.brownian import BrownianPath
from latentpress.runtime.sampling.samplers import BASES, SAMPLERS, canonical_sampler, sampler_data


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("DPM++ 2M Karras", "dpmpp_2m_karras"),
        ("DPM++ 2M SDE Exponential", "dpmpp_2m_sde_exponential"),
        ("DPM++ SDE Karras", "dpmpp_sde_karras"),
        ("dpm++ sde", "dpmpp_sde"),
        ("Euler a", "euler_a"),
        ("euler_ancestral", "euler_a"),
        ("k_euler_a", "euler_a"),
        ("k_lms", "lms"),
        ("LMS Karras", "lms_karras"),
        ("k_dpm_2_a", "kdpm2_a"),
        ("DPM2 a Karras", "kdpm2_a_karras"),
        ("k_dpmpp_2m", "dpmpp_2m"),
        ("sample_dpmpp_sde", "dpmpp_sde"),
        ("PLMS", "pndm"),
        ("UniPC", "unipc"),
        ("HeunDiscreteScheduler", "heun"),
        ("DDIM trailing", "ddim_trailing"),
        ("euler_sgm_uniform", "euler_trailing"),
        ("Euler a SGM Uniform", "euler_a_trailing"),
        ("DPM++ 2M SGM Uniform", "dpmpp_2m_trailing"),
        ("dpmpp_2m_trailing_karras", "dpmpp_2m_karras_trailing"),
    ],
)
def test_names_people_type(typed, name):
    assert canonical_sampler(typed) == name


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_name_is_its_own_canonical_name(name):
    assert canonical_sampler(name) == name
    assert canonical_sampler(name.upper()) == name


def test_labels_and_diffusers_classes_lead_to_their_sampler():
    for name, base in BASES.items():
        assert canonical_sampler(base.label) == name
        scheduler = base.scheduler.partition(",")[0]
        assert hasattr(diffusers, scheduler), scheduler
        if name != "dpmpp_2m_sde":  # which shares its class with dpmpp_2m
            assert canonical_sampler(scheduler) == name


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ("eulr", "sampler 'eulr' is unknown; did you mean 'euler'?"),
        ("dpm++ 2mm", "did you mean 'dpmpp_2m'?"),
        ("", "sampler '' is unknown; known are ddim, "),
        ("qqqq", "sampler 'qqqq' is unknown; known are ddim, "),
        ("ddim_karras", "ddim has no karras sigmas, as diffusers' DDIMScheduler has none; use ddim"),
        ("lcm_trailing", "takes no spacing; use lcm"),
        ("karras", "is unknown"),
    ],
)
def test_a_wrong_name_gets_a_sentence(typed, says):
    with pytest.raises(UsageError) as refused:
        canonical_sampler(typed)
    assert says in str(refused.value)


def test_the_list_names_every_sampler_once():
    data = sampler_data()
    names = [name for entry in data for name in (entry["name"], *entry["sigmas"])]
    assert sorted(names) == sorted(SAMPLERS)
    for entry in data:
        assert all(canonical_sampler(alias) == entry["name"] for alias in entry["aliases"])
        # Two spellings are never so near that one is taken for a slip of the other by a reader of the list.
        assert difflib.get_close_matches(entry["name"], names, n=1) == [entry["name"]]


LOW, HIGH = 0.029167, 14.614642


@pytest.mark.parametrize("seed", [0, 42, 2**63 - 1, 2**64 - 1])
def test_the_path_is_the_brownian_tree_of_torchsde(seed):
    like = torch.zeros(1, 4, 8, 8, dtype=torch.float64)
    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)  # of the times
    try:
        tree = BrownianTreeNoiseSampler(like, LOW, HIGH, seed)
        path = BrownianPath(seed, (4, 8, 8), LOW, HIGH, np.float64)
        times = np.round(np.geomspace(HIGH, LOW, 14), 6)
        for start, end in itertools.pairwise(times):
            for stop in (round(float(np.sqrt(start * end)), 6), float(end)):
                expected = tree(float(start), stop)[0].numpy()
                # torchsde asks from high to low and gives the gain the other way round.
                np.testing.assert_allclose(path.increment(float(start), stop), expected, rtol=1e-9, atol=1e-9)
    finally:
        torch.set_default_dtype(default)


def test_a_path_does_not_remember_what_was_asked():
    ends = (5.0, 1.25)
    fresh = BrownianPath(7, (4, 8, 8), LOW, HIGH).increment(*ends)
    used = BrownianPath(7, (4, 8, 8), LOW, HIGH)
    for time in (14.0, 9.5, 5.0, 0.5, 3.3):
        used.increment(HIGH, time)
    np.testing.assert_array_equal(used.increment(*ends), fresh)
    other = BrownianPath(8, (4, 8, 8), LOW, HIGH).increment(*ends)
    assert abs(np.corrcoef(fresh.ravel(), other.ravel())[0, 1]) < 0.3


def test_increments_are_unit_noise():
    path = BrownianPath(3, (4, 64, 64), LOW, HIGH)
    first, second = path.increment(HIGH, 6.0), path.increment(6.0, 2.0)
    # 16384 numbers: the standard error of a mean is 0.008, of a standard deviation 0.006.
    for noise in (first, second):
        assert abs(noise.mean()) < 0.04
        assert abs(noise.std() - 1) < 0.03
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.04
