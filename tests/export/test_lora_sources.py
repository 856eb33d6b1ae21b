"""Where a LoRA lies and what is beside it: PEFT's adapters against PEFT, folders, other kinds of files, missing layers."""

import json
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file

from latentpress.cli import run_cli
from latentpress.errors import LoraError
from latentpress.export.families import family_named
from latentpress.export.lora import plan_lora
from latentpress.export.reading.lora_folder import lora_sha256
from latentpress.testing.corpus.loras import LORAS
from ldm_names import small_models
from lora_files import fuse_lora, lora_models

SCALE = 0.7


def saved_by_peft(folder, **options):
    """PEFT's folders of the UNet's and the text encoder's adapters; the models merged by PEFT at SCALE."""
    merged = {}
    for name, model in lora_models("sd1").items():
        targets = ["to_q", "to_out.0", "conv1"] if name == "unet" else ["q_proj", "fc1"]
        settings = {"r": 4, "lora_alpha": 3.0, "target_modules": targets, "init_lora_weights": False, **options}
        if name == "unet" and options.get("lora_bias"):
            settings["target_modules"] = ["to_out.0", "conv1"]  # the others have no bias to add to
        elif name == "unet":
            settings |= {"alpha_pattern": {"attn1.to_q": 9.0}, "rank_pattern": {"attn2.to_q": 2}}
        torch.manual_seed(3)
        wrapped = get_peft_model(model, LoraConfig(**settings))
        with torch.no_grad():
            for key, parameter in wrapped.named_parameters():
                if "magnitude" in key:
                    parameter.mul_(1 + 0.1 * torch.randn_like(parameter))
        wrapped.save_pretrained(folder / name)
        for module in wrapped.modules():
            if hasattr(module, "scale_layer"):
                module.scale_layer(SCALE)
        merged[name] = wrapped.merge_and_unload()
    return merged


# PEFT 0.21 takes a trained bias for a matrix cut short.
@pytest.mark.filterwarnings("ignore:Adapter .* have invalid shape")
@pytest.mark.parametrize("options", [{}, {"use_rslora": True}, {"use_dora": True}, {"lora_bias": True}], ids=str)
def test_pefts_folders_merge_as_peft_merges_them(tmp_path, options):
    merged = saved_by_peft(tmp_path, **options)
    ours = lora_models("sd1")
    fuse_lora(tmp_path, SCALE, ours, family_named("sd1"))
    before = lora_models("sd1")
    for name, model in ours.items():
        changed = 0
        for key, value in model.state_dict().items():
            torch.testing.assert_close(value, merged[name].state_dict()[key], atol=1e-6, rtol=1e-6)
            changed += not torch.equal(value, before[name].state_dict()[key])
        assert changed > 2


def test_one_adapter_is_read_alone_with_the_settings_beside_it(tmp_path):
    merged = saved_by_peft(tmp_path)
    for given in (tmp_path / "text_encoder", tmp_path / "text_encoder" / "adapter_model.safetensors"):
        ours = lora_models("sd1")
        fuse_lora(given, SCALE, ours, family_named("sd1"))
        for key, value in ours["text_encoder"].state_dict().items():
            torch.testing.assert_close(value, merged["text_encoder"].state_dict()[key], atol=1e-6, rtol=1e-6)
    other = json.loads((tmp_path / "text_encoder" / "adapter_config.json").read_text()) | {"lora_alpha": 5.0}
    first = lora_sha256(tmp_path / "text_encoder")
    (tmp_path / "text_encoder" / "adapter_config.json").write_text(json.dumps(other))
    assert lora_sha256(tmp_path / "text_encoder") != first, "its settings belong to what a bundle is made of"


def test_a_folder_that_does_not_say_which_is_refused(tmp_path):
    for name in ("one", "two"):
        save_file({"x": torch.ones(1)}, tmp_path / f"{name}.safetensors")
    with pytest.raises(LoraError, match=r"it has one.safetensors, two.safetensors; give the file itself"):
        plan_lora(tmp_path, 1.0, {}, family_named("sd1"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(LoraError, match=r"it has no pytorch_lora_weights.safetensors"):
        plan_lora(tmp_path / "empty", 1.0, {}, family_named("sd1"))


def test_a_folder_is_called_by_its_own_name_or_its_repositorys(tmp_path, monkeypatch):
    snapshot = tmp_path / "models--someone--style" / "snapshots" / ("1" * 40)
    snapshot.mkdir(parents=True)
    LORAS["lora-diffusers"].build(snapshot)
    models = small_models("sd1", vocabulary=1000)
    assert plan_lora(snapshot, 1.0, models, family_named("sd1")).record.source == "someone/style"
    (tmp_path / "style-2").mkdir()
    monkeypatch.chdir(tmp_path / "style-2")
    LORAS["lora-diffusers"].build(tmp_path / "style-2")
    assert plan_lora(Path(), 1.0, models, family_named("sd1")).record.source == "style-2"


def with_unknown(tmp_path) -> Path:
    """The corpus' LoRA with two layers that Stable Diffusion 1 lacks, and a key of no layer."""
    path = LORAS["lora-kohya"].build(tmp_path)
    state = load_file(path)
    for name in ("lora_unet_down_blocks_9_x", "lora_te_text_model_encoder_layers_40_mlp_fc1"):
        state |= {f"{name}.lora_down.weight": torch.ones(2, 4), f"{name}.lora_up.weight": torch.ones(4, 2)}
    save_file(state | {"something.else": torch.ones(2)}, path)
    return path


def test_missing_layers_are_an_error_or_left_out(tmp_path):
    path = with_unknown(tmp_path)
    models = small_models("sd1", vocabulary=1000)
    with pytest.raises(
        LoraError, match=r"something.else is not part of a LoRA.*\(--lora-missing ignore fuses the rest\)"
    ):
        plan_lora(path, 1.0, models, family_named("sd1"))
    fusing = plan_lora(path, 1.0, models, family_named("sd1"), "ignore")
    assert fusing.record.layers == 1
    (note,) = fusing.notes
    assert note.startswith("lora style.safetensors: 3 layers or keys left out, first something.else")
    # A LoRA of which nothing fits is still refused, and its family named.
    with pytest.raises(LoraError, match="a LoRA for Flux, the checkpoint is Stable Diffusion 1"):
        plan_lora(LORAS["lora-flux"].build(tmp_path), 1.0, models, family_named("sd1"), "ignore")


def test_textual_inversions_beside_a_lora_are_named(tmp_path):
    path = LORAS["lora-onetrainer-bundle"].build(tmp_path)
    fusing = plan_lora(path, 1.0, small_models("sd1", vocabulary=1000), family_named("sd1"))
    assert ["my-cat" in note and "--concept" in note for note in fusing.notes] == [True]


def test_the_options_value_is_checked_before_anything_is_read(tmp_path, capsys):
    assert run_cli(["export", str(tmp_path), "-o", str(tmp_path / "b"), "--lora-missing", "maybe"]) != 0
    assert "--lora-missing 'maybe' is unknown; it must be one of error, ignore" in capsys.readouterr().err
