"""The losses as objects: one handed in through a map is read and guides; none needs torch before it is computed."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from latentpress.errors import ManifestError
from latentpress.manifest.field import Reader
from latentpress.manifest.losses import parse_losses
from latentpress.manifest.nodes import ListNode, Place, Problems, Scalar
from latentpress.runtime.guidance import LOSSES
from latentpress.runtime.guidance.context import Context, Moment
from latentpress.runtime.guidance.encoder import VaeEncoder
from latentpress.runtime.guidance.gradient import LossGuidance
from latentpress.runtime.guidance.labels import loss_labels
from latentpress.runtime.guidance.loss import Loss, LossParams
from latentpress.runtime.render import Renderer
from latentpress.runtime.request import LossSpec, RenderRequest
from tiny_clip import tiny_clip


class Level(LossParams):
    level: float = 0.5


DARKNESS = Loss("darkness", LossParams, lambda image: image.mean(dim=(1, 2, 3)), "this test")
# What the built-in loss `channel` computes of red.
REDNESS = Loss("redness", Level, lambda image, level: (image[:, 0] - level).abs().mean(dim=(1, 2)), "this test")
OWN = {loss.name: loss for loss in (DARKNESS, REDNESS)}


def guided(*losses):
    return RenderRequest("a mouse", 42, 64, 64, "euler", 6, 1.0, losses=losses)


def test_a_loss_from_a_map_guides_a_picture(bundle):
    work = [("guided", guided(LossSpec("darkness", 200.0, every=1))), ("plain", guided())]
    pictures = {one.key: one for one in Renderer(bundle, losses=OWN).render(work)}
    means = {key: float(np.mean(one.image / 255)) for key, one in pictures.items()}
    assert means["guided"] < means["plain"] - 0.05
    assert pictures["guided"].losses == (("darkness", pytest.approx(means["guided"], rel=1e-5)),)
    assert not pictures["plain"].losses


def test_a_loss_from_a_map_pushes_as_a_built_in_one_does(bundle, renderer):
    built_in = LossSpec("channel", 50.0, every=2, params={"channel": "red", "target": 0.75})
    own = LossSpec("redness", 50.0, every=2, params={"level": 0.75})
    (expected,) = renderer.render([(0, guided(built_in))])
    (found,) = Renderer(bundle, batch_rows=8, losses=OWN).render([(0, guided(own))])
    assert (found.image == expected.image).all()


def test_two_losses_of_one_name_both_have_their_values(renderer):
    asked = [LossSpec("channel", 20.0, params={"channel": name, "target": 1.0}) for name in ("red", "blue")]
    (rendered,) = renderer.render([(0, guided(*asked))])
    red, _, blue = (1 - rendered.image / 255).mean(axis=(0, 1))
    labels = "channel(channel=red)", "channel(channel=blue)"
    assert rendered.losses == tuple(zip(labels, (pytest.approx(one, rel=1e-5) for one in (red, blue)), strict=True))


def test_labels_say_what_tells_losses_apart():
    red, blue = (LossSpec("channel", 20.0, params={"channel": name, "target": 1.0}) for name in ("red", "blue"))
    dark, late, plain = (
        replace(blue, params={**blue.params, "target": 0.25}),
        replace(red, start=0.5),
        LossSpec("tv", 1),
    )
    assert loss_labels([]) == ()
    assert loss_labels([plain, red]) == ("tv", "channel")
    assert loss_labels([red, plain, blue]) == ("channel(channel=red)", "tv", "channel(channel=blue)")
    assert loss_labels([red, dark]) == ("channel(channel=red target=1)", "channel(channel=blue target=0.25)")
    assert loss_labels([red, late]) == ("channel(start=0)", "channel(start=0.5)")
    assert loss_labels([red, red]) == ("channel 1", "channel 2")
    targeted = LossSpec("contrast", 1.0, params={"target": 0.3})
    assert loss_labels([LossSpec("contrast", 1.0), targeted]) == ("contrast", "contrast(target=0.3)")
    short, plainly = replace(red, cap=0.1), replace(red, step="raw")
    assert loss_labels([red, short]) == ("channel(cap=0.3)", "channel(cap=0.1)")
    assert loss_labels([red, plainly]) == ("channel(step=default)", "channel(step=raw)")
    assert loss_labels([red, replace(red, clamp=True)]) == ("channel(clamp=false)", "channel(clamp=true)")


def scalar(text):
    return Scalar(text, True, Place("m.yaml", 1, 1))


def test_a_manifests_losses_are_those_of_the_map():
    problems = Problems()
    both = ListNode([scalar("darkness"), scalar("redness")], Place("m.yaml", 1, 1))
    found = parse_losses(both, Reader(problems, OWN))
    assert found == (LossSpec("darkness", 200.0), LossSpec("redness", 200.0, params={"level": 0.5}))
    problems.raise_if_any()
    assert parse_losses(scalar("canny"), Reader(problems, OWN)) is None
    with pytest.raises(ManifestError, match="unknown loss 'canny'; known losses: darkness, redness, none"):
        problems.raise_if_any()


@pytest.mark.parametrize("loss", LOSSES.values(), ids=lambda loss: loss.name)
def test_a_loss_is_taken_of_each_image_for_itself(loss):
    """A mean over the batch, or statistics across it, would make an image's push depend on its batch mates."""
    images = torch.rand((3, 3, 32, 48), generator=torch.Generator().manual_seed(0), requires_grad=True)
    params = {**loss.params().complete(), **{name: images[:1].detach() for name in loss.pictures}}
    params |= {name: tiny_clip() for name in loss.folders}

    def taken(some):
        latents = some.repeat(1, 2, 1, 1)[:, :4, ::8, ::8]
        return loss(some, params, Context(latents, 0, 1, torch.Generator().manual_seed(1), lambda image: [image]))

    together = taken(images)
    assert together.shape == (3,)
    (gradients,) = torch.autograd.grad(together.sum(), images)
    for index in range(3):
        alone = images[index : index + 1].detach().requires_grad_()
        value = taken(alone)
        torch.testing.assert_close(value[0], together[index])
        torch.testing.assert_close(torch.autograd.grad(value.sum(), alone)[0][0], gradients[index])


def test_reading_losses_imports_neither_torch_nor_opencv(tmp_path):
    file = tmp_path / "m.yaml"
    known = [name for name, loss in LOSSES.items() if not loss.files]
    file.write_text(
        "version: 1\nname: m\nmodel: demo\ndefaults: {prompt: a}\n"
        f"matrix: {{loss: [{', '.join(known)}, [canny, {{name: channel, channel: red}}]]}}\n"
    )
    code = (
        "import sys; from pathlib import Path\nsys.modules['torch'] = sys.modules['cv2'] = None\n"
        "from latentpress.manifest.manifest import read_manifest\n"
        "read_manifest(Path(sys.argv[1]))\n"
    )
    subprocess.run([sys.executable, "-c", code, file], check=True)


def never(x0):
    raise AssertionError("nothing looks at the picture")


def test_a_loss_on_the_latents_alone_decodes_nothing():
    x0 = np.random.default_rng(0).normal(size=(4, 8, 8)).astype(np.float32)
    built_in = LossSpec("latents", 2.0, params={"statistic": "mean", "target": 0.5})
    found = LossGuidance(never).gradient(x0, [built_in], Moment(1, 0, 4))
    expected = np.full_like(x0, 2.0 * 2 * (x0.mean() - 0.5) / x0.size)
    np.testing.assert_allclose(found[0] if isinstance(found, tuple) else found, expected, rtol=1e-4)


def test_a_loss_keeps_what_it_keeps():
    """The gradient by the latents is at a right angle to that of the mean luma, which soft_canny keeps."""
    mixing = torch.randn((3, 4), generator=torch.Generator().manual_seed(3)) / 3

    def decode(x0):
        return torch.einsum("ck,bkhw->bchw", mixing, x0).sigmoid().repeat_interleave(4, 2).repeat_interleave(4, 3)

    x0 = torch.randn((4, 8, 8), generator=torch.Generator().manual_seed(4))
    latents = x0[None].clone().requires_grad_()
    weights = torch.tensor([0.299, 0.587, 0.114])[:, None, None]
    (light,) = torch.autograd.grad((decode(latents)[0] * weights).sum(0).mean(), latents)

    def cosine(loss):
        asked = LossSpec(loss.name, 1.0, params=loss.params().complete())
        found = LossGuidance(decode, losses={loss.name: loss}).gradient(x0.numpy(), [asked], Moment(1, 9, 20))
        gradient = torch.from_numpy(found[0] if isinstance(found, tuple) else found)
        return abs(float(torch.nn.functional.cosine_similarity(gradient.flatten(), light.flatten(), dim=0)))

    channel, soft_canny = LOSSES["channel"], LOSSES["soft_canny"]
    assert cosine(channel) > 5e-3
    assert cosine(replace(channel, keeps=soft_canny.keeps)) < 1e-5
    assert cosine(soft_canny) < 1e-5


@pytest.mark.parametrize("size", [(64, 64), (72, 40)])
def test_the_encoder_in_torch_is_diffusers(size, bundle, reference_pipeline):
    """Its moments, and the gradient of them, by diffusers' module with the checkpoint's weights."""
    image = torch.rand((1, 3, *size), generator=torch.Generator().manual_seed(6)).requires_grad_()
    encoder, vae = VaeEncoder(bundle), reference_pipeline.vae
    moments = encoder.moments(image)
    expected = vae.quant_conv(vae.encoder(image * 2 - 1))
    torch.testing.assert_close(moments, expected, rtol=1e-4, atol=1e-4)
    wanted = torch.randn(moments.shape, generator=torch.Generator().manual_seed(7))
    found, right = (torch.autograd.grad((one * wanted).sum(), image)[0] for one in (moments, expected))
    torch.testing.assert_close(found, right, rtol=1e-3, atol=1e-4 * float(right.abs().max()))
    features = encoder(image)
    blocks = len(vae.encoder.down_blocks)
    assert [one.shape[-1] for one in features] == [size[1] // 2**place for place in range(blocks)]
