"""The inputs and torch's outputs that a bundle carries in parity.safetensors, with which every engine is compared."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from latentpress.bundle.info import Bundle
from latentpress.bundle.inputs import Array

FILE = "parity.safetensors"


@dataclass(frozen=True, eq=False)
class Sample:
    """One call of one component: what goes in, and what torch gives in float32, by the graph's names."""

    component: str
    inputs: dict[str, Array]
    outputs: dict[str, Array]

    @property
    def shapes(self) -> str:
        """The inputs' shapes by name, e.g. `sample 1x4x64x64, timestep 1`."""
        return ", ".join(f"{name} {'x'.join(map(str, array.shape))}" for name, array in sorted(self.inputs.items()))


def read_samples(bundle: Bundle, component: str) -> list[Sample]:
    """The samples of `component`, smallest batch first; none in a bundle made before there were any."""
    path = bundle.file(FILE)
    return read_sample_file(path, component) if path.exists() else []


def read_sample_file(path: Path, component: str) -> list[Sample]:
    """The samples of `component` in a file of `flatten`'s arrays, in their order."""
    from safetensors.numpy import load_file

    cases: dict[str, Sample] = {}
    for key, array in sorted(load_file(path).items()):
        owner, case, side, name = key.split("/")
        if owner == component:
            sample = cases.setdefault(case, Sample(component, {}, {}))
            (sample.inputs if side == "in" else sample.outputs)[name] = array
    return [cases[case] for case in sorted(cases, key=int)]


def flatten(samples: list[Sample]) -> dict[str, Array]:
    """The arrays of `samples` under the keys that `read_samples` reads: COMPONENT/CASE/in|out/NAME."""
    arrays: dict[str, Array] = {}
    counts: dict[str, int] = {}
    for sample in samples:
        case = counts[sample.component] = counts.get(sample.component, -1) + 1
        for side, group in (("in", sample.inputs), ("out", sample.outputs)):
            # safetensors writes an array's memory as it is, and torch's convolutions return channels last.
            arrays |= {
                f"{sample.component}/{case}/{side}/{name}": np.ascontiguousarray(array) for name, array in group.items()
            }
    return arrays
