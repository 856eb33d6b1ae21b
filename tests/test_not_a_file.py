"""Named pipes, devices, sockets, folders and files too large, as every kind of input: one sentence each, and no waiting."""

import json
import os
import resource
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from latentpress.files import NotAFile, TooLarge, check_regular, read_regular

# Each command in one process, which imports what it needs once; what it says and returns comes back as JSON.
_RUN = """
import contextlib, io, json, sys
from latentpress.cli import run_cli
found = {}
for name, words in json.loads(sys.argv[1]).items():
    said = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said):
        found[name] = [run_cli(words)]
    found[name].append(said.getvalue())
    print(name, file=sys.stderr, flush=True)
print(json.dumps(found))
"""
# Seconds; a command takes about one, a pipe would be waited for without end.
_PATIENCE = 240
# Bytes of memory, for what reads a device until there is none left.
_MEMORY = 24 << 30


def said(commands):
    """Name -> (exit code, stderr) of each of `commands`."""
    process = subprocess.run(
        [
            sys.executable,
            "-c",
            _RUN,
            json.dumps({name: [str(word) for word in words] for name, words in commands.items()}),
        ],
        capture_output=True,
        text=True,
        timeout=_PATIENCE,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY)),
        check=False,
    )
    assert process.returncode == 0, process.stderr[-2000:]
    return json.loads(process.stdout.splitlines()[-1])


@pytest.fixture
def odd(tmp_path):
    """Kind -> a path that is no regular file, and the words for it."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket"))
    return {
        "pipe": (tmp_path / "pipe", "it is a named pipe, not a regular file"),
        "device": (Path("/dev/zero"), "it is a device, not a regular file"),
        "folder": (tmp_path / "folder", "it is a folder, not a regular file"),
        "socket": (tmp_path / "socket", "it is a socket, not a regular file"),
    }


def test_only_regular_files_within_the_limit_are_read(odd, tmp_path):
    for path, words in odd.values():
        with pytest.raises(NotAFile, match=words):
            read_regular(path, 100)
    (tmp_path / "file").write_bytes(b"12345")
    assert read_regular(tmp_path / "file", 5) == b"12345"
    assert check_regular(tmp_path / "file").st_size == 5
    with pytest.raises(TooLarge, match="it has 5 bytes, and 4 bytes is the limit"):
        read_regular(tmp_path / "file", 4)
    with pytest.raises(FileNotFoundError):
        read_regular(tmp_path / "none", 4)
    # A file of /proc says that it has no bytes, and has some.
    with pytest.raises(TooLarge, match="more than 3 bytes"):
        read_regular(Path("/proc/self/status"), 3)


def manifest(folder, name, text):
    path = folder / f"{name}.yaml"
    path.write_text(f"version: 1\nname: x\nmodel: demo\n{text}")
    return path


def test_every_kind_of_input_is_refused_in_one_sentence(odd, assets, tmp_path):
    commands, expected = {}, {}

    def asked(name, words, *sentences):
        commands[name], expected[name] = words, sentences

    (tmp_path / "other").mkdir()
    for kind, (path, words) in odd.items():
        unread = f"{path}:1:1: the manifest cannot be read ({words})"
        asked(f"manifest {kind}", ["plan", path], f"{path}: is a folder; name" if kind == "folder" else unread)
        job = f"defaults: {{prompt: a, init_image: '{path}', mask_image: '{path}'}}\n"
        asked(
            f"picture {kind}",
            ["plan", manifest(tmp_path, f"picture-{kind}", job)],
            f"init_image {path} cannot be read ({words})",
            f"mask_image {path} cannot be read ({words})",
        )
        # A concept may be a folder.
        teaches = "no learned_embeds" if kind == "folder" else f"{words}; give a concept's file or folder"
        job = f"defaults: {{prompt: a}}\nconcepts: {{<a>: '{path}'}}\n"
        concept = manifest(tmp_path, f"concept-{kind}", job)
        asked(f"concept {kind}", ["plan", concept], f"{path}: {teaches}")
        asked(f"given concept {kind}", ["concepts", "add", assets / "bundle", path], f"{path}: {teaches}")
        if kind != "folder":
            into = ["-o", tmp_path / "bundle"]
            asked(f"checkpoint {kind}", ["export", path, *into], f"{path}: cannot be read ({words})")
        if kind == "pipe":  # each loads a checkpoint first
            vae = ["export", assets / "checkpoint", "--vae", path, *into]
            asked("vae", vae, f"{path}: cannot be read ({words})")
            asked("lora", ["export", assets / "checkpoint", "--lora", path, *into], f"{path}: ")
        bundle = tmp_path / f"bundle-{kind}"
        bundle.mkdir()
        (bundle / "bundle.json").symlink_to(path)
        asked(f"bundle {kind}", ["inspect", bundle], f"{bundle}: not a bundle, bundle.json cannot be read ({words})")
        own = tmp_path / f"out-{kind}" / ".latentpress"
        own.mkdir(parents=True)
        (own / "ledger.sqlite").symlink_to(path)
        plain = (
            manifest(tmp_path, "plain", "defaults: {prompt: a}\n").read_text().replace("demo", str(assets / "bundle"))
        )
        (tmp_path / "plain.yaml").write_text(plain)
        for command in ("status", "render"):
            asked(
                f"ledger {kind} {command}",
                [command, tmp_path / "plain.yaml", "-o", own.parent],
                f"ledger.sqlite: the ledger cannot be used ({words}); `latentpress rebuild {own.parent}` makes it again",
            )
    found = said(commands)
    for name, sentences in expected.items():
        code, err = found[name]
        assert code == 2, (name, err)
        assert len(err.strip().splitlines()) == len(sentences), err
        for sentence in sentences:
            assert sentence in err, name
        assert " at 0x" not in err
        assert "Traceback" not in err


def test_files_too_large_are_refused_before_they_are_read(assets, tmp_path):
    """Sparse files: their size is all there is of them."""
    sizes = {"manifest.yaml": 17 << 20, "picture.png": 2 << 30, "concept.bin": 17 << 20, "bundle.json": 65 << 20}
    for name, size in sizes.items():
        with (tmp_path / name).open("wb") as stream:
            stream.truncate(size)
    job = "defaults: {prompt: a, init_image: picture.png}\n"
    found = said(
        {
            "manifest": ["plan", tmp_path / "manifest.yaml"],
            "picture": ["plan", manifest(tmp_path, "job", job)],
            "concept": ["concepts", "add", assets / "bundle", tmp_path / "concept.bin"],
            "bundle": ["inspect", tmp_path],
        }
    )
    assert {name: code for name, (code, _) in found.items()} == dict.fromkeys(found, 2)
    assert "the manifest is larger than 16 MiB; split it" in found["manifest"][1]
    assert "cannot be read (it has 2,147,483,648 bytes, and 1024 MiB is the limit)" in found["picture"][1]
    assert "at most" in found["concept"][1]
    assert "cannot be read (it has 68,157,440 bytes, and 64 MiB is the limit)" in found["bundle"][1]
