"""The content of a bundle: what it records is what its files hold, concepts change no part, older bundles are computed."""

import inspect
import json
import shutil
import tarfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from latentpress.bundle import content
from latentpress.bundle.content import DECODER, SCHEDULE, parts_in, parts_of
from latentpress.bundle.info import file_sha256, open_bundle
from latentpress.cli import run_cli
from latentpress.errors import BundleError
from latentpress.export.concepts import add_concepts
from latentpress.models import facts_of
from latentpress.runtime.sampling import schedule
from latentpress.runtime.sampling.samplers import BASES, SIGMA_OPTIONS
from latentpress.runtime.sampling.solvers import SolverCache

ARCHIVE = Path(__file__).parent.parent / "data" / "bundle-format-2.tar.xz"


@pytest.fixture
def old(tmp_path):
    """A bundle of format 2, which records no content."""
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path / "bundle"


@pytest.fixture
def graphs_read(monkeypatch):
    """The names of the graphs whose content is computed from now on."""
    from latentpress.bundle import graph_content

    read = []
    real = graph_content.graph_content
    monkeypatch.setattr(
        graph_content, "graph_content", lambda path, without=(): read.append(path.name) or real(path, without)
    )
    return read


def copy_of(bundle, path):
    shutil.copytree(bundle.path, path)
    return path


def test_what_an_export_records_is_what_its_files_hold(bundle, graphs_read):
    recorded = bundle.info.content
    assert recorded.keys() == {
        *("text_encoder", "unet", "vae_encoder", "vae_decoder", "tokenizer", "loss_decoder", "settings")
    }
    assert len(set(recorded.values())) == 7
    assert parts_of(bundle) == recorded
    assert not graphs_read, "asking costs no reading of weights"
    assert parts_in(bundle.path, bundle.info) == recorded
    assert len(graphs_read) == 4


def untaught(path):
    """The bundle at `path` as it was before its concepts, undone by hand: their rows and tokens taken out."""
    import onnx
    from onnx import numpy_helper

    data = json.loads((path / "bundle.json").read_text())
    first = min(index for concept in data["concepts"] for index in concept["token_ids"])
    model = onnx.load(path / "text_encoder.onnx")
    (table,) = [each for each in model.graph.initializer if each.dims and each.dims[0] > first]
    table.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(table)[:first], table.name))
    onnx.save(model, path / "text_encoder.onnx")
    config = json.loads((path / "tokenizer/tokenizer_config.json").read_text())
    added = config["added_tokens_decoder"]
    config["added_tokens_decoder"] = {key: entry for key, entry in added.items() if int(key) < first}
    (path / "tokenizer/tokenizer_config.json").write_text(json.dumps(config))
    (path / "concepts.safetensors").unlink()
    del data["files"]["concepts.safetensors"]
    data["concepts"] = []
    data["files"] = {name: file_sha256(path / name) for name in data["files"]}
    (path / "bundle.json").write_text(json.dumps(data))
    return open_bundle(path)


def test_a_concept_changes_no_part(old, tmp_path):
    parts = parts_of(open_bundle(old))
    plain = untaught(old)
    assert not plain.info.concepts
    assert parts_of(plain) == parts
    torch.save({"<mine>": torch.ones(3, 16)}, tmp_path / "mine.bin")
    torch.save({"a": torch.ones(16)}, tmp_path / "word.bin")
    add_concepts(old, {"<mine>": tmp_path / "mine.bin", "a": tmp_path / "word.bin"})
    taught = open_bundle(old)
    assert [concept.token for concept in taught.info.concepts] == ["<mine>", "a"]
    changed = {name for name in plain.info.files if taught.info.files[name] != plain.info.files[name]}
    assert {"text_encoder.onnx", "tokenizer/tokenizer_config.json"} <= changed
    assert parts_of(taught) == parts


def test_a_concept_added_keeps_what_the_export_recorded(bundle, tmp_path):
    path = copy_of(bundle, tmp_path / "bundle")
    torch.save({"<mine>": torch.ones(64)}, tmp_path / "mine.bin")
    add_concepts(path, [tmp_path / "mine.bin"])
    taught = open_bundle(path)
    assert taught.hash != bundle.hash
    assert taught.info.content == bundle.info.content == parts_in(path, taught.info)


def test_tensors_in_a_file_of_their_own_are_the_same_content(bundle, tmp_path):
    import onnx

    path = copy_of(bundle, tmp_path / "bundle")
    model = onnx.load(path / "unet.onnx")
    onnx.save(model, path / "unet.onnx", save_as_external_data=True, location="unet.onnx.data", size_threshold=64)
    assert (path / "unet.onnx.data").stat().st_size > (path / "unet.onnx").stat().st_size
    names = [*bundle.info.files, "unet.onnx.data"]
    info = bundle.info.model_copy(update={"files": {name: file_sha256(path / name) for name in names}})
    assert parts_in(path, info) == bundle.info.content


def test_an_older_bundle_is_computed_once(old, tmp_path, graphs_read):
    opened = open_bundle(old, verify=False, cache=tmp_path / "cache")
    facts = facts_of({"old": opened})["old"]
    assert len(graphs_read) == 4
    assert facts.parts == parts_in(old, opened.info)
    graphs_read.clear()
    shutil.copytree(old, tmp_path / "moved")
    again = facts_of({"old": open_bundle(tmp_path / "moved", verify=False, cache=tmp_path / "cache")})["old"]
    assert (again.content, again.parts, again.source) == (facts.content, facts.parts, facts.source)
    assert not graphs_read
    torch.save({"<new>": torch.ones(16)}, tmp_path / "new.bin")
    add_concepts(old, [tmp_path / "new.bin"])
    taught = facts_of({"old": open_bundle(old, verify=False, cache=tmp_path / "cache")})["old"]
    assert graphs_read == ["text_encoder.onnx"]
    assert taught.parts == facts.parts
    assert taught.hash != facts.hash


def test_a_cache_that_cannot_be_used_costs_time_only(old, tmp_path):
    expected = parts_of(open_bundle(old))
    (tmp_path / "file").write_text("in the way")
    assert parts_of(open_bundle(old, cache=tmp_path / "file")) == expected
    assert parts_of(open_bundle(old, cache=tmp_path / "cache")) == expected
    for file in (tmp_path / "cache" / "content").iterdir():
        file.write_text("torn")
    assert parts_of(open_bundle(old, cache=tmp_path / "cache")) == expected


def test_a_damaged_older_bundle_has_no_content(old, tmp_path):
    data = bytearray((old / "unet.onnx").read_bytes())
    data[-1000] ^= 1
    (old / "unet.onnx").write_bytes(data)
    with pytest.raises(BundleError, match=r"unet\.onnx: sha256 is "):
        parts_of(open_bundle(old, verify=False, cache=tmp_path / "cache"))
    assert not (tmp_path / "cache" / "content").exists()


def test_the_same_vectors_are_the_same_concept_in_any_file(old, tmp_path):
    vectors = torch.randn(2, 16, generator=torch.Generator().manual_seed(1))
    torch.save({"<bin>": vectors}, tmp_path / "a.bin")
    save_file({"emb_params": vectors}, tmp_path / "b.safetensors")
    torch.save({"<other>": torch.nextafter(vectors, vectors + 1)}, tmp_path / "c.bin")
    add_concepts(old, {"<bin>": tmp_path / "a.bin", "<st>": tmp_path / "b.safetensors", "<other>": tmp_path / "c.bin"})
    facts = facts_of({"old": open_bundle(old)})["old"]
    assert facts.vectors["<bin>"] == facts.vectors["<st>"]
    assert facts.concepts["<bin>"] != facts.concepts["<st>"]
    assert len({facts.vectors[token] for token in ("<old>", "<bin>", "<other>")}) == 3
    assert list(facts.vectors) == ["<old>", "<bin>", "<st>", "<other>"]
    assert "<absent>" not in facts.vectors


def test_vectors_that_a_bundle_lacks_are_named_by_their_file(old):
    (old / "concepts.safetensors").unlink()
    data = json.loads((old / "bundle.json").read_text())
    del data["files"]["concepts.safetensors"]
    (old / "bundle.json").write_text(json.dumps(data))
    facts = facts_of({"old": open_bundle(old)})["old"]
    assert dict(facts.vectors) == dict(facts.concepts)


def test_vectors_are_read_when_they_are_asked_for(old):
    facts = facts_of({"old": open_bundle(old)})["old"]
    (old / "concepts.safetensors").write_bytes(b"damaged")
    with pytest.raises(BundleError, match=r"concepts\.safetensors: cannot be read .*; export the bundle again"):
        facts.vectors["<old>"]


class Watched(Mapping):
    """A scheduler's configuration that keeps the keys it was asked for."""

    def __init__(self, data):
        self.data, self.asked = data, set()

    def __getitem__(self, key):
        self.asked.add(key)
        return self.data[key]

    def __iter__(self):
        raise AssertionError("all of a configuration is read")

    __len__ = __iter__


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction"])
def test_all_that_sampling_reads_of_a_scheduler_counts(prediction_type, bundle):
    config = Watched({"prediction_type": prediction_type, "rescale_betas_zero_snr": prediction_type != "epsilon"})
    solvers = SolverCache(schedule.noise_schedule(config))
    for base in BASES.values():
        names = [base.name, *(f"{base.name}_{option}" for option in SIGMA_OPTIONS if base.sigmas)]
        for name in names:
            solvers.table(name, 4)
    only = set(schedule._ONLY)
    assert config.asked - only == SCHEDULE.keys()


def info_with(bundle, **changes):
    return bundle.info.model_copy(update=changes)


def test_settings_hold_what_is_read_and_nothing_else(bundle):
    def settings(info):
        return content.json_sha256(content._settings(info))

    plain, scheduler = settings(bundle.info), bundle.info.scheduler
    idle = {"_diffusers_version": "9.9", "clip_sample": True, "variance_type": "fixed_small", "a_new_key": 1}
    same = {
        "scheduler": {**scheduler, **idle, "num_train_timesteps": 1000.0, "timestep_scaling": 10},
        "name": "other",
        "parity": [],
        "versions": {},
        "vae_config": {},
        "concepts": [],
        "default_size": (8, 8),
        "engine": "openvino",
    }
    for name, value in same.items():
        assert settings(info_with(bundle, **{name: value})) == plain, name
    others = [
        {**scheduler, "steps_offset": 7},
        {**scheduler, "beta_end": 0.02},
        {**scheduler, "set_alpha_to_one": True},
    ]
    counting = [*({"scheduler": other} for other in others), {"scaling_factor": 0.2}, {"unet_in_channels": 9}]
    assert len({plain, *(settings(info_with(bundle, **each)) for each in counting)}) == 1 + len(counting)


def test_the_loss_decoder_is_of_diffusers_defaults(bundle):
    """A key of the decoder that an older diffusers did not write is what AutoencoderKL takes for it."""
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

    defaults = {name: value.default for name, value in inspect.signature(AutoencoderKL.__init__).parameters.items()}
    for key, value in DECODER.items():
        assert np.array_equal(defaults[key], value), key
    config = dict(bundle.info.vae_config)
    del config["mid_block_add_attention"]
    assert bundle.info.vae_config["mid_block_add_attention"] is True
    for other, equal in (
        (config, True),
        (config | {"force_upcast": False}, True),
        (config | {"act_fn": "relu"}, False),
    ):
        parts = parts_in(bundle.path, info_with(bundle, vae_config=other))
        assert (parts == bundle.info.content) is equal


def test_inspect_shows_it(bundle, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("LATENTPRESS_CACHE", str(tmp_path))
    assert run_cli(["inspect", str(bundle.path)]) == 0
    facts = facts_of({"b": bundle})["b"]
    assert f"{bundle.hash[:12]}, content {facts.content[:12]}\n" in capsys.readouterr().out
    assert run_cli(["inspect", str(bundle.path), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["content"], shown["parts"]) == (facts.content, dict(facts.parts))
