"""Names on a hub, against a server that speaks its protocol; what asks it is another process, of one home after another.

LATENTPRESS_TEST_HUB names a folder with another huggingface_hub (`pip install --target`), to run these with that one.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from fake_hub import TOKEN, FakeHub, Repository, serving
from latentpress.testing.corpus.folders import COMMIT
from latentpress.testing.random_checkpoint import build_checkpoint

NAME = "someone/a-style"
# What an export asks of the hub module, without torch and the rest of an export. It reads questions until there are no more.
SCRIPT = """
import json, os, sys
from pathlib import Path
from huggingface_hub import constants
from latentpress.errors import UsageError
from latentpress.export.reading.hub import concepts_on_disk, on_disk
from latentpress.export.reading.hub_cache import revisions_of
for line in sys.stdin:
    home, name, kind, variant, os.environ["HF_TOKEN"] = json.loads(line)
    os.chdir(home)
    constants.HF_HUB_CACHE = str(Path(home) / "hub")
    try:
        if kind == "concept":
            (asked,) = concepts_on_disk([Path(name)], lambda line: None)
            found = asked.files
        else:
            found = [on_disk(Path(name), kind, variant=variant or None)]
        print(json.dumps([*map(str, found), *revisions_of(found).values()]), flush=True)
    except UsageError as error:
        print(json.dumps(str(error)), flush=True)
"""


class Machine:
    """Somebody's machine: a home of its own for the cache."""

    def __init__(self, home, asker):
        self.home, self.asker = home, asker

    def run(self, name, kind="checkpoint", *, variant="", token=""):
        """The paths and the commit found, or the error's sentence."""
        print(json.dumps([str(self.home), str(name), kind, variant, token]), file=self.asker.stdin, flush=True)
        return json.loads(self.asker.stdout.readline())


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    """A repository: a checkpoint in two variants with much beside it, a VAE, a LoRA, a concept."""
    folder = build_checkpoint(tmp_path_factory.mktemp("hub") / "content", width=16, hidden=16, size=64)
    for file in folder.glob("*/*.safetensors"):
        save_file({key: value.half() for key, value in load_file(file).items()}, file.with_suffix(".fp16.safetensors"))
        torch.save(load_file(file), file.with_suffix(".bin"))
    (folder / "safety_checker").mkdir()
    for name in ("safety_checker/model.safetensors", "style-v1.ckpt", "README.md", "unet/diffusion_flax_model.msgpack"):
        (folder / name).write_bytes(b"much that no export reads")
    (folder / "pytorch_lora_weights.safetensors").write_bytes(b"a LoRA")
    (folder / "loras").mkdir()
    (folder / "loras/other.safetensors").write_bytes(b"another LoRA")
    for name, text in {"learned_embeds.bin": b"a concept", "token_identifier.txt": b"<midjourney-style>"}.items():
        (folder / name).write_bytes(text)
    return folder


@pytest.fixture(scope="module")
def running():
    """(the hub, a process that asks it)."""
    with serving(FakeHub({})) as hub:
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "HUGGING"))}
        path = os.pathsep.join(filter(None, [os.environ.get("LATENTPRESS_TEST_HUB", ""), *sys.path]))
        # No one's own token is read, and nothing is written to their home.
        own = {"HF_ENDPOINT": hub.address, "HF_HOME": os.devnull, "HF_TOKEN_PATH": os.devnull, "PYTHONPATH": path}
        command = [sys.executable, "-W", "ignore", "-c", SCRIPT]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
        with subprocess.Popen(command, env=kept | own, **pipes) as asker:
            yield hub, asker


@pytest.fixture
def hub(running, content):
    hub, _ = running
    hub.repositories = {
        NAME: Repository(content, COMMIT, ("main", "v1")),
        "someone/gated": Repository(content, COMMIT, gated=True),
    }
    hub.down = False
    for kept in (hub.cut, hub.asked, hub.sent):
        kept.clear()
    return hub


@pytest.fixture
def machine(tmp_path, running):
    (tmp_path / "home").mkdir()
    return Machine(tmp_path / "home", running[1])


def files(folder):
    return sorted(path.relative_to(folder).as_posix() for path in Path(folder).rglob("*") if path.is_file())


def test_a_checkpoint_is_downloaded_once_without_what_no_export_reads(machine, hub, content):
    path, commit = machine.run(NAME)
    assert commit == COMMIT
    assert Path(path).parts[-3:] == (f"models--{NAME.replace('/', '--')}", "snapshots", COMMIT)
    parts = ("unet", "vae", "text_encoder", "tokenizer", "scheduler")
    wanted = [name for name in files(content) if name.startswith(parts) and name.endswith((".json", ".txt"))]
    wanted += [name for name in files(content) if name.endswith("model.safetensors") and name.startswith(parts)]
    assert files(path) == sorted([*wanted, "model_index.json"])
    for name in files(path):
        assert (Path(path) / name).read_bytes() == (content / name).read_bytes()
    asked = len(hub.asked)
    assert machine.run(f"{NAME}@main") == [path, commit]
    assert len(hub.asked) == asked, "what is cached asks nothing of the network"
    # Another variant is another download, of its weights alone.
    assert machine.run(NAME, variant="fp16") == [path, commit]
    more = {path.rpartition("/")[2] for method, path, _ in hub.asked[asked:] if method == "GET" and "/resolve/" in path}
    assert more == {"diffusion_pytorch_model.fp16.safetensors", "model.fp16.safetensors"}


def test_a_second_run_needs_no_hub(machine, hub):
    first = machine.run(NAME)
    assert first[1] == COMMIT
    hub.down = True
    assert machine.run(NAME) == first
    said = machine.run("someone/unknown")
    assert said.startswith(
        "someone/unknown: not a path on this machine, not whole in the Hugging Face cache, and the hub "
    )
    assert "cannot be reached" in said


@pytest.fixture
def large(hub, tmp_path):
    """A LoRA of more than twice what is written at a time."""
    chunk, file = 10 << 20, tmp_path / "content/pytorch_lora_weights.safetensors"
    file.parent.mkdir()
    file.write_bytes(bytes(range(256)) * ((2 * chunk + 5120) // 256))
    hub.repositories = {NAME: Repository(file.parent, COMMIT)}
    hub.cut[file.name] = 2 * chunk
    return file


def test_an_interrupted_download_is_resumed(machine, hub, large):
    said = machine.run(NAME, "lora")
    assert said.startswith(f"{NAME}: ")
    assert said.endswith("what is downloaded already is kept")
    hub.cut.clear()
    asked = len(hub.asked)
    assert hub.sent[large.name] == 20 << 20
    path, _ = machine.run(NAME, "lora")
    assert Path(path).read_bytes() == large.read_bytes()
    ranges = [ask for method, url, ask in hub.asked[asked:] if method == "GET" and url.endswith(large.name)]
    assert ranges == [f"bytes={20 << 20}-"]
    assert hub.sent[large.name] == large.stat().st_size, "no byte is fetched twice"


def test_a_damaged_beginning_is_not_kept(machine, hub, large):
    machine.run(NAME, "lora")
    hub.cut.clear()
    (part,) = machine.home.rglob("*.incomplete")
    with part.open("r+b") as file:
        file.write(b"damaged")
    said = machine.run(NAME, "lora")
    assert said.endswith("is not what the hub lists, its sha256 is another, and was deleted; try again")
    path, _ = machine.run(NAME, "lora")
    assert Path(path).read_bytes() == large.read_bytes()


def test_a_revision_is_pinned(machine, hub):
    path, commit = machine.run(f"{NAME}@v1", "lora")
    assert commit == COMMIT
    asked = len(hub.asked)
    assert machine.run(f"{NAME}@v1", "lora") == [path, commit]
    assert machine.run(f"{NAME}@{COMMIT}", "lora") == [path, commit]
    assert len(hub.asked) == asked


def test_both_files_of_an_sdxl_concept_are_meant(machine, hub, tmp_path):
    folder = tmp_path / "content"
    folder.mkdir()
    pair = ["learned_embeds.safetensors", "learned_embeds_2.safetensors"]
    for name in [*pair, "learned_embeds-steps-500.safetensors"]:
        (folder / name).write_bytes(name.encode())
    hub.repositories = {NAME: Repository(folder, COMMIT)}
    for _ in range(2):
        *found, commit = machine.run(NAME, "concept")
        assert [Path(path).name for path in found] == pair
        assert commit == COMMIT
        hub.down = True


@pytest.mark.parametrize(
    ("name", "kind", "inside", "also"),
    [
        (NAME, "lora", "pytorch_lora_weights.safetensors", []),
        (f"{NAME}:loras/other.safetensors", "lora", "loras/other.safetensors", []),
        (NAME, "concept", "learned_embeds.bin", ["token_identifier.txt"]),
        (f"{NAME}:style-v1.ckpt", "checkpoint", "style-v1.ckpt", []),
        (NAME, "vae", "vae", ["vae/config.json"]),
        (f"{NAME}@v1:vae", "vae", "vae", ["vae/config.json"]),
    ],
)
def test_other_files_are_called_by_the_same_names(machine, hub, name, kind, inside, also):
    path, commit = machine.run(name, kind)
    assert commit == COMMIT
    assert path.endswith(f"snapshots/{COMMIT}/{inside}")
    snapshot = Path(path[: -len(inside) - 1])
    weights = ["vae/diffusion_pytorch_model.safetensors"] if inside == "vae" else [inside]
    assert files(snapshot) == sorted([*weights, *also])
    asked = len(hub.asked)
    assert machine.run(name, kind) == [path, commit]
    assert len(hub.asked) == asked


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("someone/gated", "accept it at https://huggingface.co/someone/gated and log in with `hf auth login`"),
        ("someone/nothing", "neither a path on this machine nor a repository of the hub that you may read"),
        (f"{NAME}@v9", "the repository has no such revision; name a branch, tag or commit of it"),
        (f"{NAME}:nothing.ckpt", "has no file nothing.ckpt; it holds README.md, "),
    ],
)
@pytest.mark.usefixtures("hub")
def test_what_the_hub_refuses_is_a_sentence(machine, name, says):
    said = machine.run(name)
    assert said.startswith(f"{name.partition(':')[0]}: ")
    assert says in said


@pytest.mark.usefixtures("hub")
def test_a_token_opens_a_gated_repository(machine):
    assert machine.run("someone/gated", token=TOKEN)[1] == COMMIT


def test_a_path_that_is_there_is_no_name(machine, hub):
    (machine.home / "someone/a-style").mkdir(parents=True)
    assert machine.run(NAME) == [NAME]
    assert machine.run("someone/gone.safetensors") == ["someone/gone.safetensors"]
    assert not hub.asked
