"""What a loss may ask for beside the image: its picture's step, the latents it was decoded from, and randomness."""

import torch

from latentpress.runtime.guidance.context import WANTS, Moment
from latentpress.runtime.guidance.loss import Loss, LossParams
from latentpress.runtime.render import Renderer
from latentpress.runtime.request import LossSpec, RenderRequest


def asking(seen):
    """A loss on the latents alone, which notes what it was given."""

    def function(image, latents, step, steps, generator):
        noise = torch.rand(3, generator=generator)
        seen.append((step, steps, tuple(noise.tolist()), latents.requires_grad))
        return (latents - 1).square().mean(dim=(1, 2, 3)) + 0 * image.mean(dim=(1, 2, 3))

    return Loss("asking", LossParams, function, "this test", wants=WANTS - {"encode"})


def request(seed, *losses):
    return RenderRequest("a mouse", seed, 64, 64, "euler", 4, 1.0, losses=losses)


def rendered(bundle, work, batch_rows):
    seen = []
    renderer = Renderer(bundle, batch_rows=batch_rows, losses={"asking": asking(seen)})
    return {one.key: one for one in renderer.render(work)}, seen


def test_a_loss_has_its_pictures_step_latents_and_randomness(bundle):
    """Alone as beside another picture; nothing of it depends on what is rendered in the same call."""
    work = [(seed, request(seed, LossSpec("asking", 20.0, every=2))) for seed in (1, 2)]
    alone, seen = rendered(bundle, work[:1], 2)
    assert [(step, steps, grad) for step, steps, _, grad in seen] == [(0, 4, True), (2, 4, True), (4, 4, False)]
    assert len({noise for _, _, noise, _ in seen}) == 3
    together, all_seen = rendered(bundle, work, 8)
    assert set(seen) < set(all_seen)
    assert (together[1].image == alone[1].image).all()


def test_a_loss_on_the_latents_alone_guides(bundle):
    work = [(scale, request(1, LossSpec("asking", scale, 1))) for scale in (1e-12, 0.2)]
    found, _ = rendered(bundle, work, 2)
    plain, guided = (found[scale].losses[0][1] for scale in (1e-12, 0.2))
    assert guided < 0.8 * plain


def test_the_seed_of_a_losss_randomness_is_of_the_pictures_seed_and_step_alone():
    """The number is fixed: pictures that are rendered again must have it too."""
    assert Moment(7, 3, 10).noise_seed == Moment(7, 3, 50).noise_seed == 16393702779800264802
    assert len({Moment(seed, step, 9).noise_seed for seed in range(5) for step in range(5)}) == 25
