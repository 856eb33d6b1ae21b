"""A file under its final name is whole and on the disk: what is synced, and in which order, as the system is asked."""

import os
from pathlib import Path

import pytest

from latentpress import files as write
from latentpress.files import TEMP_PREFIX

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="reads Linux's names of open files")


@pytest.fixture
def asked(monkeypatch):
    """The fsyncs and renames that `write` asks for, in order: (what, path, the bytes a file then has)."""
    calls = []

    def fsync(descriptor, real=os.fsync):
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        calls.append(("folder", path, None) if path.is_dir() else ("file", path, path.read_bytes()))
        real(descriptor)

    def replace(self, target, real=write.Path.replace):
        calls.append(("rename", target, self.read_bytes()))
        return real(self, target)

    monkeypatch.setattr(write.os, "fsync", fsync)
    monkeypatch.setattr(write.Path, "replace", replace)
    return calls


def test_the_bytes_are_synced_then_renamed_then_the_folder_is_synced(tmp_path, asked):
    write.write_durably(tmp_path / "a/b/one.png", b"picture", tmp_path)
    a, b = tmp_path / "a", tmp_path / "a/b"
    assert asked[:2] == [("folder", tmp_path, None), ("folder", a, None)], "each new folder's entry"
    kind, temporary, content = asked[2]
    assert (kind, content) == ("file", b"picture")
    assert temporary.name.startswith(TEMP_PREFIX)
    assert asked[3:] == [("rename", b / "one.png", b"picture"), ("folder", b, None)]
    assert (tmp_path / "a/b/one.png").read_bytes() == b"picture"


def test_what_fails_leaves_the_old_file_and_no_leftover(tmp_path, monkeypatch):
    (tmp_path / "one.png").write_bytes(b"old")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(write.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write.write_durably(tmp_path / "one.png", b"new", tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"one.png": b"old"}
