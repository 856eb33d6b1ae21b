"""Whole exports by names on a hub, through the command line: from the fake hub, and then without it."""

import json
import shutil

import pytest
from diffusers import UNet2DConditionModel
from huggingface_hub import constants, file_download
from huggingface_hub.utils import reset_sessions
from safetensors.torch import save_file
from transformers import CLIPTextModel

from fake_hub import FakeHub, Repository, serving
from latentpress.bundle.info import file_sha256, open_bundle
from latentpress.cli import run_cli
from latentpress.export.reading.checkpoint import source_sha256
from latentpress.testing.corpus.folders import LFS_POINTER
from lora_files import kohya_state
from single_files import export

COMMITS = {
    f"someone/{name}": digit * 40
    for name, digit in {"model": "1", "lora": "2", "a-style": "3", "line": "4", "gated": "5", "pointer": "6"}.items()
}
OPTIONS = ["--lora", "someone/lora:file.safetensors:0.8", "--vae", "someone/model", "--concept", "someone/a-style"]
OPTIONS += ["--concept", "<tok>=someone/a-style"]


@pytest.fixture(scope="module")
def content(assets, tmp_path_factory):
    """Folders of repositories. The LoRA changes the text encoder alone: the other graphs are those that all tests share."""
    folder = tmp_path_factory.mktemp("content")
    shutil.copytree(assets / "checkpoint", folder / "model")
    shutil.copytree(folder / "model", folder / "pointer")
    (folder / "pointer/unet/diffusion_pytorch_model.safetensors").write_text(LFS_POINTER)
    for name in ("lora", "a-style", "line"):
        (folder / name).mkdir()
    models = {
        "unet": UNet2DConditionModel.from_pretrained(folder / "model/unet"),
        "text_encoder": CLIPTextModel.from_pretrained(folder / "model/text_encoder"),
    }
    state = {key: value for key, value in kohya_state("sd1", models).items() if key.startswith("lora_te")}
    save_file(state, folder / "lora/file.safetensors")
    save_file(state, folder / "lora/another.safetensors")
    first, second, *_ = sorted((assets / "concepts").iterdir())
    shutil.copy(first, folder / "a-style/learned_embeds.bin")
    shutil.copy(second, folder / "line/learned_embeds.bin")
    return folder


@pytest.fixture
def hub(content, tmp_path, monkeypatch):
    repositories = {
        name: Repository(content / name.partition("/")[2], commit)
        for name, commit in COMMITS.items()
        if name != "someone/gated"
    }
    repositories["someone/gated"] = Repository(content / "model", COMMITS["someone/gated"], gated=True)
    with serving(FakeHub(repositories)) as hub:
        # What huggingface_hub has read from HF_ENDPOINT and HF_HOME when it was imported.
        monkeypatch.setattr(constants, "ENDPOINT", hub.address)
        template = hub.address + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(file_download, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "home/hub"))
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "home/token"))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        reset_sessions()  # those made before are offline
        monkeypatch.delenv("HF_TOKEN", raising=False)
        monkeypatch.chdir(tmp_path)
        yield hub
    reset_sessions()


def test_everything_by_its_name_and_again_without_the_hub(hub, content, assets, capsys):
    assert export("someone/model", *OPTIONS, "-o", "first") == 0
    said = capsys.readouterr().out
    for name in ("model", "lora", "a-style"):
        assert said.count(f"someone/{name}: downloading into the Hugging Face cache\n") == 1
    info = open_bundle("first").info
    assert info.name == "someone/model"
    assert info.source_sha256 == source_sha256(assets / "checkpoint")
    assert info.vae.source == "someone/model/vae"
    (lora,) = info.loras
    expected = ("file.safetensors", 0.8, file_sha256(content / "lora/file.safetensors"))
    assert (lora.source, lora.scale, lora.sha256) == expected
    assert info.concepts[1].token == "<tok>"
    assert {concept.sha256 for concept in info.concepts} == {file_sha256(content / "a-style/learned_embeds.bin")}
    assert info.revisions == {name: COMMITS[name] for name in ("someone/model", "someone/lora", "someone/a-style")}
    assert run_cli(["inspect", "first"]) == 0
    shown = ", ".join(f"{name}@{commit}" for name, commit in sorted(info.revisions.items()))
    assert f"from the hub: {shown}\n" in capsys.readouterr().out

    hub.down = True
    assert export("someone/model", *OPTIONS, "-o", "second") == 0
    assert "downloading" not in capsys.readouterr().out
    assert open_bundle("second").hash == open_bundle("first").hash


def test_a_concept_of_the_hub_is_added_and_its_commit_kept(hub, assets, tmp_path):
    shutil.copytree(assets / "bundle", tmp_path / "bundle")
    for token in ("<one>", "<two>"):
        assert run_cli(["concepts", "add", "bundle", f"{token}=someone/line"]) == 0
        info = open_bundle("bundle").info
        assert info.concepts[-1].token == token
        assert info.revisions == {"someone/line": COMMITS["someone/line"]}
        hub.down = True


@pytest.mark.usefixtures("hub")
@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["someone/gated"], "someone/gated: its owner lets only those have it who accepted its licence; accept it at "),
        (["someone/nothing"], "someone/nothing: neither a path on this machine nor a repository of the hub that you "),
        (["someone/pointer"], "a Git LFS pointer, not the file itself; "),
        (
            ["someone/model", "--lora", "someone/lora:0.8"],
            "someone/lora: does not say which of another.safetensors, file.safetensors; name one, someone/lora:FILE",
        ),
        (
            ["someone/model", "--lora", "someone/lora:gone.safetensors:0.8"],
            "someone/lora: has no file gone.safetensors; it holds another.safetensors, file.safetensors",
        ),
        (["someone/model", "--concept", "<x>=someone/model"], "someone/model: does not say which file, it holds "),
    ],
)
def test_a_refusal_is_a_sentence(tmp_path, capsys, arguments, says):
    assert run_cli(["export", *arguments, "-o", "bundle"]) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert says in errors[0]
    assert not (tmp_path / "bundle").exists()


def test_the_bundle_of_paths_has_no_revisions(assets):
    """So that its bytes, and with them its hash, are what they were before bundles could be made by names."""
    assert "revisions" not in json.loads((assets / "bundle/bundle.json").read_text())
