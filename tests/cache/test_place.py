"""Where the cache folder is, for users with a home, without one, and under the bare number that a container gives."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from latentpress.cache.place import cache_dir
from latentpress.errors import EnvironmentFailure

NOBODY = 54_321  # no entry in the system's list of users
# Imported before the rights go: the interpreter may lie in root's home.
ASKED = f"""\
import os
from latentpress.cache.place import cache_dir
os.setgroups([])
os.setresgid(*[{NOBODY}] * 3)
os.setresuid(*[{NOBODY}] * 3)
print(cache_dir())
"""
SOURCE = Path(__file__).resolve().parents[2] / "src"


@pytest.fixture(autouse=True)
def bare(monkeypatch, tmp_path):
    for name in ("LATENTPRESS_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()


def test_what_is_named_first_wins(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_dir() == tmp_path / ".cache/latentpress"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative/is/ignored")
    assert cache_dir() == tmp_path / ".cache/latentpress"
    monkeypatch.setenv("XDG_CACHE_HOME", "/var/cache/mine")
    assert cache_dir() == Path("/var/cache/mine/latentpress")
    monkeypatch.setenv("LATENTPRESS_CACHE", "here")
    assert cache_dir() == Path("here")
    assert not (tmp_path / ".cache").exists(), "asking makes nothing"


def test_a_home_that_is_none_is_not_used(monkeypatch, tmp_path):
    private = tmp_path / f"tmp/latentpress-{os.getuid()}"
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HOME", str(tmp_path / "file/home"))
    assert cache_dir() == private
    assert private.stat().st_mode & 0o777 == 0o700
    assert cache_dir() == private, "found again"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another user")
@pytest.mark.parametrize("home", [None, "/", "/root"])
def test_a_user_without_an_entry_and_a_home(home, tmp_path):
    """Docker gives such a user HOME=/, `env -i` gives none."""
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(SOURCE)} | ({"HOME": home} if home else {})
    run = subprocess.run([sys.executable, "-c", ASKED], env=environment, capture_output=True, text=True, cwd="/")
    assert (run.stdout.strip(), run.stderr) == (f"/tmp/latentpress-{NOBODY}", "")
    Path(f"/tmp/latentpress-{NOBODY}").rmdir()


def test_a_folder_of_another_user_is_not_trusted(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HOME", str(tmp_path / "file/home"))
    path = tmp_path / f"tmp/latentpress-{os.getuid()}"
    path.mkdir()
    path.chmod(0o777)
    with pytest.raises(EnvironmentFailure, match=r"not this user's alone.*LATENTPRESS_CACHE"):
        cache_dir()
    path.rmdir()
    path.symlink_to(tmp_path)
    with pytest.raises(EnvironmentFailure, match="not this user's alone"):
        cache_dir()
