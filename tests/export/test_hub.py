"""Names on a hub, against a server that speaks its protocol; each export's look at the hub is a process of its own.

LATENTPRESS_TEST_HUB names a folder with another huggingface_hub (`pip install --target`), to run these with that one.
"""

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
# What an export asks of the hub module, without torch and the rest of an export.
SCRIPT = """
import sys
from pathlib import Path
from latentpress.errors import UsageError
from latentpress.export.reading.hub import on_disk
from latentpress.export.reading.hub_cache import revision_of
name, kind, variant = sys.argv[1:]
try:
    path = on_disk(Path(name), kind, variant=variant or None)
except UsageError as error:
    sys.exit(f"error: {error}")
print(path)
print(*revision_of(path).values())
"""


class Machine:
    """Somebody's machine: a home of its own for the cache, and the hub's address."""

    def __init__(self, home, hub):
        self.home, self.hub = home, hub

    def run(self, name, kind="checkpoint", *, variant="", token=None):
        """(exit code, the path and commit printed, what was said to people)."""
        own = {"HF_HOME": str(self.home), "HF_ENDPOINT": self.hub.address, "HF_HUB_OFFLINE": "0"}
        path = [os.environ.get("LATENTPRESS_TEST_HUB", ""), *sys.path]
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "HUGGING"))}
        environment = kept | own | {"PYTHONPATH": os.pathsep.join(filter(None, path))}
        if token:
            environment["HF_TOKEN"] = token
        command = [sys.executable, "-W", "ignore", "-c", SCRIPT, str(name), kind, variant]
        done = subprocess.run(command, env=environment, cwd=self.home, capture_output=True, text=True, timeout=120)
        return done.returncode, done.stdout.split(), done.stderr.splitlines()[-1:] or [""]


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


@pytest.fixture
def hub(content):
    repositories = {
        NAME: Repository(content, COMMIT, ("main", "v1")),
        "someone/gated": Repository(content, COMMIT, gated=True),
    }
    with serving(FakeHub(repositories)) as running:
        yield running


@pytest.fixture
def machine(tmp_path, hub):
    return Machine(tmp_path, hub)


def files(folder):
    return sorted(path.relative_to(folder).as_posix() for path in Path(folder).rglob("*") if path.is_file())


def test_a_checkpoint_is_downloaded_once_without_what_no_export_reads(machine, hub, content):
    code, (path, commit), _ = machine.run(NAME)
    assert (code, commit) == (0, COMMIT)
    assert Path(path).parts[-3:] == (f"models--{NAME.replace('/', '--')}", "snapshots", COMMIT)
    parts = ("unet", "vae", "text_encoder", "tokenizer", "scheduler")
    wanted = [name for name in files(content) if name.startswith(parts) and name.endswith((".json", ".txt"))]
    wanted += [name for name in files(content) if name.endswith("model.safetensors") and name.startswith(parts)]
    assert files(path) == sorted([*wanted, "model_index.json"])
    for name in files(path):
        assert (Path(path) / name).read_bytes() == (content / name).read_bytes()
    asked = len(hub.asked)
    assert machine.run(f"{NAME}@main")[:2] == (0, [path, commit])
    assert len(hub.asked) == asked, "what is cached asks nothing of the network"
    # Another variant is another download, of its weights alone.
    assert machine.run(NAME, variant="fp16")[0] == 0
    more = {path.rpartition("/")[2] for method, path, _ in hub.asked[asked:] if method == "GET" and "/resolve/" in path}
    assert more == {"diffusion_pytorch_model.fp16.safetensors", "model.fp16.safetensors"}


def test_a_second_run_needs_no_hub(content, tmp_path):
    with serving(FakeHub({NAME: Repository(content, COMMIT)})) as hub:
        first = Machine(tmp_path, hub).run(NAME)
    assert first[0] == 0
    again = Machine(tmp_path, hub)  # at an address where nobody answers any more
    assert again.run(NAME)[:2] == first[:2]
    code, _, (said,) = again.run("someone/unknown")
    assert code == 1
    assert said.startswith(
        "error: someone/unknown: not a path on this machine, not whole in the Hugging Face cache, and the"
    )
    assert "hub cannot be reached" in said


def test_an_interrupted_download_is_resumed(tmp_path):
    """huggingface_hub writes 10 MiB at a time: the connection breaks after two of these."""
    chunk, file = 10 << 20, "pytorch_lora_weights.safetensors"
    content = tmp_path / "content"
    content.mkdir()
    (content / file).write_bytes(bytes(range(256)) * ((2 * chunk + 5120) // 256))
    size = (content / file).stat().st_size
    with serving(FakeHub({NAME: Repository(content, COMMIT)}, cut={file: 2 * chunk})) as hub:
        machine = Machine(tmp_path, hub)
        code, _, (said,) = machine.run(NAME, "lora")
        assert code == 1
        assert said.startswith(f"error: {NAME}: ")
        assert said.endswith("what is downloaded already is kept")
        hub.cut.clear()
        asked = len(hub.asked)
        assert hub.sent[file] == 2 * chunk
        code, (path, _), _ = machine.run(NAME, "lora")
    assert code == 0
    assert Path(path).read_bytes() == (content / file).read_bytes()
    ranges = [ask for method, url, ask in hub.asked[asked:] if method == "GET" and url.endswith(file)]
    assert ranges == [f"bytes={2 * chunk}-"]
    assert hub.sent[file] == size, "no byte is fetched twice"


def test_a_revision_is_pinned(machine, hub):
    code, (path, commit), _ = machine.run(f"{NAME}@v1")
    assert (code, commit) == (0, COMMIT)
    asked = len(hub.asked)
    assert machine.run(f"{NAME}@v1")[:2] == (0, [path, commit])
    assert machine.run(f"{NAME}@{COMMIT}")[:2] == (0, [path, commit])
    assert len(hub.asked) == asked


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
    code, (path, commit), _ = machine.run(name, kind)
    assert (code, commit) == (0, COMMIT)
    assert path.endswith(f"snapshots/{COMMIT}/{inside}")
    snapshot = Path(path[: -len(inside) - 1])
    weights = ["vae/diffusion_pytorch_model.safetensors"] if inside == "vae" else [inside]
    assert files(snapshot) == sorted([*weights, *also])
    asked = len(hub.asked)
    assert machine.run(name, kind)[0] == 0
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
def test_what_the_hub_refuses_is_a_sentence(machine, name, says):
    code, out, (said,) = machine.run(name)
    assert (code, out) == (1, [])
    assert said.startswith(f"error: {name.partition(':')[0]}: ")
    assert says in said


def test_a_token_opens_a_gated_repository(machine):
    assert machine.run("someone/gated", token=TOKEN)[0] == 0


def test_a_path_that_is_there_is_no_name(machine, hub, tmp_path):
    (tmp_path / "someone/a-style").mkdir(parents=True)
    assert machine.run(NAME)[:2] == (0, [NAME])
    assert machine.run("someone/gone.safetensors")[:2] == (0, ["someone/gone.safetensors"])
    assert not hub.asked
