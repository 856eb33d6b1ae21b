"""The CLIP loss: against transformers' own forward, as a manifest names it, hashed, refused, and told when it changed."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import latentpress
from latentpress.cli import run_cli
from latentpress.errors import UsageError
from latentpress.runtime.guidance import LOSSES
from latentpress.runtime.guidance.clip_files import clip_sha256
from latentpress.runtime.guidance.clip_model import clip_model
from latentpress.runtime.request import ImageFile
from tiny_clip import SIDE, save_tiny_clip, tiny_clip

HEAD = "version: 1\nmodel: demo\ndefaults: {prompt: a, seed: 1, size: 64x64, steps: 2, sampler: euler, loss: %s}\n"


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_tiny_clip(tmp_path / "clip")
    Image.fromarray(np.full((8, 8, 3), 90, np.uint8)).save("photo.png")
    return tmp_path


def test_it_is_one_minus_the_models_own_similarity():
    """At the model's own size, where nothing is resized; of a text and of a picture."""
    from transformers import CLIPModel, CLIPTokenizer

    file = tiny_clip()
    model, tokenizer = (one.from_pretrained(str(file.path)) for one in (CLIPModel, CLIPTokenizer))
    images = torch.rand((3, 3, SIDE, SIDE), generator=torch.Generator().manual_seed(1))
    mean, std = ([0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711])
    pixels = (images - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]
    with torch.no_grad():
        seen = model(**tokenizer(["an owl"], return_tensors="pt"), pixel_values=pixels)
    found = LOSSES["clip"](images, {"text": "an owl", "model": file})
    torch.testing.assert_close(found, 1 - seen.logits_per_image[:, 0] / model.logit_scale.exp().detach())
    found = LOSSES["clip"](images, {"text": "", "model": file, "picture": images[1:2]})
    torch.testing.assert_close(found, 1 - seen.image_embeds @ seen.image_embeds[1])


def test_several_threads_may_be_the_first_to_ask_for_a_model(here):
    """In a process that has loaded nothing yet, as `twins` compares pictures; transformers' imports bear no two at once."""
    program = (
        "from concurrent.futures import ThreadPoolExecutor\nfrom pathlib import Path\nimport torch\n"
        "from latentpress.runtime.guidance.clip_files import clip_sha256\n"
        "from latentpress.runtime.guidance.clip_model import clip_model\n"
        "from latentpress.runtime.request import ImageFile\n"
        "file = ImageFile(clip_sha256(Path('clip')), Path('clip'))\n"
        "with ThreadPoolExecutor(8) as pool:\n"
        "    print(len(list(pool.map(lambda kind: clip_model(file, kind), [torch.float32, torch.float64] * 8))))\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ended.stdout == "16\n", ended.stderr


def test_weights_that_are_none_are_told_with_their_folder(here):
    (here / "clip" / "model.safetensors").write_bytes(b"junk")
    with pytest.raises(UsageError, match=r"^clip: not a CLIP model that can be read \(.*; save it again"):
        clip_model(ImageFile(clip_sha256(Path("clip")), Path("clip")), torch.float32)


def test_the_models_files_are_part_of_the_job(here):
    def job(loss="{name: clip, model: clip, text: an owl}"):
        (here / "m.yaml").write_text(HEAD % loss)
        return latentpress.OutputFolder("m.yaml", "out").plan().jobs[0]

    first = job()
    assert first.request.losses[0].files["model"].sha256 == clip_sha256(here / "clip")
    (here / "clip").rename(here / "moved")
    assert job("{name: clip, model: moved, text: an owl}").job_hash == first.job_hash
    assert job("{name: clip, model: moved, text: a kite}").job_hash != first.job_hash
    save_tiny_clip(here / "moved", seed=1)
    assert job("{name: clip, model: moved, text: an owl}").job_hash != first.job_hash


@pytest.mark.parametrize(
    ("loss", "says"),
    [
        ("clip", "loss clip has no model; write {name: clip, model: models/clip}"),
        (
            "{name: clip, model: gone, text: a}",
            "model of loss clip gone does not exist; give the folder of a CLIP model",
        ),
        ("{name: clip, model: half, text: a}", "half has no vocab.json; give a folder that transformers' CLIPModel"),
        ("{name: clip, model: clip}", "loss clip has neither text nor picture; give one of them"),
        ("{name: clip, model: clip, text: a, picture: photo.png}", "loss clip has text and picture; give one of them"),
        ("{name: clip, model: clip, text: 3, txt: a}", "unknown key 'txt' in loss clip; did you mean 'text'?"),
    ],
)
def test_what_is_missing_is_said_before_anything_is_rendered(loss, says, here):
    (here / "half").mkdir()
    (here / "half/config.json").write_text("{}")
    (here / "m.yaml").write_text(HEAD % loss)
    with pytest.raises(latentpress.ManifestError) as caught:
        latentpress.read_manifest("m.yaml")
    assert says in "\n".join(caught.value.problems)


def test_a_picture_is_drawn_to_a_text_and_made_again(here, assets, monkeypatch, capsys):
    monkeypatch.setenv("LATENTPRESS_CACHE", str(here / "cache"))
    clip = "{name: clip, model: clip, every: 1, scale: 50"
    loss = f"[none, {clip}, text: an owl}}, {clip}, picture: photo.png}}]"
    text = HEAD.replace(", loss: %s", "").replace("demo", str(assets / "bundle"))
    (here / "m.yaml").write_text(f"{text}matrix: {{loss: {loss}}}\noutput: '{{index}}.png'\n")
    assert run_cli(["render", "m.yaml", "-o", "out"]) == 0
    assert len({(here / f"out/{one}.png").read_bytes() for one in (1, 2, 3)}) == 3
    said = json.loads(Image.open("out/2.png").text["latentpress"])
    assert said["request"]["losses"][0]["files"] == {"model": clip_sha256(here / "clip")}
    assert run_cli(["rerender", "out/2.png", "out/3.png"]) == 0
    assert capsys.readouterr().out.count("equal to the pixel") == 2
    save_tiny_clip(here / "clip", seed=1)
    assert run_cli(["rerender", "out/2.png"]) == 1
