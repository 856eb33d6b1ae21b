"""Folders that killed processes left half made go with the next of their name; what is alive, or not ours, stays."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from latentpress import folders
from latentpress.folders import abandoned, folder_beside, publish_folder, remove_abandoned, remove_folder

MAKING = """\
import sys, time
from pathlib import Path
from latentpress.folders import folder_beside
with folder_beside(Path(sys.argv[1])) as work:
    (work / "half").write_text("made")
    print(work, flush=True)
    time.sleep(60)
"""


@pytest.fixture(autouse=True)
def _no_grace(monkeypatch):
    monkeypatch.setattr(folders, "_GRACE", -1)


@pytest.fixture
def making(tmp_path):
    """making(name) is a process that makes the folder tmp_path/NAME, and where it does so."""
    running = []

    def start(name):
        process = subprocess.Popen(
            [sys.executable, "-c", MAKING, str(tmp_path / name)], stdout=subprocess.PIPE, text=True
        )
        running.append(process)
        return process, Path(process.stdout.readline().strip())

    yield start
    for process in running:
        process.kill()
        process.wait()
        process.stdout.close()


def test_what_a_killed_process_left_goes_with_the_next_of_its_name(making, tmp_path):
    process, work = making("bundle")
    other, others = making("other")
    assert list(abandoned(tmp_path)) == [], "both are alive"
    with folder_beside(tmp_path / "bundle"):
        assert work.exists()
    for one in (process, other):
        one.send_signal(signal.SIGKILL)
        one.wait()
    assert set(abandoned(tmp_path)) == {work, others}
    with folder_beside(tmp_path / "bundle") as mine:
        assert not work.exists()
        assert others.exists(), "of another name"
        publish_folder(mine, tmp_path / "bundle", replace=False)
    remove_abandoned(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_a_stopped_process_keeps_its_folder(making, tmp_path):
    process, work = making("bundle")
    process.send_signal(signal.SIGSTOP)
    remove_abandoned(tmp_path)
    assert (work / "half").read_text() == "made"
    process.send_signal(signal.SIGCONT)


def test_what_is_not_ours_stays(tmp_path, monkeypatch):
    hexes = "0123456789abcdef"
    strange = [".bundle.tmp", f".bundle.{hexes}.part", f".bundle.{hexes[:8]}.making", f"bundle.{hexes}.making", ".git"]
    for name in strange:
        (tmp_path / name).mkdir()
    (tmp_path / f".file.{hexes}.making").write_text("a file")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / f".link.{hexes}.making").symlink_to(tmp_path / "elsewhere")
    (tmp_path / f".only.{hexes}.old").mkdir()  # the old bundle, where the new one never came
    (tmp_path / f".bundle.{hexes}.making").mkdir()
    assert [path.name for path in abandoned(tmp_path)] == [f".bundle.{hexes}.making"]
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    assert list(abandoned(tmp_path)) == [], "another user's"
    monkeypatch.undo()
    assert list(abandoned(tmp_path)) == [], "made just now: its maker takes the lock in a moment"
    with monkeypatch.context() as patch:
        patch.setattr(folders, "_GRACE", -1)
        remove_abandoned(tmp_path)
    assert len(list(tmp_path.iterdir())) == len(strange) + 4


def test_what_an_old_folder_was_replaced_by_frees_it(tmp_path):
    name = ".bundle.0123456789abcdef.old"
    (tmp_path / name).mkdir()
    (tmp_path / "bundle").mkdir()
    with folder_beside(tmp_path / "bundle"):
        assert not (tmp_path / name).exists()


def test_where_there_are_no_locks_nothing_is_taken_for_abandoned(making, tmp_path, monkeypatch):
    def no_locks(*_):
        raise OSError(37, "No locks available")

    process, work = making("bundle")
    process.kill()
    process.wait()
    monkeypatch.setattr(folders.fcntl, "flock", no_locks)
    with folder_beside(tmp_path / "bundle") as mine:
        publish_folder(mine, tmp_path / "bundle", replace=False)
    assert work.exists()


def test_a_folder_in_use_is_not_removed(tmp_path):
    (tmp_path / "used").mkdir()
    holder = os.open(tmp_path / "used", os.O_RDONLY)
    folders.fcntl.flock(holder, folders.fcntl.LOCK_SH)
    assert not remove_folder(tmp_path / "used")
    os.close(holder)
    assert remove_folder(tmp_path / "used")
    assert not list(tmp_path.iterdir())
