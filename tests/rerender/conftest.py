"""A folder of pictures of many settings, rendered once, with everything that they were made from."""

import contextlib
import shutil
import sqlite3

import numpy as np
import pytest
import torch
from PIL import Image

from families import mask_file, picture_file
from latentpress.batch.executors.local import Settings
from latentpress.batch.folder import OutputFolder

MANIFEST = """\
version: 1
model: bundle
concepts: {<mine>: mine.bin}
defaults: {prompt: a mouse on a hill, steps: 3, size: 64x64, seed: 7, sampler: euler}
jobs:
  - {id: euler_a, sampler: euler_a}
  - {id: karras, sampler: dpmpp_2m_karras}
  - {id: sde, sampler: dpmpp_sde}
  - {id: eta, sampler: ddim, eta: 0.5, size: 96x64}
  - {id: tcd, sampler: tcd, timesteps: [999, 499, 249], eta: 0.3, guidance_scale: 1}
  - {id: lcm, sampler: lcm, guidance_scale: 0}
  - {id: given, init_image: photo.png, strength: 0.7}
  - {id: masked, init_image: photo.png, mask_image: mask.png}
  - {id: laid, init_image: clear.png, background: '#2040ff', strength: 0.7}
  - {id: clipped, init_image: clear.png, picture_reading: diffusers, strength: 0.4}
  - id: losses
    loss:
      - {name: channel, channel: red, scale: 20, every: 1}
      - {name: saturation, scale: 10, every: 2, mask: mask.png}
      - {name: reference, picture: mask.png, metric: l1, scale: 5}
      - {name: canny, scale: 5}
  - {id: baked, prompt: a house in the style of <moeb-style>}
  - {id: named, prompt: a house in the style of <mine>, seed: 18446744073709551615}
  - {id: negative, negative_prompt: '<line-art> "blurry", {{0}}', guidance_scale: 4.25}
  - {id: a1111, prompt: 'a (red:1.4) [house:(owl:1.2):0.5] \\[<mine>\\]', prompt_weighting: a1111}
  - {id: compel, prompt: 'a red++ house, (old)0.7', prompt_weighting: compel}
  - {id: chunks, prompt: MANY, long_prompts: chunks}
  - {id: skipped, clip_skip: 1, guidance_rescale: 0.7, guidance_stop: 0.5}
  - {id: cleaned, prompt: 'a &amp; \U0001fae8 m\u00f6use', text_cleaning: clip, sampler: unipc_trailing}
output: "{id}.png"
"""
# Apart, for the concept is none of its text encoders'.
REFINED = """\
version: 1
defaults: {model: sdxl, prompt: a mouse on a hill, steps: 3, size: 64x64, sampler: dpmpp_2m_sde}
jobs:
  - id: refined
    refiner: {model: refiner, switch_at: 0.5}
    micro_conditioning: {original_size: 80x72, crop_top_left: [4, 8], aesthetic_score: 7}
output: "{id}.png"
"""


class Rendered:
    """The pictures in `out`, made from what lies in `folder`: `bundle`, mine.bin, photo.png and others."""

    def __init__(self, folder):
        self.folder, self.out, self.manifest = folder, folder / "out", folder / "m.yaml"
        self.refined = folder / "refined/refined.png"

    def picture(self, name):
        return self.out / f"{name}.png"


@pytest.fixture(scope="session")
def rendered(tmp_path_factory, assets, exported):
    """Read it only."""
    folder = tmp_path_factory.mktemp("rerender")
    for name, path in (
        ("bundle", assets / "bundle"),
        ("sdxl", exported("sdxl").path),
        ("refiner", exported("refiner").path),
    ):
        (folder / name).symlink_to(path)
    torch.save({"<mine>": torch.linspace(-0.3, 0.3, 64)}, folder / "mine.bin")
    picture_file(folder, "photo.png", (64, 64))
    mask_file(folder, "mask.png", (64, 64))
    clear = np.asarray(Image.open(folder / "photo.png").convert("RGBA")).copy()
    clear[:30, :30, 3] = 60
    Image.fromarray(clear).save(folder / "clear.png")
    made = Rendered(folder)
    made.manifest.write_text(MANIFEST.replace("MANY", "a house " * 50))
    (folder / "refined.yaml").write_text(REFINED)
    for manifest, out in ((made.manifest, made.out), (folder / "refined.yaml", made.refined.parent)):
        outcome = OutputFolder(manifest, out, cache=folder / "cache").render(Settings(batch_rows=8, threads=1))
        assert outcome.summary.failed == 0
    return made


@pytest.fixture
def own(rendered, tmp_path, monkeypatch):
    """The same with files of its own, which a test may change, as if it had been rendered there."""
    folder = shutil.copytree(rendered.folder, tmp_path / "own", symlinks=True)
    monkeypatch.setenv("LATENTPRESS_CACHE", str(folder / "cache"))
    with contextlib.closing(sqlite3.connect(folder / "out/.latentpress/ledger.sqlite")) as connection, connection:
        for table, column in (("bundles", "path"), ("shapes", "request")):
            connection.execute(
                f"UPDATE {table} SET {column}=replace({column}, ?, ?)", (str(rendered.folder), str(folder))
            )
    return Rendered(folder)
