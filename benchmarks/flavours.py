"""Times a UNet's graph flavours on this machine's CPU engines: which one an engine runs fastest (docs/engines.md).

python benchmarks/flavours.py --width 64 --side 32 --rows 8 --threads 2
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch

from latentpress.bundle.components import stable_diffusion_components
from latentpress.engines.cpu import OnnxCpuSession
from latentpress.engines.devices import cpu_has_bf16, cpu_name
from latentpress.export.graphs.flavours import trace_flavour
from latentpress.export.graphs.trace import Graph
from latentpress.export.graphs.wrappers import UNet
from latentpress.testing.random_models import random_unet

HIDDEN = 256


def main() -> None:
    """Trace each flavour, time it on each engine, print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--width", type=int, default=64, help="channels of the first of the UNet's two levels")
    parser.add_argument("--side", type=int, default=32, help="latents a side")
    parser.add_argument("--rows", type=int, default=8)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--flavours", nargs="+", default=["plain", "attention", "mha"])
    asked = parser.parse_args()
    torch.manual_seed(0)
    with torch.no_grad():
        module = UNet(random_unet(asked.width, asked.side, HIDDEN, attention_head_dim=8))
    print(
        f"{cpu_name()}, {asked.threads} threads; {sum(p.numel() for p in module.parameters()) / 1e6:.1f} M parameters"
    )
    inputs = example(2, 6, 10)
    widths = SimpleNamespace(
        max_tokens=77, cross_attention_dim=HIDDEN, unet_in_channels=4, added_conditioning=None, latent_channels=4
    )
    (unet,) = (one for one in stable_diffusion_components(widths, [], "fp32") if one.role == "denoiser")
    graph = Graph(unet, module, inputs)
    call = {name: value.numpy() for name, value in example(asked.rows, asked.side, asked.side).items()}
    with torch.no_grad():
        right = module(*(torch.from_numpy(value) for value in call.values())).numpy()
    for flavour in asked.flavours:
        with tempfile.TemporaryDirectory() as folder:
            path = trace_flavour(graph, Path(folder), flavour)
            for name, session in sessions(path, flavour, asked.threads):
                times, error = measured(session, call, right, asked.repeats)
                took = f"{statistics.median(times) * 1e3:8.1f} ms, {min(times) * 1e3:.1f} to {max(times) * 1e3:.1f}"
                print(f"{flavour:<10} {name:<14} {took}   error {error:.1e}", flush=True)


def example(rows: int, height: int, width: int) -> dict[str, torch.Tensor]:
    """Inputs of that many rows, in the ranges of real ones."""
    generator = torch.Generator().manual_seed(1)
    return {
        "sample": torch.randn((rows, 4, height, width), generator=generator),
        "timestep": torch.linspace(999, 1, rows),
        "encoder_hidden_states": torch.randn((rows, 77, HIDDEN), generator=generator),
    }


def sessions(path: Path, flavour: str, threads: int):
    """The CPU engines that read this flavour: (name, session)."""
    yield "cpu", OnnxCpuSession(path, threads)
    if flavour == "mha":
        return  # its operator is ONNX Runtime's own
    try:
        from latentpress.engines.openvino import OpenVinoSession

        yield "openvino", OpenVinoSession(path, threads=threads)
        if cpu_has_bf16():
            yield "openvino:bf16", OpenVinoSession(path, precision="bf16", threads=threads)
    except Exception as error:
        print(f"{flavour:<10} openvino: {error}")


def measured(session, call, right, repeats: int) -> tuple[list[float], float]:
    """Seconds of each call after a first one, and the largest difference from torch over its largest value."""
    found = session.run(call)["noise_pred"]
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        session.run(call)
        times.append(time.perf_counter() - started)
    return times, float(np.abs(found - right).max() / np.abs(right).max())


if __name__ == "__main__":
    main()
