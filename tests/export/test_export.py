"""Export against torch and diffusers: parity, concepts, and refusals that publish nothing."""

import pickle
import shutil
import subprocess
import sys
import zipfile

import numpy as np
import onnxruntime
import pytest
import torch

from latentpress.bundle.info import open_bundle
from latentpress.errors import CheckpointError, ConceptError, ParityError, UsageError
from latentpress.export import export_bundle
from latentpress.export.concepts import add_concepts
from latentpress.runtime.prompts.tokens import PromptTokenizer
from traces import shared_traces


def test_the_parity_table_covers_every_component_within_its_bound(bundle):
    assert {row.component for row in bundle.info.parity} == {"text_encoder", "unet", "vae_encoder", "vae_decoder"}
    assert all(row.relative <= row.bound for row in bundle.info.parity)


def test_the_unet_takes_a_timestep_for_each_row(bundle, reference_pipeline):
    generator = torch.Generator().manual_seed(5)
    sample = torch.randn(3, 4, 12, 8, generator=generator)
    timestep = torch.tensor([3.0, 512.25, 999.0])
    hidden = torch.randn(3, 77, bundle.info.cross_attention_dim, generator=generator)
    with torch.no_grad():
        expected = reference_pipeline.unet(sample, timestep, hidden).sample.numpy()
    session = onnxruntime.InferenceSession(str(bundle.file("unet.onnx")))
    inputs = {"sample": sample, "timestep": timestep, "encoder_hidden_states": hidden}
    (found,) = session.run(None, {name: value.numpy() for name, value in inputs.items()})
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_baked_concepts_encode_as_diffusers_encodes_them(bundle, reference_pipeline):
    session = onnxruntime.InferenceSession(str(bundle.file("text_encoder.onnx")))
    tokenizer = PromptTokenizer(bundle)
    pipeline = reference_pipeline
    for concept in bundle.info.concepts:
        prompt = f"a mouse in the style of {concept.token} at night"
        rewritten = pipeline.maybe_convert_prompt(prompt, pipeline.tokenizer)
        ids = pipeline.tokenizer(rewritten, padding="max_length", max_length=77, return_tensors="pt").input_ids
        with torch.no_grad():
            expected = pipeline.text_encoder(ids)[0].numpy()
        (found,) = session.run(None, {"input_ids": tokenizer.ids(prompt)[None]})
        np.testing.assert_allclose(found[:, 0], expected, atol=1e-4)


def test_concepts_are_added_without_torch_and_equal_an_export_with_them(assets, tmp_path):
    files = sorted((assets / "concepts").glob("*.bin"))
    with shared_traces():
        export_bundle(assets / "checkpoint", tmp_path / "bare", [])
        export_bundle(assets / "checkpoint", tmp_path / "with", files)
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from pathlib import Path\n"
        "from latentpress.export.concepts import add_concepts\n"
        "add_concepts(Path(sys.argv[1]), [Path(name) for name in sys.argv[2:]])\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "bare"), *map(str, files)], check=True)
    ids = np.arange(77)[None] + open_bundle(tmp_path / "with").info.concepts[-1].token_ids[-1] - 76
    outputs = [
        onnxruntime.InferenceSession(str(tmp_path / name / "text_encoder.onnx")).run(None, {"input_ids": ids})[0]
        for name in ("bare", "with")
    ]
    np.testing.assert_array_equal(*outputs)
    assert open_bundle(tmp_path / "bare").concept_ids == open_bundle(tmp_path / "with").concept_ids


def test_a_concept_is_claimed_once(assets, tmp_path):
    copy = shutil.copytree(assets / "bundle", tmp_path / "bundle")
    torch.save({"<line-art>": torch.ones(64)}, tmp_path / "again.bin")
    with pytest.raises(ConceptError, match="<line-art>"):
        add_concepts(copy, [tmp_path / "again.bin"])
    open_bundle(copy)


class Hostile:
    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return (open, (str(self.mark), "w"))


def test_a_hostile_pickle_is_not_executed(assets, tmp_path):
    copy = shutil.copytree(assets / "bundle", tmp_path / "bundle")
    mark = tmp_path / "was-executed"
    with zipfile.ZipFile(tmp_path / "hostile.bin", "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({"<x>": Hostile(mark)}))
        archive.writestr("archive/version", "3\n")
    (tmp_path / "plain.bin").write_bytes(pickle.dumps({"<x>": Hostile(mark)}))
    for name in ("hostile.bin", "plain.bin"):
        with pytest.raises(ConceptError, match=name):
            add_concepts(copy, [tmp_path / name])
    assert not mark.exists()
    pickle.loads((tmp_path / "plain.bin").read_bytes())["<x>"].close()
    assert mark.exists(), "the pickle is a hostile one"


def test_a_truncated_checkpoint_publishes_nothing(assets, tmp_path):
    source = shutil.copytree(assets / "checkpoint", tmp_path / "checkpoint")
    (weights,) = (source / "unet").glob("*.safetensors")
    with weights.open("r+b") as stream:
        stream.truncate(5000)
    with pytest.raises(CheckpointError, match="unet"):
        export_bundle(source, tmp_path / "bundle", [])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint"]


def test_a_graph_that_disagrees_publishes_nothing(assets, tmp_path, monkeypatch):
    from latentpress.export.graphs import parity

    original = onnxruntime.InferenceSession.run

    def shifted(self, *arguments, **options):
        return [output + 1.0 for output in original(self, *arguments, **options)]

    assert parity
    monkeypatch.setattr(onnxruntime.InferenceSession, "run", shifted)
    with shared_traces(), pytest.raises(ParityError, match="text_encoder"):
        export_bundle(assets / "checkpoint", tmp_path / "bundle", [])
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_no_bundle_is_not_replaced(assets, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/diary.txt").write_text("dear diary")
    with pytest.raises(UsageError, match="mine"):
        export_bundle(assets / "checkpoint", tmp_path / "mine", [])
    assert (tmp_path / "mine/diary.txt").exists()
