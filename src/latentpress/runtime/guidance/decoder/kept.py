"""The two graphs of a bundle's decoder as files, made once, with what torch says that they must give. Runs no engine.

They follow from the decoder's weights, which every bundle has, so they are kept outside of bundles, in a folder for each
decoder and each version of the code that writes them: two bundles of one decoder share it.
"""

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from latentpress.bundle.info import Bundle
from latentpress.bundle.inputs import example_inputs
from latentpress.bundle.samples import Sample, flatten, read_sample_file
from latentpress.folders import folder_beside, publish_folder

if TYPE_CHECKING:
    from torch import Tensor

FOLDER = "gradients"
FORWARD, BACKWARD, SAMPLES = "forward.onnx", "backward.onnx", "parity.safetensors"
# The two graphs together, as messages, records and the samples call them.
COMPONENT = "vae_decoder_gradient"
# Latents a side of the larger sample: torch takes 16 s of one core for it with SD 1.5's decoder.
_SIDE = 32
# (rows, height, width) of the smaller one, with which rows are tested: of several, odd and oblong.
_ODD = (2, 5, 8)
_CODE = ("graph.py", "kept.py", "layers.py")


def kept_graphs(bundle: Bundle, cache: Path | None) -> Path:
    """The folder with FORWARD, BACKWARD and SAMPLES of `bundle`'s decoder, made unless it is there.

    cache: the folder that has FOLDER; where it is None, or cannot be written to, they are made for this process alone.
    Raises ValueError, in words, for a decoder of a layout whose gradient is not written out (layers.py).
    """
    name = _name(bundle)
    if cache is not None:
        final = cache / FOLDER / name
        if _whole(final):
            with contextlib.suppress(OSError):  # a cache that one may only read
                os.utime(final)  # its last use
            return final
        try:
            with folder_beside(final) as work:
                _make(bundle, work)
                publish_folder(work, final, replace=True)
            return final
        except OSError:
            pass  # a cache that one may only read, or that is full
    final = Path(_own_folder().name) / name
    if not _whole(final):
        final.mkdir(exist_ok=True)
        _make(bundle, final)
    return final


def read_kept_samples(folder: Path) -> list[Sample]:
    """Calls of both graphs, one after the other: latents and dL/dsample in, sample and dL/dlatents out."""
    return read_sample_file(folder / SAMPLES, COMPONENT)


def _name(bundle: Bundle) -> str:
    own = Path(__file__).parent
    digest = hashlib.sha256(b"".join((own / name).read_bytes() for name in _CODE))
    digest.update(bundle.info.files["vae_decoder.safetensors"].encode())
    digest.update(json.dumps([bundle.info.vae_config, bundle.info.scaling_factor], sort_keys=True).encode())
    return digest.hexdigest()[:32]


def _whole(folder: Path) -> bool:
    """Whether all is there; the samples are written last."""
    return (folder / SAMPLES).is_file()


@cache
def _own_folder() -> "tempfile.TemporaryDirectory[str]":
    return tempfile.TemporaryDirectory(prefix="latentpress-gradients-")


def _make(bundle: Bundle, folder: Path) -> None:
    from safetensors.numpy import save_file

    from latentpress.runtime.guidance.decoder.graph import backward_graph, forward_graph
    from latentpress.runtime.guidance.decoder.layers import decoder_layers
    from latentpress.runtime.guidance.gradient import TorchDecoder

    decoder = TorchDecoder(bundle)
    layers = decoder_layers(decoder.vae)
    for name, graph in (FORWARD, forward_graph), (BACKWARD, backward_graph):
        with (folder / name).open("wb") as file:
            file.write(graph(layers).SerializeToString())
    side = min(_SIDE, min(bundle.info.default_size) // bundle.info.vae_scale_factor)
    samples = [_sample(bundle, decoder.sample, *shape) for shape in (_ODD, (1, side, side))]
    save_file(flatten(samples), folder / SAMPLES)


def _sample(bundle: Bundle, decode: Callable[["Tensor"], "Tensor"], rows: int, height: int, width: int) -> Sample:
    """A call, and what torch gives for it."""
    import torch

    (latents,) = example_inputs(bundle.info, bundle.info.decoder.name, rows, (height, width)).values()
    given = torch.from_numpy(latents).requires_grad_()
    with torch.enable_grad():
        sample = decode(given)
        random = np.random.default_rng([rows, height, width])
        gradient = random.standard_normal(sample.shape, dtype=np.float32)
        (found,) = torch.autograd.grad(sample, given, torch.from_numpy(gradient))
    inputs = {"latents": latents, "gradient": gradient}
    return Sample(COMPONENT, inputs, {"sample": sample.detach().numpy(), "latent_gradient": found.numpy()})
