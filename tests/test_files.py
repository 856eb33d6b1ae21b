"""What has its final name is whole and on the disk: what is synced, and in which order, as the system is asked."""

import os
from pathlib import Path

import pytest

from latentpress import files as write
from latentpress.files import TEMP_PREFIX, replacing
from latentpress.folders import folder_beside, publish_folder

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

    def rename(self, target, real=write.Path.rename):
        calls.append(("rename", target, None))
        return real(self, target)

    monkeypatch.setattr(write.os, "fsync", fsync)
    monkeypatch.setattr(write.Path, "replace", replace)
    monkeypatch.setattr(write.Path, "rename", rename)
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


def test_a_file_that_something_else_writes_is_synced_too_and_other_links_keep_the_old_bytes(tmp_path, asked):
    one, link = tmp_path / "one", tmp_path / "link"
    one.write_bytes(b"old")
    link.hardlink_to(one)
    with replacing(one) as fresh:
        fresh.write_bytes(b"new")
        assert one.read_bytes() == b"old"
    assert asked == [("file", fresh, b"new"), ("rename", one, b"new"), ("folder", tmp_path, None)]
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"one": b"new", "link": b"old"}


def test_a_writer_that_fails_leaves_the_old_file_and_no_leftover(tmp_path):
    (tmp_path / "one").write_bytes(b"old")

    def torn():
        with replacing(tmp_path / "one") as fresh:
            fresh.write_bytes(b"ha")
            raise ValueError("torn")

    with pytest.raises(ValueError, match="torn"):
        torn()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"one": b"old"}


def fill(folder, content):
    (folder / "inner").mkdir(parents=True)
    (folder / "inner/file").write_bytes(content)


def test_all_of_a_folder_is_synced_then_renamed_then_the_folder_it_lies_in(tmp_path, asked):
    final = tmp_path / "a/final"
    with folder_beside(final) as work:
        fill(work, b"new")
        publish_folder(work, final, replace=False)
    synced = [("folder", work / "inner", None), ("file", work / "inner/file", b"new"), ("folder", work, None)]
    assert asked == [*synced, ("rename", final, None), ("folder", final.parent, None)]
    assert [path.name for path in final.parent.iterdir()] == ["final"]


@pytest.mark.parametrize(("replace", "content"), [(True, b"new"), (False, b"old")])
def test_a_folder_already_there_is_replaced_or_stays_as_asked(replace, content, tmp_path):
    final = tmp_path / "final"
    fill(final, b"old")
    with folder_beside(final) as work:
        fill(work, b"new")
        publish_folder(work, final, replace=replace)
    assert (final / "inner/file").read_bytes() == content
    assert [path.name for path in tmp_path.iterdir()] == ["final"]


def test_a_folder_that_cannot_be_renamed_leaves_the_old_one(tmp_path, monkeypatch):
    final = tmp_path / "final"
    fill(final, b"old")

    def rename(self, target, real=Path.rename):
        if target == final and self.suffix == ".making":
            raise OSError(28, "No space left on device")
        return real(self, target)

    monkeypatch.setattr(write.Path, "rename", rename)

    def torn():
        with folder_beside(final) as work:
            fill(work, b"new")
            publish_folder(work, final, replace=True)

    with pytest.raises(OSError, match="No space"):
        torn()
    assert (final / "inner/file").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["final"]
