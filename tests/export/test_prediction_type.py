"""What a single file's UNet predicts, from whatever says it."""

import pytest
import torch
from safetensors.torch import save_file

from latentpress.errors import CheckpointError
from latentpress.export.reading.single_file import open_single_file
from ldm_names import single_file_state


def test_the_prediction_type_is_found_where_files_say_it(small, tmp_path):
    state = single_file_state("sd2", small["sd2"])
    path = tmp_path / "model.safetensors"

    def opened(metadata=None, tensors=state, **options):
        save_file(tensors, path, metadata)
        found = open_single_file(path, **options)
        return found.scheduler["prediction_type"], found.configs["unet"]["sample_size"]

    assert opened() == ("v_prediction", 96)
    assert opened(prediction_type="epsilon") == ("epsilon", 64)
    assert opened({"modelspec.prediction_type": "epsilon", "modelspec.resolution": "640x640"}) == ("epsilon", 80)
    assert opened(tensors=state | {"global_step": torch.tensor(875000)}) == ("epsilon", 64)
    telling = "model.diffusion_model.output_blocks.11.1.transformer_blocks.0.norm1.bias"
    assert opened(tensors=state | {telling: torch.tensor([0.0, 0.1])}) == ("epsilon", 64)
    assert opened(tensors=state | {telling: torch.tensor([0.0, 0.2])}) == ("v_prediction", 96)
    path.with_suffix(".yaml").write_text("model: {params: {unet_config: {params: {}}}}")
    assert opened() == ("epsilon", 64)
    path.with_suffix(".yaml").write_text("model: {params: {parameterization: v, unet_config: {params: {}}}}")
    assert opened(prediction_type=None) == ("v_prediction", 96)
    path.with_suffix(".yaml").write_text("a: [")
    with pytest.raises(CheckpointError, match=r"model\.yaml: cannot be read"):
        opened()
    path.with_suffix(".yaml").write_text("jobs: []")
    assert opened() == ("v_prediction", 96)
    with pytest.raises(CheckpointError, match="'flow' is unknown"):
        opened(prediction_type="flow")
    xl = single_file_state("sdxl", small["sdxl"])
    assert opened(tensors=xl) == ("epsilon", 128)
    marks = {"v_pred": torch.zeros(0), "ztsnr": torch.zeros(0)}
    assert opened(tensors=xl | marks) == ("v_prediction", 128)
    assert open_single_file(path).scheduler["rescale_betas_zero_snr"] is True
