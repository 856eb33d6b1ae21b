"""How losses move a picture: every sampler alike, never further than the cap, and `raw` as the notebooks do."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from guidances import OneByOne
from latentpress.runtime.guidance.gradient import within
from latentpress.runtime.guidance.step import STEPS, Moves, gradients_of
from latentpress.runtime.loop.denoise import advance
from latentpress.runtime.loop.trajectory import Trajectory
from latentpress.runtime.prompts.conditioning import Conditioning
from latentpress.runtime.request import LossSpec, RenderRequest
from latentpress.runtime.sampling.noise import NoiseSource
from latentpress.runtime.sampling.samplers import BASES
from latentpress.runtime.sampling.schedule import noise_schedule
from latentpress.runtime.sampling.solvers import INDEX, solver_table
from latentpress.runtime.sampling.steps import acting

SCHEDULE = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "timestep_spacing": "trailing"}
NOTHING = Conditioning(np.zeros((1, 1), np.float32))
SHAPE = (4, 8, 8)


class Pull(OneByOne):
    """A gradient that is known: the same in every step, but for the losses' scales."""

    def __init__(self, direction):
        self.direction = direction

    def gradient(self, x0, losses, moment):
        return np.float32(sum(loss.scale for loss in losses)) * self.direction, tuple(loss.scale for loss in losses)


def begun(sampler, losses):
    """A picture of 12 steps before its first."""
    request = RenderRequest("", 3, 64, 64, sampler, 12, 1.0, losses=losses)
    solver, source = solver_table(noise_schedule(SCHEDULE), sampler, 12), NoiseSource(3)
    x = source.draw(*SHAPE) * np.float32(solver.init_noise_sigma)
    return Trajectory("only", request, solver, source, x, NOTHING, None)


def latents_after(calls, sampler, losses):
    """The picture after so many calls, of a model whose outputs are no matter of x, and what the losses did."""
    one, outputs = begun(sampler, losses), np.random.default_rng(5)
    for _ in range(calls):
        assert not advance([one], outputs.standard_normal((1, *SHAPE)).astype(np.float32), Pull(DIRECTION))
    return one.latents, one.guided


DIRECTION = np.random.default_rng(1).standard_normal(SHAPE).astype(np.float32)
ONCE = LossSpec("any", 1e-3, every=1, start=0.5, stop=0.55)


def moved(sampler, step):
    """How the next x is moved by a move of x0 in the middle of a run, and how it would be with Euler."""
    rows = solver_table(noise_schedule(SCHEDULE), sampler, 12)
    call = next(call for call in range(len(rows)) if rows.step_of[call] == 6)
    asked = replace(ONCE, step=step)
    (after, did), (plain, _) = (latents_after(call + 1, sampler, losses) for losses in ((asked,), ()))
    assert [one.step for one in did] == [6]
    now, following = rows.rows[call : call + 2, INDEX["level_image"]]
    return after - plain, -rows.rows[call, INDEX["nudge"]] * ONCE.scale * DIRECTION * following / now


@pytest.mark.parametrize("sampler", BASES)
def test_a_move_of_x0_is_that_move_in_the_next_x_with_every_sampler(sampler):
    """The noise in x is what it was."""
    found, expected = moved(sampler, "capped")
    np.testing.assert_allclose(found, expected, atol=1e-2 * np.abs(expected).max())


@pytest.mark.parametrize(("sampler", "share"), [("euler", 1.0), ("dpmpp_2m", 1.115), ("unipc", 0.438)])
def test_raw_tells_what_is_kept_of_earlier_steps_nothing(sampler, share):
    """As diffusers' schedulers take moved latents: DPM++ goes on along the jump, UniPC takes most of it back."""
    found, expected = moved(sampler, "raw")
    assert float((found * expected).sum() / (expected**2).sum()) == pytest.approx(share, abs=0.02)


X0 = np.random.default_rng(2).standard_normal(SHAPE).astype(np.float32)


def row(sigma, space="sigma"):
    """What a solver has of a call with so much noise to a part of picture."""
    alpha = 1.0 if space == "sigma" else 1 / np.sqrt(1 + sigma**2)
    values = {"level_image": alpha, "level_noise": sigma * alpha, "nudge": sigma**2 * alpha}
    return {name: np.float32(value) for name, value in values.items()}


def length(values):
    return float(np.linalg.norm(values.astype(np.float64)))


def bowl(x0, asked):
    """The gradient and value of |x0|^2 / 2, with their scales."""
    return np.float32(sum(loss.scale for loss in asked)) * x0, tuple(length(x0) ** 2 / 2 for _ in asked)


def test_iterations_go_on_from_where_the_last_led_and_share_the_cap():
    """In a bowl each raw step multiplies x0 by 1 - s^2 scale, so that they are known."""
    for space in ("sigma", "signal"):
        spec = LossSpec("any", 0.1, step="raw", method="x0_iter", iterations=3)
        made = Moves(X0, row(0.5, space), [spec], bowl)
        alpha = row(0.5, space)["level_image"]
        np.testing.assert_allclose(made.move / alpha, (0.975**3 - 1) * X0, rtol=1e-5)
        assert made.values == (length(X0) ** 2 / 2,)
        capped = Moves(X0, row(0.5, space), [replace(spec, step="", scale=1e3)], bowl)
        assert capped.share == pytest.approx(0.3 * 0.5 / np.sqrt(1.25), rel=1e-5)


def test_samples_lie_around_x0_by_the_seed_of_the_step():
    asked, seen = LossSpec("any", 0.1, step="raw", method="x0_mc", samples=50, spread=0.2), []

    def gradient(x0, asked):
        seen.append(x0)
        return bowl(x0, asked)

    made = Moves(X0, row(3.0), [asked], gradient, seed=7)
    apart = np.stack(seen) - X0
    assert apart.std() == pytest.approx(0.2 * 3 / np.sqrt(10), rel=0.02)
    assert len({one.tobytes() for one in apart}) == 50
    np.testing.assert_allclose(made.move, -0.9 * np.mean(seen, axis=0), rtol=1e-4, atol=1e-6)
    again, other = (Moves(X0, row(3.0), [asked], bowl, seed=seed) for seed in (7, 8))
    assert (again.move == made.move).all()
    assert not (other.move == made.move).all()


def test_gradients_are_counted_as_they_are_taken():
    mixed = [LossSpec("a", 1.0), LossSpec("b", 1.0), LossSpec("c", 1.0, method="x0_iter", iterations=5)]
    assert (gradients_of(mixed[:2]), gradients_of(mixed)) == (1, 6)
    assert gradients_of([LossSpec("d", 1.0, method="x0_mc", samples=7)]) == 7


def moves(losses, sigma=3.0, space="sigma", direction=DIRECTION, x0=X0):
    def gradient(x0, asked):
        found.append(asked)
        return np.float32(sum(loss.scale for loss in asked)) * direction, tuple(loss.scale for loss in asked)

    found = []
    return Moves(x0, row(sigma, space), losses, gradient), found


@pytest.mark.parametrize("space", ["sigma", "signal"])
@pytest.mark.parametrize("sigma", [14.6, 3.0, 0.1])
def test_no_scale_moves_x0_further_than_the_cap(sigma, space):
    limit = 0.3 * sigma / np.sqrt(1 + sigma**2)
    alpha = row(sigma, space)["level_image"]
    for scale in (1e-4, 1.0, 1e9):
        made, _ = moves([LossSpec("any", scale)], sigma, space)
        free = scale * sigma**2 * length(DIRECTION) / length(X0)
        assert made.share == pytest.approx(min(free, limit), rel=1e-5)
        assert length(made.move / alpha) == pytest.approx(made.share * length(X0), rel=1e-5)
        np.testing.assert_allclose(made.move / length(made.move), -DIRECTION / length(DIRECTION), atol=1e-6)


def test_a_shorter_move_than_the_cap_is_the_raw_one_to_the_bit():
    for scale in (1e-4, 0.01):
        (raw, _), (capped, _) = (moves([LossSpec("any", scale, step=step)]) for step in ("raw", "capped"))
        assert (raw.move == capped.move).all()
        assert (raw.move == -(np.float32(9.0) * (np.float32(scale) * DIRECTION))).all()
        assert (not raw.told.any(), (capped.told == capped.move).all()) == (True, True)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_rms_moves_as_far_whatever_the_scale(scale):
    made, _ = moves([LossSpec("any", scale, step="rms", size=0.1)], sigma=2.0)
    assert np.sqrt(np.mean(made.move.astype(np.float64) ** 2)) == pytest.approx(0.1 * 2.0, rel=1e-5)


@pytest.mark.parametrize("step", STEPS)
def test_nothing_to_do_moves_nothing(step):
    flat = moves([LossSpec("any", 1.0, step=step)], direction=np.zeros_like(DIRECTION))[0]
    empty = moves([LossSpec("any", 1.0, step=step)], direction=np.zeros_like(DIRECTION), x0=np.zeros_like(X0))[0]
    assert not flat.move.any()
    assert not empty.move.any()
    assert flat.share == empty.share == 0


def test_losses_of_one_rule_share_one_backward_pass():
    asked = [
        LossSpec("a", 1.0),
        LossSpec("b", 2.0, step="raw"),
        LossSpec("c", 3.0, step="capped"),
        LossSpec("d", 4.0, cap=0.1),
        LossSpec("e", 5.0, step="raw", cap=0.1),
    ]
    made, passes = moves(asked)
    assert [[loss.name for loss in one] for one in passes] == [["a", "c"], ["b", "e"], ["d"]]
    assert made.values == (1.0, 2.0, 3.0, 4.0, 5.0)
    parts = [moves(one)[0].move for one in passes]
    np.testing.assert_allclose(made.move, sum(parts), rtol=1e-6)
    np.testing.assert_allclose(made.told, parts[0] + parts[2], rtol=1e-6)


def test_a_warm_up_rises_by_equal_parts_from_where_the_loss_begins():
    loss = LossSpec("any", 8.0, every=1, start=0.2, warm_up=0.4, step="rms", size=0.4)
    acts = [acting([loss], step, 10) for step in range(10)]
    assert [one[0].scale if one else 0 for one in acts] == [0, 0, 2, 4, 6, 8, 8, 8, 8, 8]
    assert [round(one[0].size, 9) if one else 0 for one in acts] == [0, 0, 0.1, 0.2, 0.3, 0.4, 0.4, 0.4, 0.4, 0.4]


def test_a_clamped_image_is_pushed_back_in_and_not_further_out():
    image = torch.tensor([-0.5, 0.2, 1.5]).requires_grad_()
    for towards, expected in ((1.0, [1.0, 1.0, 0.0]), (-1.0, [0.0, -1.0, -1.0])):
        seen = within(image)
        assert seen.tolist() == [0.0, pytest.approx(0.2), 1.0]
        (found,) = torch.autograd.grad((-towards * seen).sum(), image)
        assert (-found).tolist() == expected
