"""Concept and checkpoint files made to run code or to fill the memory: refused in a sentence, with little memory."""

import json
import os
import pickle
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

from peak import peak_bytes

# Bytes that reading one may add to the process.
MEMORY = 256 << 20


class Hostile:
    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return (Path.touch, (self.mark,))


def torch_zip(path, pickled, storages=()):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", pickled)
        archive.writestr("archive/version", "3\n")
        for number, storage in enumerate(storages):
            archive.writestr(f"archive/data/{number}", storage)


def safetensors(path, header, body=b"0000"):
    content = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(content)) + content + body)


def many_tensors(count, values):
    """A pickle of `count` tensors that are all of one storage, each the whole of it."""
    size = b"J" + struct.pack("<i", values)
    storage = b"(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpu" + size + b"tQ"
    tensor = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + b"K\0" + size + b"\x85K\x01\x85\x89"
    tensor += b"ccollections\nOrderedDict\n)RtR"
    names = (str(number).encode() for number in range(count))
    return b"\x80\x02}(" + b"".join(b"X" + struct.pack("<I", len(name)) + name + tensor for name in names) + b"u."


def entry(shape, start, end):
    return {"<x>": {"dtype": "F32", "shape": shape, "data_offsets": [start, end]}}


def make(folder, mark):
    """The hostile files, in `folder`."""
    (folder / "plain.bin").write_bytes(pickle.dumps({"<x>": Hostile(mark)}, protocol=2))
    torch_zip(folder / "zipped.bin", pickle.dumps({"<x>": Hostile(mark)}, protocol=2))
    torch_zip(folder / "wrong-suffix.safetensors", pickle.dumps({"<x>": Hostile(mark)}, protocol=2))
    torch_zip(folder / "memo.bin", b"\x80\x02}r" + struct.pack("<I", 0x0FFFFFFF) + b".")
    torch_zip(folder / "copies.bin", many_tensors(300, 2_000_000), [bytes(8_000_000)])
    torch_zip(folder / "bomb.bin", pickle.dumps({}, protocol=2), [bytes(400 << 20)])
    safetensors(folder / "shape.safetensors", entry([1 << 40, 1 << 40], 0, 4))
    safetensors(folder / "offsets.safetensors", entry([1 << 20], 0, 1 << 62))
    safetensors(folder / "negative.safetensors", entry([-1], 0, -4))
    safetensors(folder / "lists.safetensors", b'{"a":[' + b"[]," * 5_000_000 + b"[]]}")
    safetensors(folder / "deep.safetensors", b"[" * 10_000_000)
    safetensors(folder / "digits.safetensors", b'{"a":' + b"9" * 15_000_000 + b"}")
    (folder / "length.safetensors").write_bytes(b"\xff" * 8 + b"x" * 100)
    (folder / "nothing.bin").write_bytes(b"")


# What says nothing but the truth as a checkpoint: an empty torch file, whose one storage nothing asks for.
EMPTY = {"memo.bin", "bomb.bin"}


def test_nothing_runs_and_the_memory_stays_small(tmp_path):
    mark, folder = tmp_path / "was-executed", tmp_path / "files"
    folder.mkdir()
    make(folder, mark)
    paths = os.environ | {"PYTHONPATH": ":".join([str(Path(__file__).parents[1] / "helpers"), *sys.path])}
    done = subprocess.run(
        [sys.executable, __file__, str(folder)], capture_output=True, text=True, check=False, env=paths
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(found) == 2 * len(list(folder.iterdir())) == 28
    for reader, path, grown, error, said in found:
        assert grown < MEMORY, (reader, path, grown)
        if reader == "read_weights" and Path(path).name in EMPTY:
            assert not error, said
            continue
        assert error in ("ConceptError", "CheckpointError"), (reader, path, error, said)
        assert said.startswith(f"{path}: "), said
        assert "\n" not in said
    assert not mark.exists()
    pickle.loads((folder / "plain.bin").read_bytes())
    assert mark.exists(), "the pickle is a hostile one"


def read(reader, path):
    """Read `path` in a child and print what came of it, and by how much the child grew, in bytes."""
    if (pid := os.fork()) == 0:
        before, error = peak_bytes(), None
        try:
            reader(path)
        except BaseException as raised:
            error = raised
        grown = peak_bytes() - before
        print(json.dumps([reader.__name__, str(path), grown, type(error).__name__ if error else "", str(error)]))
        sys.stdout.flush()
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0


def concept(path):
    """Read it as `--concept` does."""
    from latentpress.export.reading.concept_file import read_concepts
    from latentpress.export.reading.concept_paths import parse_concept

    return read_concepts(parse_concept(str(path)))


if __name__ == "__main__":
    from latentpress.export.reading.weights import read_weights

    for file in sorted(Path(sys.argv[1]).iterdir()):
        read(concept, file)
        read(read_weights, file)
