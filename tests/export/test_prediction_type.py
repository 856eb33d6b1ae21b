"""What a single file's UNet predicts, from whatever says it."""

import diffusers
import pytest
import torch
from safetensors.torch import save_file

from latentpress.errors import CheckpointError
from latentpress.export.reading.checkpoint import load_components
from latentpress.export.reading.components import check_scheduler
from latentpress.export.reading.prediction import read_original_config
from latentpress.export.reading.single_file import open_single_file
from latentpress.testing.random_checkpoint import build_checkpoint
from ldm_names import single_file_state

# The relevant lines of Stability AI's v2-inference-v.yaml, comments and all.
PUBLISHED = """\
model:
  base_learning_rate: 1.0e-4
  target: ldm.models.diffusion.ddpm.LatentDiffusion
  params:
    parameterization: "v"
    linear_start: 0.00085
    monitor: val/loss_simple_ema
    use_ema: False # we set this to false because this is an inference only config

    unet_config:
      target: ldm.modules.diffusionmodules.openaimodel.UNetModel
      params:
        use_checkpoint: True
        attention_resolutions: [ 4, 2, 1 ]
        num_head_channels: 64 # need to fix for flash-attn
        use_linear_in_transformer: True
"""


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


def test_the_published_configuration_beside_a_file_is_read(tmp_path):
    (tmp_path / "model.yaml").write_text(PUBLISHED)
    said = read_original_config(tmp_path / "model.ckpt")
    assert said == {"parameterization": "v", "num_heads": None, "num_head_channels": 64}


@pytest.mark.parametrize("text", ["a: [", "a: 2001-99-99", "[" * 5000, "a: !!python/name:os.system ''", "a: \0"])
def test_a_configuration_that_cannot_be_read_is_refused(tmp_path, text):
    (tmp_path / "model.yaml").write_text(text)
    with pytest.raises(CheckpointError, match=r"model\.yaml: cannot be read as the checkpoint's configuration"):
        read_original_config(tmp_path / "model.safetensors")


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        (
            diffusers.FlowMatchEulerDiscreteScheduler,
            "FlowMatchEulerDiscreteScheduler, so the model is of flow matching",
        ),
        (diffusers.EDMEulerScheduler, "EDMEulerScheduler, so the model is of EDM preconditioning"),
        (diffusers.EDMDPMSolverMultistepScheduler, "EDMDPMSolverMultistepScheduler, so the model is of EDM"),
    ],
)
def test_a_scheduler_of_another_kind_of_model_is_refused(kind, says, tmp_path):
    build_checkpoint(tmp_path, width=8, size=16, hidden=16)
    kind().save_pretrained(tmp_path / "scheduler")
    with pytest.raises(CheckpointError, match=says):
        load_components(tmp_path)


def test_flow_sigmas_are_flow_matching(tmp_path):
    config = diffusers.DPMSolverMultistepScheduler(use_flow_sigmas=True).config
    with pytest.raises(CheckpointError, match="flow matching"):
        check_scheduler("here", config)
    check_scheduler("here", diffusers.DPMSolverMultistepScheduler().config)
