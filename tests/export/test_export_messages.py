"""Wrong things to export, through the real command line: one sentence, exit code 2, and nothing published."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from latentpress.testing.random_checkpoint import build_checkpoint
from ldm_names import ldm_vae, single_file_state, small_models, stored
from single_files import export

WIDE = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn2_to_k"


class Hostile:
    def __reduce__(self):
        return (Path.touch, (Path("executed"),))


@pytest.fixture(scope="module")
def state(small):
    return single_file_state("sd1", small["sd1"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory, state):
    """Files that are wrong, each in its way, and a whole checkpoint."""
    folder = tmp_path_factory.mktemp("wrong")
    save_file(state, folder / "model.safetensors")
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "cut.safetensors").write_bytes(whole[: len(whole) // 2])
    torch.save({"state_dict": {**state, "x": Hostile()}}, folder / "hostile.ckpt")
    large = "cond_stage_model.transformer.text_model.encoder.layers.0.mlp.fc1.weight"
    save_file({**state, large: state[large] * 1e6}, folder / "large.safetensors")  # finite, but not in float16
    torch.save({"<x>": Hostile()}, folder / "hostile.bin")
    build_checkpoint(folder / "cut", width=16, hidden=16, size=64)
    with (folder / "cut/unet/diffusion_pytorch_model.safetensors").open("r+b") as weights:
        weights.truncate(5000)
    (folder / "notes.txt").write_text("dear diary")
    (folder / "empty").mkdir()
    lora = {f"{WIDE}.lora_down.weight": torch.ones(4, 2048), f"{WIDE}.lora_up.weight": torch.ones(128, 4)}
    save_file(lora, folder / "xl.safetensors")
    save_file(stored(ldm_vae(small_models("sd1", vocabulary=9)["vae"])), folder / "vae.safetensors")
    save_file({"<x>": torch.ones(1024)}, folder / "wide.safetensors")
    flux = {"double_blocks.0.img_attn.proj.weight": torch.ones(2, 2)}
    save_file(flux, folder / "flux.safetensors")
    return folder


CASES = {
    "missing": (["nowhere.safetensors"], "nowhere.safetensors: no such file or folder; give a checkpoint's folder"),
    "no checkpoint": (["notes.txt"], "notes.txt: not a safetensors file, or cut short"),
    "an empty folder": (["empty"], "model_index.json: cannot be read"),
    "cut short": (["cut.safetensors"], "its header promises"),
    "a folder cut short": (
        ["cut"],
        "cut/unet/diffusion_pytorch_model.safetensors: not a safetensors file, or cut short",
    ),
    "hostile": (["hostile.ckpt"], "it could run code, so nothing in it was loaded"),
    "another kind": (
        ["flux.safetensors"],
        "flux.safetensors: a Flux checkpoint, not a Stable Diffusion checkpoint;",
    ),
    "a LoRA": (["xl.safetensors"], "a LoRA, not a checkpoint; give it to `latentpress export` with --lora"),
    "a VAE": (["vae.safetensors"], "a VAE, not a checkpoint; give it to `latentpress export` with --vae"),
    "unknown family": (
        ["model.safetensors", "--family", "sd4"],
        "--family 'sd4' is unknown; it must be one of sd1, sd2, sdxl, sdxl_refiner",
    ),
    "another family": (["model.safetensors", "--family", "sdxl"], "is Stable Diffusion 1, not SDXL"),
    "unknown prediction": (["model.safetensors", "--prediction-type", "flow"], "must be one of epsilon, v_prediction"),
    "a LoRA for another family": (
        ["model.safetensors", "--lora", "xl.safetensors:0.5"],
        "xl.safetensors: a LoRA for SDXL, the checkpoint is Stable Diffusion 1",
    ),
    "a missing LoRA": (
        ["model.safetensors", "--lora", "gone.safetensors:0.5"],
        "gone.safetensors: no such file; check the path (a scale is written FILE:0.8)",
    ),
    "a scale": (["model.safetensors", "--lora", "xl.safetensors:nan"], "the scale nan is not a number to fuse at"),
    "a cut LoRA": (["model.safetensors", "--lora", "cut.safetensors"], "cut.safetensors"),
    "a hostile LoRA": (["model.safetensors", "--lora", "hostile.ckpt"], "it could run code"),
    "no VAE": (
        ["model.safetensors", "--vae", "xl.safetensors"],
        "xl.safetensors: a LoRA, not a VAE; give it to",
    ),
    "a missing VAE": (["model.safetensors", "--vae", "gone"], "gone: cannot be read"),
    "a hostile VAE": (["model.safetensors", "--vae", "hostile.ckpt"], "it could run code"),
    "a cut concept": (["model.safetensors", "--concept", "cut.safetensors"], "cut.safetensors: "),
    "a hostile concept": (["model.safetensors", "--concept", "hostile.bin"], "hostile.bin: "),
    "an overflow": (
        ["large.safetensors", "--precision", "fp16"],
        "layers.0.mlp.fc1 becomes NaN or infinite in fp16; nothing was published: export with --precision bf16 or fp32",
    ),
    "a concept too wide": (
        ["model.safetensors", "--concept", "wide.safetensors"],
        "wide.safetensors: <x> is 1024 wide, as concepts for Stable Diffusion 2 are, the text encoder 64; use a concept",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_one_sentence_and_nothing_published(case, folder, monkeypatch, capsys):
    arguments, says = CASES[case]
    monkeypatch.chdir(folder)
    before = sorted(folder.rglob("*"))
    assert export(*arguments, "-o", "bundle") == 2
    said = capsys.readouterr().err
    assert says in said
    assert said.startswith("error: ")
    assert said.count("\n") == 1
    assert "Traceback" not in said
    assert sorted(folder.rglob("*")) == before


def test_a_token_claimed_twice_is_told_before_anything_is_traced(folder, tmp_path, monkeypatch, capsys):
    def traced(*arguments):
        raise AssertionError("minutes of tracing")

    monkeypatch.setattr("latentpress.export.pipeline.build_graphs", traced)
    files = [tmp_path / "one.safetensors", tmp_path / "two.safetensors"]
    for file in files:
        save_file({"<x>": torch.zeros(64)}, file)
    given = [part for file in files for part in ("--concept", str(file))]
    assert export(str(folder / "model.safetensors"), *given, "-o", str(tmp_path / "bundle")) == 2
    assert f"{files[1]}: token <x> is claimed by {files[0]} too" in capsys.readouterr().err
