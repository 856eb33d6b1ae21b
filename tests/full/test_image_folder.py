"""A rendered folder loaded by Hugging Face's `datasets` itself, which wants an older fsspec than constraints.txt has.

So it is installed beside the environment, without its dependencies: those are there, or installed with it.
"""

import json
import os
import subprocess
import sys

import pytest

from latentpress.cli import run_cli

pytestmark = pytest.mark.full

PACKAGES = ("datasets==4.8.5", "dill==0.4.1", "multiprocess==0.70.19", "pandas==3.1.1", "xxhash==4.1.0")
LARGEST = 2**64 - 1
MANIFEST = """\
version: 1
name: m
model: {bundle}
defaults: {{prompt: a mouse, size: 64x64, steps: 1, sampler: ddim}}
matrix:
  style: [{styles}]
  seed: [1, {largest}]
output: "{{style}}/{{seed}}.png"
sheet: {{rows: style}}
"""
CHILD = """\
import json, sys
import datasets
found = datasets.load_dataset("imagefolder", data_dir=sys.argv[1], **json.loads(sys.argv[2]))
rows = [{**row, "image": row["image"].size} for row in found["train"]]
print(json.dumps({"splits": list(found), "rows": rows}))
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("datasets")
    words = ["-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder), *PACKAGES]
    subprocess.run([sys.executable, *words], check=True)
    return folder


@pytest.mark.parametrize(("styles", "options"), [("one, two", {}), ("test, two", {"data_files": "metadata.jsonl"})])
def test_datasets_loads_the_pictures_with_what_made_them(styles, options, installed, assets, tmp_path, monkeypatch):
    monkeypatch.setenv("LATENTPRESS_CACHE", str(tmp_path / "cache"))
    text = MANIFEST.format(bundle=assets / "bundle", styles=styles, largest=LARGEST)
    (tmp_path / "m.yaml").write_text(text)
    out = tmp_path / "out"
    assert run_cli(["render", str(tmp_path / "m.yaml"), "-o", str(out)]) == 0
    assert (out / "sheet.png").exists()
    assert run_cli(["results", str(out), "--image-folder"]) == 0
    paths = os.pathsep.join([str(installed), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | {"PYTHONPATH": paths, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "1"}
    words = [sys.executable, "-c", CHILD, str(out), json.dumps(options)]
    child = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert child.returncode == 0, child.stderr[-2000:]
    said = json.loads(child.stdout.splitlines()[-1])
    assert said["splits"] == ["train"]
    assert [(row["image"], row["seed"], row["steps"]) for row in said["rows"]] == [
        ([64, 64], seed, 1) for _ in range(2) for seed in ("1", str(LARGEST))
    ]
    assert {row["prompt"] for row in said["rows"]} == {"a mouse"}
