"""An image depends on its job alone: the pixels of any mix of jobs are those each job has when it is rendered alone.

A mix goes the user's way: a manifest, a plan, a folder with a ledger, an interruption and a resume, with other threads,
another bucket and another order of the manifest after it. Its jobs are then rendered once more, in one go.
"""

import importlib.util
import itertools

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from families import mask_file, picture_file
from invariance import Lab, Mix, check
from latentpress.engines.cpu import OnnxCpuSession
from latentpress.models import Models
from latentpress.runtime.guidance import LOSSES
from latentpress.runtime.loop import denoise, modes
from latentpress.runtime.prompts import LONG_PROMPTS, WEIGHTINGS
from latentpress.runtime.sampling.samplers import BASES, SAMPLERS, SPACINGS, parse_sampler
from tiny_clip import save_tiny_clip

# A 4-channel model (text, image to image, masks on it), one with 9, and a base that hands over to a refiner.
KINDS = ("sd1", "inpainting", "sdxl")
ENGINES = [
    "cpu",
    pytest.param(
        "openvino",
        marks=pytest.mark.skipif(importlib.util.find_spec("openvino") is None, reason="OpenVINO is not installed"),
    ),
]
# Every sampler with every sigmas it takes, and once with each spacing.
NAMES = [*SAMPLERS, *(f"{name}_{spacing}" for name in ("ddim", "kdpm2_a", "dpmpp_2m") for spacing in SPACINGS)]
# Plain, weighted in the dialects that read it so, longer than one chunk, and none.
PROMPTS = ["a red mouse", "a (red) house in the night, blue", "a mouse, " * 30, ""]
SIZES = ["64x64", "96x64"]


@pytest.fixture(scope="module")
def labs(bundle, exported, tmp_path_factory):
    """labs(kind, engine): made at the first call."""
    made = {}

    def get(kind, engine):
        if (kind, engine) not in made:
            own = bundle if kind == "sd1" else exported(kind).bundle
            used = [own, exported("refiner").bundle] if kind == "sdxl" else [own]
            models = Models({str(one.path): one for one in used})
            made[kind, engine] = Lab(kind, engine, models, pictures(tmp_path_factory))
        return made[kind, engine]

    return get


def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("invariance")
    picture_file(folder)
    mask_file(folder)
    save_tiny_clip(folder / "clip")
    return folder


IMAGE, MASK = {"init_image": "picture.png"}, {"mask_image": "mask.png"}


def losses():
    """None, one alone, and all, two at once: as many as there are samplers or fewer, so that a mix of those has each."""
    each = [
        {
            "name": name,
            "scale": 30,
            "every": 1 + place % 2,
            **dict.fromkeys(loss.pictures, "picture.png"),
            **dict.fromkeys(loss.folders, "clip"),
        }
        for place, (name, loss) in enumerate(LOSSES.items())
    ]
    return [None, each[0], *(each[place : place + 2] for place in range(0, len(each), 2))]


def beginnings(lab):
    """What a job says of how its picture begins, and of who ends it."""
    masked = [IMAGE | MASK | {"strength": strength} for strength in (1, 0.6)]
    if lab.kind == "inpainting":
        return masked
    refined = [{"refiner": {"model": path, "switch_at": 0.5}} for path in lab.refiners]
    given = [IMAGE | {"strength": strength} for strength in (1, 0.6)]
    return [{}, *refined, *given, *masked, *(given[0] | refiner for refiner in refined)]


def dealt(lab, pairs):
    """Every sampler, way to begin, loss, size and scale, dealt in turn: what a random mix may miss.

    pairs: the samplers, and how the picture of each begins.
    """
    loss = losses()
    for index, (sampler, beginning) in enumerate(pairs):
        job = {
            "prompt": PROMPTS[index % 4],
            "prompt_weighting": WEIGHTINGS[index % 3],
            "long_prompts": LONG_PROMPTS[index % 5 < 3],
            "guidance_stop": [1, 1, 0.5][index % 3],
            "seed": index,
            "sampler": sampler,
            "steps": 2 + index % 3,
            "size": SIZES[index % 4 == 3],
            "guidance_scale": [1, 7, 4][index % 3],
            "guidance_rescale": [0, 0, 0.7][index % 3],
            "loss": loss[index % len(loss)],
            "clip_skip": int(index % 7 == 5),
            "eta": 0.5 * sampler.startswith("ddim"),
            **beginning,
        }
        yield lab.possible(job)


@st.composite
def mixes(draw, lab):
    """Up to six jobs, no two alike, and ways to render them."""
    kinds = {
        "prompt": st.sampled_from(PROMPTS),
        "negative_prompt": st.sampled_from(["", "blurry"]),
        "seed": st.integers(0, 2**64 - 1),
        "sampler": st.sampled_from(NAMES),
        "steps": st.integers(2, 4),
        "size": st.sampled_from(SIZES),
        "guidance_scale": st.sampled_from([1, 3, 7.5]),
        "guidance_rescale": st.sampled_from([0, 0.7]),
        "guidance_stop": st.sampled_from([1, 0.5]),
        "prompt_weighting": st.sampled_from(WEIGHTINGS),
        "long_prompts": st.sampled_from(LONG_PROMPTS),
        "loss": st.sampled_from(losses()),
        "clip_skip": st.integers(0, 1),
    }
    jobs = []
    for job in draw(st.lists(st.fixed_dictionaries(kinds), min_size=2, max_size=6, unique_by=lambda job: job["seed"])):
        eta = {"eta": 0.5} if parse_sampler(job["sampler"]).base.name == "ddim" else {}
        jobs.append(lab.possible(job | eta | draw(st.sampled_from(beginnings(lab)))))
    way = st.tuples(st.integers(1, 12), st.integers(1, 2), st.booleans())
    return Mix(
        jobs, draw(st.permutations(range(len(jobs)))), draw(st.integers(0, len(jobs) - 1)), [draw(way) for _ in "abc"]
    )


def property_of(examples, *, derandomize):
    """`check` on so many random mixes of a lab."""

    def test(lab):
        @settings(
            max_examples=examples,
            derandomize=derandomize,
            deadline=None,
            database=None,
            phases=[Phase.generate, Phase.shrink],
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
        )
        @given(mix=mixes(lab))
        def holds(mix):
            check(lab, mix)

        holds()

    return test


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("kind", KINDS)
def test_the_pixels_of_any_mix_are_those_of_each_job_alone(kind, engine, labs):
    property_of(5, derandomize=True)(labs(kind, engine))


@pytest.mark.full
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("kind", KINDS)
def test_the_same_of_many_more_mixes(kind, engine, labs):
    property_of(60, derandomize=False)(labs(kind, engine))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("kind", KINDS)
def test_every_sampler_mode_and_loss_in_one_mix(kind, engine, labs):
    lab = labs(kind, engine)
    # Another way to begin on each engine, and every option of the samplers on one kind.
    begin = itertools.cycle(beginnings(lab)[engine != "cpu" :] + beginnings(lab)[: engine != "cpu"])
    all_at_once(lab, list(dealt(lab, zip(NAMES if kind == "sd1" else BASES, begin, strict=False))))


@pytest.mark.full
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("kind", KINDS)
def test_every_sampler_in_every_mode_in_one_mix(kind, engine, labs):
    lab = labs(kind, engine)
    all_at_once(lab, list(dealt(lab, itertools.product(NAMES, beginnings(lab)))))


def all_at_once(lab, jobs):
    """`check` of many jobs that have every sampler and loss, and pictures all different."""
    assert {parse_sampler(job["sampler"]).base.name for job in jobs} == set(BASES)
    assert {str(job["loss"]) for job in jobs} == set(map(str, losses()))
    order = list(np.random.default_rng(1).permutation(len(jobs)))
    check(lab, Mix(jobs, order, len(jobs) // 2, [(7, 1, True), (4, 2, False), (16, 1, False)]))
    assert len(set(lab.alone.values())) == len(lab.alone), "every job has a picture of its own"


# What would break it, and must be noticed, or the property proves nothing.


class Leaky(OnnxCpuSession):
    """A UNet whose rows take a little from the next row."""

    def run(self, inputs):
        found = super().run(inputs)["noise_pred"]
        return {"noise_pred": found + np.float32(1e-3) * np.roll(found, 1, axis=0)}


class Counted(OnnxCpuSession):
    """A UNet whose rows change with their number."""

    def run(self, inputs):
        found = super().run(inputs)["noise_pred"]
        return {"noise_pred": found * np.float32(1 + 1e-3 * len(found))}


def one_generator(patch):
    shared = modes.NoiseSource(0)
    patch.setattr(modes, "NoiseSource", lambda seed: shared)


def rescaled_by_the_batch(patch):
    def spread(combined, cond, phi):
        scale.append(combined.std())
        return combined * np.float32(np.mean(scale))

    scale = []
    patch.setattr(denoise, "rescale", spread)


@pytest.mark.parametrize(
    "break_it",
    [
        one_generator,
        rescaled_by_the_batch,
        *(lambda patch, kind=kind: {"unet": kind} for kind in (Leaky, Counted)),
    ],
    ids=["one generator", "a sum over the batch", "rows that leak", "rows that count"],
)
def test_what_breaks_the_property_is_noticed(break_it, bundle, tmp_path_factory, monkeypatch):
    broken = break_it(monkeypatch) or {}

    def sessions(own):
        return {name: kind(own.file(f"{name}.onnx")) for name, kind in broken.items()}

    lab = Lab("sd1", "cpu", Models({str(bundle.path): bundle}), pictures(tmp_path_factory), sessions)
    jobs = [
        {"prompt": "a mouse", "seed": seed, "sampler": "euler", "steps": 2 + seed, "size": "64x64"}
        | {"guidance_rescale": 0.7}
        for seed in range(3)
    ]
    with pytest.raises(AssertionError, match="in company"):
        check(lab, Mix(jobs, [2, 0, 1], 1, [(8, 1, False), (6, 1, False), (4, 1, False)]))
