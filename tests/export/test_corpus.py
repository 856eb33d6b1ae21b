"""Every kind of file in the corpus is read, or refused in a sentence, as the table of docs/checkpoints.md says."""

import copy
import functools
import re
from pathlib import Path

import pytest
import torch

from concept_files import read_concept
from latentpress.bundle.info import TextEncoderInfo
from latentpress.errors import UsageError
from latentpress.export.families import family_named
from latentpress.export.reading.hub_cache import in_cache
from latentpress.export.reading.kinds import Asked, kind_of
from latentpress.export.reading.lone_unet import open_with_base
from latentpress.export.reading.vae_file import load_vae
from latentpress.testing.corpus import KINDS
from latentpress.testing.corpus.checkpoints import models_of
from latentpress.testing.corpus.concepts import vectors
from latentpress.testing.corpus.loras import LAYER, RATIO, SAME, matrices
from ldm_names import small_models
from lora_files import fuse_lora

PAGE = Path(__file__).resolve().parents[2] / "docs" / "checkpoints.md"


def read_checkpoint(path, kind):
    path = in_cache(path)
    if kind.base is None:
        parts = kind_of(path).open(path, Asked()).components()
    else:
        parts = open_with_base(path, kind.base(path.parent), Asked()).components()
    assert parts.family.name == kind.family
    found = {"unet": parts.unet, "vae": parts.vae, **{text.component: text.model for text in parts.texts}}
    for name, model in models_of(kind.family).items():
        assert_rounded(found[name], name, model, kind)


def read_vae(path, kind):
    assert_rounded(load_vae(path, family_named(kind.family)), "vae", models_of(kind.family)["vae"], kind)


def assert_rounded(found, name, model, kind):
    """The model's weights, rounded as the kind says and no further."""
    expected = {
        key: kind.rounding(name, key, value)
        for key, value in model.state_dict().items()
        if not key.endswith("position_ids")
    } | dict(kind.more.get(name, {}))
    assert found.state_dict().keys() == expected.keys()
    for key, value in found.state_dict().items():
        assert torch.equal(value.float(), expected[key]), f"{name}: {key}"


@functools.cache
def untouched(family):
    """Models that a LoRA is fused into copies of."""
    return small_models(family, vocabulary=1000)


def read_lora_file(path, kind):
    models = copy.deepcopy(untouched(kind.family))
    before = {name: model.state_dict() for name, model in untouched(kind.family).items()}
    assert fuse_lora(path, 1.0, models, family_named(kind.family)).layers > 0
    changed = [
        key
        for name, state in before.items()
        for key, value in state.items()
        if value is not None and not torch.equal(models[name].state_dict()[key].float(), value.float())
    ]
    assert changed, "a LoRA that changes nothing is not read"


def expected_changes(path, kind):
    """(the layer's weight before, after) the LoRA at `path` at a scale of 0.5."""
    models = copy.deepcopy(untouched(kind.family))
    weight = models["unet"].get_submodule(LAYER).weight
    before = weight.detach().clone()
    fuse_lora(path, 0.5, models, family_named(kind.family))
    return before, weight.detach()


@pytest.mark.parametrize("name", SAME)
def test_whoever_names_its_layers_a_lora_says_one_thing(name, tmp_path):
    before, after = expected_changes(SAME[name].build(tmp_path), SAME[name])
    down, up = matrices()
    torch.testing.assert_close(after, before + 0.5 * RATIO * up @ down, atol=1e-6, rtol=1e-6)


def read_concept_file(path, kind):
    models = models_of(kind.family)
    encoders = [
        TextEncoderInfo(
            component=name,
            tokenizer=name.replace("text_encoder", "tokenizer"),
            hidden_size=model.config.hidden_size,
            layers=2,
            pooled_size=None,
        )
        for name, model in models.items()
        if name.startswith("text_encoder")
    ]
    concept = read_concept(path, encoders=encoders)
    assert concept.token == kind.token
    for encoder in encoders:  # bit for bit
        expected = vectors(concept.count, encoder.hidden_size)
        assert torch.equal(torch.from_numpy(concept.vectors[encoder.component]), expected)


READERS = {"checkpoint": read_checkpoint, "vae": read_vae, "lora": read_lora_file, "concept": read_concept_file}


@pytest.mark.parametrize("name", KINDS)
def test_a_kind_is_read_or_refused_in_a_sentence(name, tmp_path):
    kind = KINDS[name]
    path = kind.build(tmp_path)
    if kind.refused is None:
        READERS[kind.argument](path, kind)
        return
    with pytest.raises(UsageError) as caught:
        READERS[kind.argument](path, kind)
    assert kind.refused in str(caught.value)
    assert str(caught.value).startswith(str(tmp_path))
    assert "\n" not in str(caught.value)


def test_the_table_lists_every_kind_and_says_whether_it_is_read():
    rows = re.findall(r"^\| `([\w.-]+)` \|[^|]*\| (yes|refused)\b", PAGE.read_text(), re.MULTILINE)
    assert dict(rows) == {name: "yes" if kind.refused is None else "refused" for name, kind in KINDS.items()}
