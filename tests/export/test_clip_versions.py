"""Checkpoints and LoRAs of transformers 4 and 5, whichever of the two is installed."""

import json

import pytest
import torch
from torch import nn
from transformers import CLIPTokenizer

from latentpress.export.reading.clip_versions import module_names, save_tokenizer, text_model, weights_for
from latentpress.runtime.prompts.clip_tokenizer import ClipTokenizer
from latentpress.testing.words import write_tokenizer


class Inner(nn.Module):
    def __init__(self):
        super().__init__()
        self.embeddings, self.encoder, self.final_layer_norm = nn.Embedding(3, 4), nn.Linear(4, 4), nn.LayerNorm(4)


class Outer(nn.Module):
    def __init__(self):
        super().__init__()
        self.text_model, self.text_projection = Inner(), nn.Linear(4, 4, bias=False)


@pytest.mark.parametrize("model", [Inner(), Outer()], ids=["transformers 5", "transformers 4"])
@pytest.mark.parametrize("level", ["", "text_model."])
def test_weights_of_both_versions_fit_the_models_of_both(model, level):
    state = {level + key: torch.full_like(value, 2.0) for key, value in Inner().state_dict().items()}
    if isinstance(model, Outer):
        state["text_projection.weight"] = torch.full((4, 4), 2.0)
    model.load_state_dict(weights_for(model, state), strict=True)
    assert all(bool((value == 2).all()) for value in model.state_dict().values())
    assert isinstance(text_model(model), Inner)


@pytest.mark.parametrize("own", ["encoder.layers.0", "text_model.encoder.layers.0"])
def test_a_loras_names_of_both_versions_find_the_module(own):
    found = module_names({own})
    assert found == {"encoder.layers.0": own, "text_model.encoder.layers.0": own}


def test_a_tokenizer_saved_as_one_file_is_written_as_its_parts(tmp_path):
    """transformers 5 writes tokenizer.json alone: what this version's fast tokenizer writes beside its own files."""
    from transformers import CLIPTokenizerFast

    write_tokenizer(tmp_path / "given", max_length=77)

    class Whole:
        def save_pretrained(self, folder):
            CLIPTokenizerFast.from_pretrained(tmp_path / "given").save_pretrained(folder)
            for name in ("vocab.json", "merges.txt", "added_tokens.json"):
                (folder / name).unlink(missing_ok=True)
            config = json.loads((folder / "tokenizer_config.json").read_text())
            config.pop("added_tokens_decoder", None)
            (folder / "tokenizer_config.json").write_text(json.dumps(config))

    save_tokenizer(Whole(), tmp_path / "saved")
    found, right = ClipTokenizer(tmp_path / "saved"), ClipTokenizer(tmp_path / "given")
    text = "a red house, drawn by a mouse's friend 12"
    assert found.encode(text) == right.encode(text)
    assert found.encode(text) == CLIPTokenizer.from_pretrained(tmp_path / "saved")(text).input_ids[1:-1]
    assert (found.bos_token_id, found.eos_token_id, found.pad_token_id) == (
        right.bos_token_id,
        right.eos_token_id,
        right.pad_token_id,
    )
