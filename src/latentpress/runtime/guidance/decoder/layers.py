"""A VAE decoder's gradient as arithmetic: its forward pass, and its backward pass written out, to be made a graph of.

    ahead:  latents -> image, and a tape of what the way back needs
    back:   dL/dimage and the tape -> dL/dlatents, for any loss L

PyTorch's own backward exports with sizes fixed and with a ScatterND, whose sums ONNX Runtime's CPU provider does not repeat
on several threads. Here each layer says what its gradient is, in operators that every engine has and that keep rows apart.
Knows AutoencoderKL's decoder as all of Stable Diffusion has it. Weights are constants: only the input has a gradient. No
layer asks for a size, and only graph.py's operators occur, so that one graph serves every batch, height and width.
"""

from collections.abc import Sequence
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

# What the way back needs, in the order in which the layers laid it down; they take it up from the end.
Tape = list[Tensor]


class Layer(Protocol):
    """One differentiable step. `back` takes from the tape's end just what `ahead` laid down."""

    def ahead(self, x: Tensor, tape: Tape) -> Tensor: ...
    def back(self, gradient: Tensor, tape: Tape) -> Tensor: ...


class DecoderForward(nn.Module):
    """latents (batch, 4, h, w), already divided by scaling_factor -> sample (batch, 3, H, W), and the tape's tensors."""

    def __init__(self, layers: nn.ModuleList) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, latents: Tensor) -> tuple[Tensor, ...]:
        tape: Tape = []
        return _ahead(self.layers, latents, tape), *tape


class DecoderBackward(nn.Module):
    """gradient dL/dsample (batch, 3, H, W), and the tape of `DecoderForward` -> dL/dlatents (batch, 4, h, w)."""

    def __init__(self, layers: nn.ModuleList) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, gradient: Tensor, tape: Sequence[Tensor]) -> Tensor:
        return _back(self.layers, gradient, list(tape))


def decoder_layers(vae: Any) -> nn.ModuleList:
    """The layers of an AutoencoderKL's decoder, in order; they share its weights. Raises ValueError for another layout."""
    decoder = vae.decoder
    layers: list[Any] = [] if vae.post_quant_conv is None else [_Convolution(vae.post_quant_conv)]
    layers.append(_Convolution(decoder.conv_in))
    middle = decoder.mid_block
    layers.append(_Residual(middle.resnets[0]))
    for attention, resnet in zip(middle.attentions, middle.resnets[1:], strict=True):
        layers += [*([] if attention is None else [_Attention(attention)]), _Residual(resnet)]
    for block in decoder.up_blocks:
        if type(block).__name__ != "UpDecoderBlock2D":
            raise ValueError(f"the decoder has a {type(block).__name__}, whose gradient is not written out")
        layers += [_Residual(resnet) for resnet in block.resnets]
        layers += [_Upsampling(upsampler) for upsampler in block.upsamplers or ()]
    layers += [_Normalization(decoder.conv_norm_out, decoder.conv_act), _Convolution(decoder.conv_out)]
    return nn.ModuleList(layers)


def tape_widths(layers: nn.ModuleList) -> list[int]:
    """The channels of each of the tape's tensors, in order."""
    return [layer.channels for layer in layers.modules() if isinstance(layer, _Normalization) for _ in ("c", "r")]


def _ahead(layers: nn.ModuleList, x: Tensor, tape: Tape) -> Tensor:
    for layer in layers:
        x = cast(Layer, layer).ahead(x, tape)
    return x


def _back(layers: nn.ModuleList, gradient: Tensor, tape: Tape) -> Tensor:
    for layer in reversed(layers):
        gradient = cast(Layer, layer).back(gradient, tape)
    assert not tape, "every layer takes up what it laid down"
    return gradient


class _Convolution(nn.Module):
    """A convolution of stride 1 that keeps the size. Its gradient is a convolution with the weights turned round."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        _require(conv.stride == (1, 1) and conv.groups == 1 and conv.dilation == (1, 1), conv)
        _require(all(side == 2 * int(pad) + 1 for pad, side in zip(conv.padding, conv.kernel_size, strict=True)), conv)
        self.conv = conv
        self.padding = conv.padding[0]
        self.register_buffer("turned", _turned(conv.weight))

    def ahead(self, x: Tensor, tape: Tape) -> Tensor:
        return self.conv(x)

    def back(self, gradient: Tensor, tape: Tape) -> Tensor:
        return functional.conv2d(gradient, cast(Tensor, self.turned), padding=self.padding)


class _Upsampling(nn.Module):
    """Each pixel four times, then a 3x3 convolution.

    The gradient is the convolution's, summed over each 2x2 square. Both are one convolution of stride 2 with a kernel of
    4x4, the turned kernel shifted by each of the square's four places and summed: 16 products for a pixel and not 36.
    """

    def __init__(self, upsampler: Any) -> None:
        super().__init__()
        _require(upsampler.use_conv and upsampler.interpolate and upsampler.norm is None, upsampler)
        self.conv: nn.Conv2d = upsampler.conv
        _require(self.conv.kernel_size == (3, 3) and self.conv.padding == (1, 1), self.conv)
        turned = _turned(self.conv.weight)
        shifts = [functional.pad(turned, (right, 1 - right, down, 1 - down)) for down in (0, 1) for right in (0, 1)]
        self.register_buffer("summed", torch.stack(shifts).sum(dim=0))

    def ahead(self, x: Tensor, tape: Tape) -> Tensor:
        return self.conv(functional.interpolate(x, scale_factor=2.0, mode="nearest"))

    def back(self, gradient: Tensor, tape: Tape) -> Tensor:
        return functional.conv2d(gradient, cast(Tensor, self.summed), stride=2, padding=1)


class _Normalization(nn.Module):
    """GroupNorm, and SiLU where there is an activation.

        c = x - mean over group,  r = (mean of c^2 + eps)^-1/2,  y = r * w * c + b,  z = y * s(y);  s: the sigmoid

    and back, with g = dL/dz * s * (1 + y - z) for dL/dy and means over a group's channels and pixels:

        dL/dx = r * (g * w - mean(g * w) - c * r^2 * mean(g * w * c))

    The tape holds c and r. Sums over pixels come before those over channels, so that no product with w is made twice.
    """

    def __init__(self, norm: nn.GroupNorm, activation: Any = None) -> None:
        super().__init__()
        _require(activation is None or isinstance(activation, nn.SiLU), activation)
        self.groups, self.channels = norm.num_groups, norm.num_channels
        self.eps = norm.eps
        self.activated = activation is not None
        self.register_buffer("weight", norm.weight.detach()[:, None, None])
        self.register_buffer("bias", norm.bias.detach()[:, None, None])

    def ahead(self, x: Tensor, tape: Tape) -> Tensor:
        c = x - self._over_groups(x.mean(dim=(2, 3), keepdim=True))
        r = (self._over_groups((c * c).mean(dim=(2, 3), keepdim=True)) + self.eps).rsqrt()
        tape += [c, r]
        y = self.affine(c, r)
        return y * y.sigmoid() if self.activated else y

    def affine(self, c: Tensor, r: Tensor) -> Tensor:
        return c * (r * cast(Tensor, self.weight)) + cast(Tensor, self.bias)

    def back(self, gradient: Tensor, tape: Tape) -> Tensor:
        r, c = tape.pop(), tape.pop()
        if self.activated:
            y = self.affine(c, r)
            s = y.sigmoid()
            gradient = gradient * (s * (1 + y - y * s))
        w = cast(Tensor, self.weight)
        first = self._over_groups(w * gradient.mean(dim=(2, 3), keepdim=True))
        second = self._over_groups(w * (gradient * c).mean(dim=(2, 3), keepdim=True))
        return gradient * (r * w) - c * (r * r * r * second) - r * first

    def _over_groups(self, means: Tensor) -> Tensor:
        """(batch, channels, 1, 1) -> the same, each channel's value the mean over its group."""
        width = self.channels // self.groups
        each = means.reshape(-1, self.groups, width).mean(dim=2, keepdim=True)
        return each.expand(-1, -1, width).reshape(-1, self.channels, 1, 1)


class _Residual(nn.Module):
    """x plus two convolutions of it, each after a normalization; x itself through a 1x1 convolution where widths differ."""

    def __init__(self, resnet: Any) -> None:
        super().__init__()
        _require(resnet.time_emb_proj is None and resnet.upsample is None and resnet.downsample is None, resnet)
        _require(resnet.output_scale_factor == 1, resnet)
        activation = resnet.nonlinearity
        self.branch = nn.ModuleList(
            [
                _Normalization(resnet.norm1, activation),
                _Convolution(resnet.conv1),
                _Normalization(resnet.norm2, activation),
                _Convolution(resnet.conv2),
            ]
        )
        self.shortcut = None if resnet.conv_shortcut is None else _Convolution(resnet.conv_shortcut)

    def ahead(self, x: Tensor, tape: Tape) -> Tensor:
        straight = x if self.shortcut is None else self.shortcut.ahead(x, tape)
        for layer in self.branch:
            x = cast(Layer, layer).ahead(x, tape)
        return straight + x

    def back(self, gradient: Tensor, tape: Tape) -> Tensor:
        straight = gradient if self.shortcut is None else self.shortcut.back(gradient, tape)
        for layer in reversed(self.branch):
            gradient = cast(Layer, layer).back(gradient, tape)
        return straight + gradient


class _Attention(nn.Module):
    """x plus attention of one head over all its pixels, after a normalization.

        p = softmax(q k^T / sqrt(channels)),  o = p v

    and back, with g = dL/do: dv = p^T g;  ds = p * (g v^T - sum over channels of g * o);  dq = ds k / sqrt(channels);
    dk = ds^T q / sqrt(channels) (FlashAttention, arXiv 2205.14135, appendix B). p is made again on the way back: it is a
    number for each pair of pixels, and costs little beside the convolutions.
    """

    def __init__(self, attention: Any) -> None:
        super().__init__()
        _require(attention.heads == 1 and attention.residual_connection, attention)
        _require(attention.rescale_output_factor == 1 and attention.spatial_norm is None, attention)
        self.norm = _Normalization(attention.group_norm)
        self.scale = float(attention.scale)
        self.to_q, self.to_k, self.to_v = (_Linear(layer) for layer in (attention.to_q, attention.to_k, attention.to_v))
        self.to_out = _Linear(attention.to_out[0])

    def ahead(self, x: Tensor, tape: Tape) -> Tensor:
        _, _, v, p = self._attend(self.norm.ahead(x, tape))
        return x + _pixels(self.to_out.ahead(p @ v), x)

    def back(self, gradient: Tensor, tape: Tape) -> Tensor:
        q, k, v, p = self._attend(self.norm.affine(tape[-2], tape[-1]))
        g = self.to_out.back(_tokens(gradient))
        sums = (g * (p @ v)).sum(dim=-1, keepdim=True)
        ds = p * (g @ v.transpose(1, 2) - sums) * self.scale
        into = self.to_q.back(ds @ k) + self.to_k.back(ds.transpose(1, 2) @ q) + self.to_v.back(p.transpose(1, 2) @ g)
        return gradient + self.norm.back(_pixels(into, gradient), tape)

    def _attend(self, normalized: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """q, k, v (batch, pixels, channels) and p (batch, pixels, pixels)."""
        tokens = _tokens(normalized)
        q, k, v = self.to_q.ahead(tokens), self.to_k.ahead(tokens), self.to_v.ahead(tokens)
        return q, k, v, ((q * self.scale) @ k.transpose(1, 2)).softmax(dim=-1)


class _Linear(nn.Module):
    """A linear layer, and its gradient as a layer with weights of its own.

    They are a copy, turned, because OpenVINO (2026.4.1, on the CPU in float32) packs a square matrix once for each graph,
    and multiplies by that also where the graph has it transposed: results are wrong by more than their size.
    """

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.linear = linear
        outputs, inputs = linear.weight.shape
        self.turned = nn.Linear(outputs, inputs, bias=False, device="meta")
        self.turned.weight = nn.Parameter(linear.weight.detach().T.contiguous(), requires_grad=False)

    def ahead(self, x: Tensor) -> Tensor:
        return self.linear(x)

    def back(self, gradient: Tensor) -> Tensor:
        return self.turned(gradient)


def _tokens(x: Tensor) -> Tensor:
    """(batch, channels, h, w) -> (batch, h * w, channels)."""
    return x.flatten(2).transpose(1, 2)


def _pixels(tokens: Tensor, like: Tensor) -> Tensor:
    """`_tokens` undone, to the shape of `like`."""
    return tokens.transpose(1, 2).reshape_as(like)


def _turned(weight: Tensor) -> Tensor:
    """A kernel (out, in, h, w) turned by half a turn, its outputs and inputs exchanged."""
    return weight.detach().flip(2, 3).transpose(0, 1).contiguous()


def _require(met: Any, part: Any) -> None:
    if not met:
        raise ValueError(f"the decoder has {part} in a form whose gradient is not written out")
