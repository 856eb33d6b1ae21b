"""What tests do with weights under published names; `latentpress.testing.ldm_names` gives them those."""

import torch

from latentpress.testing.ldm_names import (
    LEVELS as LEVELS,
)
from latentpress.testing.ldm_names import (
    RESNET as RESNET,
)
from latentpress.testing.ldm_names import (
    SINGLE as SINGLE,
)
from latentpress.testing.ldm_names import (
    TEXTS as TEXTS,
)
from latentpress.testing.ldm_names import (
    ldm_unet as ldm_unet,
)
from latentpress.testing.ldm_names import (
    ldm_unet_key as ldm_unet_key,
)
from latentpress.testing.ldm_names import (
    ldm_vae as ldm_vae,
)
from latentpress.testing.ldm_names import (
    open_clip as open_clip,
)
from latentpress.testing.ldm_names import (
    prefixed as prefixed,
)
from latentpress.testing.ldm_names import (
    single_file_state as single_file_state,
)
from latentpress.testing.ldm_names import (
    small_models as small_models,
)
from latentpress.testing.ldm_names import (
    stored as stored,
)
from latentpress.testing.ldm_names import (
    text_encoder as text_encoder,
)


def without(state: dict, *starts: str) -> dict:
    """`state` less the keys that start so."""
    return {key: value for key, value in state.items() if not key.startswith(starts)}


def renamed(state: dict, old: str, new: str) -> dict:
    """`state` with `old` in its keys replaced."""
    return {key.replace(old, new): value for key, value in state.items()}


def assert_same_weights(found: dict, model) -> None:
    """Bit for bit the model's weights, but for position ids and 1x1 kernels."""
    expected = {key: value for key, value in model.state_dict().items() if not key.endswith("position_ids")}
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        assert torch.equal(found[key].reshape(value.shape), value), key
