"""Files that are not checkpoints, or hostile, damaged or of a model that cannot be exported, get one sentence each."""

import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from latentpress.errors import CheckpointError
from latentpress.export.reading.single_file import load_single_file, open_single_file
from ldm_names import (
    renamed,
    single_file_state,
    without,
)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda state: {"weird": torch.ones(2)}, "no known family (it holds weird)"),
        (lambda state: {"lora_unet_x.lora_up.weight": torch.ones(2, 2)}, "a LoRA, not a checkpoint"),
        (lambda state: without(state, "model.", "cond"), "a VAE, not a checkpoint"),
        (lambda state: without(state, "cond_stage_model."), "without its text encoder"),
        (lambda state: {**state, "model.diffusion_model.double_blocks.0.x": torch.ones(1)}, "a Flux checkpoint"),
        (lambda state: without(state, "model.diffusion_model.input_blocks.1.0.in_layers.2"), "is missing"),
        (lambda state: without(state, "model.diffusion_model.out.2."), "out.2.weight is missing"),
        (lambda state: without(state, "model.diffusion_model.middle_block.1."), "attends to no text"),
        (lambda state: renamed(state, "attn2.to_k", "attn2.to_kk"), "attends to no text"),
        (
            lambda state: (
                state | {"cond_stage_model.transformer.text_model.embeddings.token_embedding.weight": torch.ones(9, 64)}
            ),
            "knows 9 tokens, CLIP's tokenizer has 49408",
        ),
        (
            lambda state: state | {"model.diffusion_model.input_blocks.0.0.weight": torch.ones(64, 8, 3, 3)},
            "takes 8 channels (InstructPix2Pix)",
        ),
        (
            lambda state: state | {"model.diffusion_model.time_embed.0.weight": torch.ones(3, 3)},
            "size mismatch for time_embedding.linear_1.weight",
        ),
        (lambda state: without(state, "first_stage_model."), "holds no VAE; give one with --vae"),
    ],
)
def test_what_cannot_be_exported_is_refused_in_one_sentence(small, tmp_path, change, says):
    path = tmp_path / "bad.safetensors"
    save_file({key: value.half() for key, value in change(single_file_state("sd1", small["sd1"])).items()}, path)
    with pytest.raises(CheckpointError) as caught:
        load_single_file(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


class Hostile:
    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return (Path.touch, (self.mark,))


def test_hostile_and_damaged_files_are_refused_before_anything_in_them_counts(small, tmp_path):
    state, mark = single_file_state("sd1", small["sd1"]), tmp_path / "was-executed"
    torch.save({"state_dict": {**state, "x": Hostile(mark)}}, tmp_path / "hostile.ckpt")
    (tmp_path / "plain.ckpt").write_bytes(pickle.dumps({"state_dict": Hostile(mark)}, protocol=2))
    (tmp_path / "text.ckpt").write_text("<html>not found</html>")
    (tmp_path / "empty.safetensors").write_bytes(b"")
    torch.save([1, 2], tmp_path / "list.ckpt")
    torch.save({"state_dict": state}, tmp_path / "whole.ckpt")
    save_file(state, tmp_path / "whole.safetensors")
    for name in ("whole.ckpt", "whole.safetensors"):
        whole = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(whole[: len(whole) // 2])
    for name, says in {
        "hostile.ckpt": "it could run code, so nothing in it was loaded",
        "plain.ckpt": "it could run code, so nothing in it was loaded",
        "text.ckpt": "not a safetensors file",
        "empty.safetensors": "not a safetensors file",
        "list.ckpt": "holds a list",
        "whole.ckpt": "a torch file cut short",
        "whole.safetensors": "its header promises",
        "missing.ckpt": "cannot be read",
    }.items():
        with pytest.raises(CheckpointError) as caught:
            open_single_file(tmp_path / name)
        assert str(tmp_path / name) in str(caught.value)
        assert says in str(caught.value)
        assert "\n" not in str(caught.value)
    assert not mark.exists()
    pickle.loads((tmp_path / "plain.ckpt").read_bytes())
    assert mark.exists(), "the pickle is a hostile one"
