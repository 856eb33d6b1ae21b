"""The process that renders, on a toy model, with a poison for each way in which a picture can fail or take it along.

`poisoned_worker.py SOCKET PIXELS PARENT` stands in for `latentpress.batch.executors.worker`. The bundle, the renderer and
its loop are the real ones; its engines are arithmetic, and what a prompt names happens in the UNet's call.
"""

import os
import signal
import sys
from pathlib import Path
from types import ModuleType

import numpy as np

import latentpress.runtime.loop.denoise as loop
from latentpress.batch.executors import worker
from latentpress.batch.executors.local import Engines, LocalExecutor, Settings
from latentpress.bundle.info import open_bundle
from latentpress.engines.engine import EngineChoice
from latentpress.engines.session import TORCH
from latentpress.runtime.render import Renderer

# What ONNX Runtime and torch say; tests/runtime/test_failures.py has torch say it.
ENGINE = "Failed to allocate memory for requested buffer of size 137438953472"
TORCHS = (
    "[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."
)


class Arithmetic:
    """Any component: outputs of the right shapes, row by row."""

    engine, note = EngineChoice(TORCH), ""

    def __init__(self, info, component):
        self.info, self.component = info, component

    def run(self, inputs):
        first = next(iter(inputs.values()))
        if self.component == self.info.denoiser.name:
            prompts = inputs["encoder_hidden_states"].mean((1, 2))
            return {"noise_pred": np.tanh(inputs["sample"] + prompts[:, None, None, None])}
        if self.component == self.info.decoder.name:
            scale = self.info.vae_scale_factor
            return {"sample": np.tanh(first[:, :3].repeat(scale, 2).repeat(scale, 3))}
        encoder = next(one for one in self.info.text_encoders if one.component == self.component)
        shape = (len(first), encoder.layers, first.shape[1], encoder.hidden_size)
        return {"hidden_states": np.broadcast_to(first[:, None, :, None] / 50000, shape).astype(np.float32)}


class Guidance:
    """Loss guidance whose torch has no memory."""

    def gradients(self, asks, begins):
        return [RuntimeError(TORCHS) for _ in asks]


def predict(unet, active, conditioning):
    """As the loop's, but for the poisons."""
    prompts = [trajectory.request.prompt for trajectory in active]
    if "raising" in prompts:
        raise ValueError("an unknown operator")
    if "large" in prompts:
        raise RuntimeError(ENGINE)
    for prompt, number in (("stopped", signal.SIGSTOP), ("killed", signal.SIGKILL)):
        if prompt in prompts:
            os.kill(os.getpid(), number)
    found = sound(unet, active, conditioning)
    for row, prompt in zip(found, prompts, strict=True):
        if prompt == "nan":
            row[...] = np.nan
    return found


def rendering(start, say):
    bundles = {digest: open_bundle(Path(path), verify=False) for digest, path in start["bundles"].items()}
    engines = Engines()
    executor = LocalExecutor(bundles, Settings(**start["settings"]), Path(start["cache"]), say, engines)
    for bundle in bundles.values():
        sessions = {name: Arithmetic(bundle.info, name) for name in bundle.info.component_names}
        renderer = Renderer(bundle, batch_rows=start["settings"]["batch_rows"], sessions=sessions)
        renderer._model.__dict__["guidance"] = Guidance()
        engines.open = lambda asked, make, renderer=renderer: setattr(engines, "renderer", renderer) or renderer
    return executor


if __name__ == "__main__":
    sound, loop.predict = loop.predict, predict
    # A torch that is imported anew with each process takes longer than all the rest.
    sys.modules["latentpress.runtime.guidance.gradient"] = ModuleType("gradient")
    worker.main(sys.argv[1:], rendering)
