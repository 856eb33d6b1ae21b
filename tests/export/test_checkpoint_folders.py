"""Folders as they lie on people's disks: variants, shards, caches, tokenizers in one file, pointers of Git LFS."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import CLIPTokenizer

from latentpress.errors import CheckpointError, LoraError, UsageError
from latentpress.export.families.sd1 import SD1
from latentpress.export.reading.checkpoint import load_components, source_sha256
from latentpress.export.reading.clip_versions import save_tokenizer
from latentpress.export.reading.vae_file import load_vae
from latentpress.export.source import Source, load_source
from latentpress.runtime.prompts.clip_tokenizer import ClipTokenizer
from latentpress.testing.corpus.folders import COMMIT, LFS_POINTER, write_as_transformers5, write_cache
from latentpress.testing.random_checkpoint import build_checkpoint
from ldm_names import ldm_vae, small_models, stored
from lora_files import kohya_state

UNET = "unet/diffusion_pytorch_model"
PROMPT = "a <birb> cat! <|endoftext|> 12 mice"


@pytest.fixture
def small(tmp_path):
    return build_checkpoint(tmp_path / "checkpoint", width=16, hidden=16, size=64)


def weight_of(parts):
    return parts.unet.conv_in.weight.detach().float()


def add_variant(folder, name, factor):
    """A variant of every part, its weights multiplied so that it can be told from the others."""
    for file in folder.glob("*/*.safetensors"):
        if file.name.count(".") == 1:
            state = {key: value * factor for key, value in load_file(file).items()}
            save_file(state, file.with_suffix(f".{name}.safetensors"))


def test_the_plain_weights_come_first_and_a_variant_is_named(small):
    plain = weight_of(load_components(small))
    add_variant(small, "fp16", 2)
    add_variant(small, "non_ema", 3)
    digest = source_sha256(small)
    assert torch.equal(weight_of(load_components(small)), plain)
    assert torch.equal(weight_of(load_components(small, "fp16")), plain * 2)
    assert torch.equal(weight_of(load_components(small, "non_ema")), plain * 3)
    assert source_sha256(small, "fp16") not in (digest, source_sha256(small, "non_ema"))
    factor = {"fp16": 2, "non_ema": 3}
    for variant, value in factor.items():
        found = load_vae(small / "vae", SD1, variant)
        assert torch.equal(found.post_quant_conv.bias, load_vae(small / "vae", SD1).post_quant_conv.bias * value)
    for file in small.glob("*/*model.safetensors"):
        file.unlink()
    for read in (load_components, lambda folder, *asked: load_vae(folder / "vae", SD1, *asked)):
        with pytest.raises(UsageError, match=r"several variants; name one of fp16, non_ema with --variant$"):
            read(small)
        with pytest.raises(UsageError, match=r"no variant 'bf16'; name one of fp16, non_ema with --variant$"):
            read(small, "bf16")
    assert torch.equal(weight_of(load_components(small, "fp16")), plain * 2)


def test_a_folders_hash_is_of_what_is_read(small):
    """A safety checker or another variant beside it makes no other checkpoint."""
    digest = source_sha256(small)
    add_variant(small, "fp16", 2)
    (small / "safety_checker").mkdir()
    (small / "safety_checker/model.safetensors").write_text(LFS_POINTER)
    assert source_sha256(small) == digest
    (small / "tokenizer/merges.txt").write_text("#version: 0.2\n")
    assert source_sha256(small) != digest


@pytest.mark.parametrize("family", ["sd1", "sdxl"])
def test_a_tokenizer_in_one_file_gives_the_ids_of_its_parts(tmp_path, family):
    """As transformers 5 saves it, added tokens and the second tokenizer's padding included."""
    build_checkpoint(tmp_path / "before", family=family, width=16, hidden=16)
    for folder in sorted((tmp_path / "before").glob("tokenizer*")):
        tokenizer = CLIPTokenizer.from_pretrained(folder)
        tokenizer.add_tokens(["<birb>"])
        tokenizer.save_pretrained(folder)
    before = load_components(tmp_path / "before")
    after = load_components(write_as_transformers5(tmp_path / "before"))
    for found, right in zip(after.texts, before.texts, strict=True):
        expected = right.tokenizer(PROMPT, padding="max_length").input_ids
        assert found.tokenizer(PROMPT, padding="max_length").input_ids == expected
        save_tokenizer(found.tokenizer, tmp_path / "bundle" / found.tokenizer_folder)
        ours = ClipTokenizer(tmp_path / "bundle" / found.tokenizer_folder)
        assert ours.encode(PROMPT) == right.tokenizer(PROMPT).input_ids[1:-1]
        assert (ours.eos_token_id, ours.pad_token_id) == (right.tokenizer.eos_token_id, right.tokenizer.pad_token_id)


def test_another_tokenizer_in_one_file_is_refused(small):
    write_as_transformers5(small)
    (small / "tokenizer/tokenizer.json").write_text(json.dumps({"model": {"type": "WordLevel", "vocab": {}}}))
    with pytest.raises(CheckpointError, match=r"tokenizer\.json: not a byte-pair tokenizer, as CLIP's is"):
        load_components(small)


def test_what_a_cache_holds_is_called_by_its_repository(tmp_path, small):
    """Never by a commit or a blob's hash, whichever way the path was written."""
    parts = load_components(small)
    lora = kohya_state("sd1", {"unet": parts.unet, "text_encoder": parts.texts[0].model})
    save_file(lora, small / "style.safetensors")
    vae = small_models("sd1", vocabulary=100)["vae"]
    save_file(stored(ldm_vae(vae)), small / "vae.safetensors")
    cached = write_cache(tmp_path / "hub", small, "someone/a-style")
    snapshot = cached / "snapshots" / COMMIT
    blob = (snapshot / "vae.safetensors").resolve()
    lora = (snapshot / "style.safetensors").resolve()
    for checkpoint, vae, called in (
        (cached, snapshot / "vae", "someone/a-style/vae"),
        (snapshot, snapshot / "vae.safetensors", "vae.safetensors"),
        (cached, blob, "vae.safetensors"),
    ):
        loaded = load_source(Source(checkpoint, vae, ((lora, 0.5),)))
        assert (loaded.name, loaded.vae.source) == ("someone/a-style", called)
        assert [each.source for each in loaded.loras] == ["style.safetensors"]
        assert COMMIT[:8] not in " ".join(loaded.notes)
        assert blob.name not in " ".join(loaded.notes)
    (cached / "refs/main").write_text("0" * 40)
    with pytest.raises(
        CheckpointError, match=r"a Hugging Face cache without main's snapshot \(it holds 451f4fe16113\)"
    ):
        load_source(Source(cached))


def test_a_torch_folder_is_read_without_a_word(small, capfd):
    for file in small.glob("*/*.safetensors"):
        stem = "pytorch_model" if file.stem == "model" else file.stem
        torch.save(load_file(file), file.with_name(f"{stem}.bin"))
        file.unlink()
    load_components(small)
    said = capfd.readouterr()
    assert "Error no file named" not in said.out + said.err


@pytest.mark.parametrize(
    "where", ["a VAE's file", "a VAE's folder", "a LoRA", "a checkpoint", "a torch file in a folder"]
)
def test_a_git_lfs_pointer_is_called_one(tmp_path, small, where):
    pointer = tmp_path / "model.safetensors"
    pointer.write_text(LFS_POINTER)
    source = {
        "a VAE's file": Source(small, pointer),
        "a VAE's folder": Source(small, small / "other"),
        "a LoRA": Source(small, None, ((pointer, 1.0),)),
        "a checkpoint": Source(pointer),
        "a torch file in a folder": Source(small),
    }[where]
    if where == "a VAE's folder":
        (small / "other").mkdir()
        (small / "other/config.json").write_bytes((small / "vae/config.json").read_bytes())
        (small / "other/diffusion_pytorch_model.bin").write_text(LFS_POINTER)
    if where == "a torch file in a folder":
        (small / f"{UNET}.safetensors").unlink()
        (small / f"{UNET}.bin").write_text(LFS_POINTER)
    with pytest.raises((CheckpointError, LoraError)) as caught:
        load_source(source)
    assert "a Git LFS pointer, not the file itself; run `git lfs pull` in its repository" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_shard_that_is_missing_or_elsewhere_is_named(tmp_path, small):
    index = small / f"{UNET}.safetensors.index.json"
    (small / f"{UNET}.safetensors").unlink()
    for name in ("diffusion_pytorch_model-00001-of-00002.safetensors", "../vae/config.json"):
        index.write_text(json.dumps({"weight_map": {"conv_in.weight": name}}))
        with pytest.raises(
            CheckpointError, match=r"is missing, and diffusion_pytorch_model\.safetensors\.index\.json lists"
        ):
            load_components(small)
    index.unlink()
    with pytest.raises(CheckpointError, match=r"unet: holds no weights \(\.safetensors or \.bin\)"):
        load_components(small)


def test_a_folder_of_single_files_and_a_whole_checkpoint_for_a_vae_are_told_the_way(tmp_path, small):
    (tmp_path / "repository").mkdir()
    (tmp_path / "repository/style.safetensors").write_bytes(b"")
    with pytest.raises(
        CheckpointError, match=r"has no model_index\.json, .*; give a file in it, e\.g\. .*/style\.safetensors"
    ):
        load_components(tmp_path / "repository")
    with pytest.raises(CheckpointError, match=r"a whole checkpoint, not a VAE; give the folder of its VAE, .*/vae$"):
        load_vae(small, SD1)
