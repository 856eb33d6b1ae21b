"""The decoder's gradient as graphs against torch.autograd, at any size, and a row's bits whatever its batch."""

import numpy as np
import pytest
import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

from latentpress.bundle.info import open_bundle
from latentpress.engines.cpu import OnnxCpuSession
from latentpress.engines.openvino import OpenVinoSession
from latentpress.export.demo import demo_path
from latentpress.runtime.guidance import LOSSES
from latentpress.runtime.guidance.context import Moment
from latentpress.runtime.guidance.decoder.graph import backward_graph, forward_graph
from latentpress.runtime.guidance.decoder.layers import DecoderBackward, DecoderForward, decoder_layers
from latentpress.runtime.guidance.decoder.passes import EngineDecoder
from latentpress.runtime.guidance.gradient import LossGuidance, TorchDecoder
from latentpress.runtime.request import LossSpec

MOMENT = Moment(0, 0, 1)
LAYOUTS = {
    "two blocks": {},
    "no attention": {"mid_block_add_attention": False},
    "no post_quant_conv": {"use_post_quant_conv": False, "layers_per_block": 2},
    "widths": {
        "block_out_channels": (4, 8, 12),
        "up_block_types": ("UpDecoderBlock2D",) * 3,
        "down_block_types": ("DownEncoderBlock2D",) * 3,
    },
}


def random_vae(**layout):
    """A small autoencoder of weights far larger than it would start from, so that no part of the gradient is small."""
    default = {
        "block_out_channels": (8, 16),
        "up_block_types": ("UpDecoderBlock2D",) * 2,
        "down_block_types": ("DownEncoderBlock2D",) * 2,
        "norm_num_groups": 4,
    }
    torch.manual_seed(0)
    vae = AutoencoderKL(**default | layout).eval()
    for parameter in vae.parameters():
        torch.nn.init.normal_(parameter, 0, 0.3)
    return vae


@pytest.fixture(scope="module")
def demo(demo_cache):
    return open_bundle(demo_path(demo_cache), verify=False)


@pytest.fixture(scope="module")
def vae(demo):
    """The decoder of the built-in model, trained: its values are those of real pictures."""
    return TorchDecoder(demo).vae


def by_autograd(vae, latents, gradient):
    """The picture and dL/dlatents in float64, for dL/dsample given as a function of the picture's shape."""
    double = vae.double()
    latents = latents.double().requires_grad_()
    quantized = latents if double.post_quant_conv is None else double.post_quant_conv(latents)
    sample = double.decoder(quantized)
    (found,) = torch.autograd.grad(sample, latents, gradient.double())
    vae.float()
    return sample.detach().numpy(), found.numpy()


def given(rows, height, width, factor):
    torch.manual_seed(rows + height)
    return torch.randn(rows, 4, height, width), torch.randn(rows, 3, height * factor, width * factor)


def run(sessions, latents, gradient):
    forward, backward = sessions
    tape = dict(forward.run({"latents": latents}))
    sample = tape.pop("sample")
    return sample, backward.run({"gradient": gradient, **tape})["latent_gradient"]


def off(found, right):
    """The largest difference over the largest value."""
    return np.abs(found - right).max() / np.abs(right).max()


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_the_layers_agree_with_autograd_in_float64(layout):
    vae = random_vae(**layout)
    latents, gradient = given(3, 5, 6, 2 ** (len(vae.config.block_out_channels) - 1))
    sample, right = by_autograd(vae, latents, gradient)
    layers = decoder_layers(vae.double())
    with torch.no_grad():
        found, *tape = DecoderForward(layers)(latents.double())
        back = DecoderBackward(layers)(gradient.double(), tape)
    assert off(found.numpy(), sample) < 1e-13
    assert off(back.numpy(), right) < 1e-13


@pytest.fixture(scope="module")
def graphs(vae, tmp_path_factory):
    folder = tmp_path_factory.mktemp("graphs")
    layers = decoder_layers(vae)
    paths = folder / "forward.onnx", folder / "backward.onnx"
    for path, model in zip(paths, (forward_graph(layers), backward_graph(layers)), strict=True):
        path.write_bytes(model.SerializeToString())
    return paths


@pytest.mark.parametrize("engine", [OnnxCpuSession, OpenVinoSession], ids=["cpu", "openvino"])
def test_the_graphs_agree_with_autograd_at_any_size_and_keep_rows_apart(vae, graphs, engine):
    sessions = [engine(path, threads=2) for path in graphs]
    for height, width in (8, 8), (5, 9):
        latents, gradient = given(8, height, width, 4)
        right_sample, right = by_autograd(vae, latents, gradient)
        alone = [run(sessions, latents[i : i + 1].numpy(), gradient[i : i + 1].numpy()) for i in range(8)]
        # Float32 against float64: 2e-6 measured on both engines.
        assert off(np.concatenate([sample for sample, _ in alone]), right_sample) < 1e-5
        assert off(np.concatenate([back for _, back in alone]), right) < 1e-5
        for rows in 3, 8:
            for start in sorted({0, 8 - rows}):
                which = slice(start, start + rows)
                sample, back = run(sessions, latents[which].numpy(), gradient[which].numpy())
                for row in range(rows):
                    assert sample[row].tobytes() == alone[start + row][0].tobytes()
                    assert back[row].tobytes() == alone[start + row][1].tobytes()


def test_every_loss_has_the_gradient_that_torch_gives_it(demo, graphs):
    """Also one that looks at the latents too, whose gradient does not all pass the decoder."""
    engine = EngineDecoder(*[OnnxCpuSession(path, threads=1) for path in graphs], demo.info.scaling_factor)
    x0 = np.random.default_rng(0).standard_normal((4, 8, 12), np.float32)
    for name, loss in LOSSES.items():
        if loss.pictures:
            continue  # what they compare with changes nothing of the decoder
        asked = (LossSpec(name, 200.0, 1, params=loss.params().model_dump()),)
        right = LossGuidance(TorchDecoder(demo), 1).gradient(x0, asked, MOMENT)
        found = LossGuidance(engine, 1).gradient(x0, asked, MOMENT)
        assert off(found[0], right[0]) < 1e-4, name
        assert found[1] == pytest.approx(right[1], rel=1e-4, abs=1e-6), name


def test_a_group_whose_mean_is_far_from_zero_loses_no_digits():
    """The mean is taken away before anything is squared or summed: E[x^2] - E[x]^2 would leave three digits here."""
    vae = random_vae()
    with torch.no_grad():
        vae.decoder.conv_in.bias.add_(300)
    latents, gradient = given(2, 6, 6, 2)
    _, right = by_autograd(vae, latents, gradient)
    layers = decoder_layers(vae)
    with torch.no_grad():
        back = DecoderBackward(layers)(gradient, DecoderForward(layers)(latents)[1:])
    assert off(back.numpy(), right) < 1e-4


def test_another_layout_is_refused_by_name():
    vae = random_vae(up_block_types=("AttnUpDecoderBlock2D", "UpDecoderBlock2D"))
    with pytest.raises(ValueError, match="AttnUpDecoderBlock2D"):
        decoder_layers(vae)
    with pytest.raises(ValueError, match="ReLU"):
        decoder_layers(random_vae(act_fn="relu"))
