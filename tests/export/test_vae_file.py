"""A separate VAE, from a folder or a file in every naming, against the diffusers model whose weights it holds."""

import json

import pytest
import torch
from safetensors.torch import save_file

from latentpress.errors import CheckpointError
from latentpress.export.families.sd1 import SD1
from latentpress.export.families.sd2 import SD2
from latentpress.export.families.sdxl import SDXL
from latentpress.export.reading.vae_file import load_vae
from ldm_names import ldm_vae, prefixed, small_models, stored, without

OLD_ATTENTION = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}


@pytest.fixture(scope="module")
def vae():
    return small_models("sd1", vocabulary=1000)["vae"]


def old_names(state: dict) -> dict:
    """As diffusers named a VAE's attention before 0.13."""
    renamed = {}
    for key, value in state.items():
        for new, old in OLD_ATTENTION.items():
            key = key.replace(f"attentions.0.{new}.", f"attentions.0.{old}.")
        renamed[key] = value
    return renamed


def assert_same(found, vae) -> None:
    assert found.state_dict().keys() == vae.state_dict().keys()
    assert all(torch.equal(value, vae.state_dict()[key]) for key, value in found.state_dict().items())
    latents = torch.randn(1, 4, 4, 4, generator=torch.Generator().manual_seed(1))
    picture = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        torch.testing.assert_close(found.decode(latents).sample, vae.decode(latents).sample, atol=1e-5, rtol=1e-5)
        found, expected = (each.encode(picture).latent_dist.parameters for each in (found, vae))
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_files_in_every_naming(tmp_path, vae):
    files = {
        "ldm.safetensors": ldm_vae(vae),
        "within.safetensors": prefixed("first_stage_model.", ldm_vae(vae)),
        "diffusers.safetensors": vae.state_dict(),
        "old.safetensors": old_names(vae.state_dict()),
    }
    for name, state in files.items():
        save_file(stored(state), tmp_path / name)
        assert_same(load_vae(tmp_path / name, SD1), vae)
    # Stability's own files come from training: with a discriminator and averages beside the weights.
    beside = {"loss.discriminator.main.0.weight": torch.ones(2), "model_ema.decoderconv_inweight": torch.ones(2)}
    torch.save({"state_dict": {**ldm_vae(vae), **beside}, "global_step": 840000}, tmp_path / "trained.pt")
    assert_same(load_vae(tmp_path / "trained.pt", SD1), vae)


def test_a_file_takes_the_familys_scaling_and_a_folder_must_have_it(tmp_path, vae):
    save_file(stored(ldm_vae(vae)), tmp_path / "vae.safetensors")
    assert load_vae(tmp_path / "vae.safetensors", SD1).config.scaling_factor == 0.18215
    assert load_vae(tmp_path / "vae.safetensors", SDXL).config.scaling_factor == 0.13025
    vae.save_pretrained(tmp_path / "vae")
    assert_same(load_vae(tmp_path / "vae", SD2), vae)
    with pytest.raises(CheckpointError, match=r"vae: scales its latents by 0\.18215, SDXL by 0\.13025"):
        load_vae(tmp_path / "vae", SDXL)


def test_a_folder_of_an_old_diffusers(tmp_path, vae):
    vae.save_pretrained(tmp_path / "vae")
    config = json.loads((tmp_path / "vae/config.json").read_text())
    # Before 0.11 there was no scaling factor in it, and the weights were a torch file.
    kept = {key: value for key, value in config.items() if key != "scaling_factor"}
    (tmp_path / "vae/config.json").write_text(json.dumps(kept))
    (tmp_path / "vae/diffusion_pytorch_model.safetensors").unlink()
    torch.save(old_names(vae.state_dict()), tmp_path / "vae/diffusion_pytorch_model.bin")
    assert_same(load_vae(tmp_path / "vae", SD1), vae)


def test_what_is_no_vae_is_refused_in_one_sentence(tmp_path, vae):
    state = ldm_vae(vae)
    wide = {**state, "decoder.conv_in.weight": torch.ones(64, 16, 3, 3)}
    lacking = without(state, "decoder.mid.attn_1.q.weight")
    odd = {**state, "decoder.conv_out.weight": torch.ones(3, 9, 3, 3)}
    cases = {
        "other.safetensors": ({"weird": torch.ones(2)}, "it holds weird"),
        "flux.safetensors": (wide, "16 latent channels"),
        "lacking.safetensors": (lacking, "to_q.weight is missing"),
        "odd.safetensors": (odd, "size mismatch for decoder.conv_out.weight"),
    }
    for name, (content, says) in cases.items():
        save_file(stored(content), tmp_path / name)
        with pytest.raises(CheckpointError) as caught:
            load_vae(tmp_path / name, SD1)
        assert str(caught.value).startswith(f"{tmp_path / name}: ")
        assert says in str(caught.value)
        assert "\n" not in str(caught.value)
    (tmp_path / "folder").mkdir()
    with pytest.raises(CheckpointError, match=r"config\.json: cannot be read"):
        load_vae(tmp_path / "folder", SD1)
    (tmp_path / "folder/config.json").write_text(json.dumps({"_class_name": "AutoencoderTiny"}))
    with pytest.raises(CheckpointError, match="AutoencoderTiny"):
        load_vae(tmp_path / "folder", SD1)
    (tmp_path / "folder/config.json").write_text(json.dumps({"_class_name": "AutoencoderKL"}))
    with pytest.raises(CheckpointError, match="download the whole folder"):
        load_vae(tmp_path / "folder", SD1)
