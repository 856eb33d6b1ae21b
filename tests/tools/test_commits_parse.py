"""The check that every commit parses, on small repositories with a commit that does not."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

import commits_parse

GOOD = "x = 1\n"
BAD = "x = 1\n\ndef f(:\n"

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


class Repository:
    """A git repository in a folder of its own, without the user's configuration."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()
        self.git("init", "--quiet", "--initial-branch=main")

    def git(self, *arguments: str) -> str:
        who = {f"GIT_{role}_{key}": "a@b.c" for role in ("AUTHOR", "COMMITTER") for key in ("NAME", "EMAIL")}
        none = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
        command = ["git", "-C", str(self.path), *arguments]
        return subprocess.run(command, env=os.environ | who | none, check=True, capture_output=True, text=True).stdout

    def commit(self, files: dict[str, str], subject: str = "a commit") -> str:
        """The hash of a commit that writes `files`."""
        for name, text in files.items():
            (self.path / name).parent.mkdir(parents=True, exist_ok=True)
            (self.path / name).write_text(text)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "-m", subject)
        return self.git("rev-parse", "HEAD").strip()


@pytest.fixture
def repository(tmp_path):
    return Repository(tmp_path / "repository")


def test_a_commit_that_the_next_one_repairs_is_noticed(repository, capsys):
    repository.commit({"a.py": GOOD, "b.txt": BAD})
    bad = repository.commit({"package/a module.py": BAD})
    repository.commit({"package/a module.py": GOOD})
    assert commits_parse.main(repository.path, None) == 1
    said = capsys.readouterr()
    assert said.err == f"commit {bad[:10]} does not parse: package/a module.py:3: invalid syntax\n"
    assert said.out == "3 commits looked at, 1 files in them do not parse\n"


def test_good_commits_pass(repository, capsys):
    repository.commit({"a.py": GOOD})
    repository.commit({"a.py": "y = '\\d'\n", "b.py": ""})
    repository.git("rm", "--quiet", "b.py")
    repository.commit({})
    assert commits_parse.main(repository.path, None) == 0
    assert capsys.readouterr().out.startswith("3 commits looked at, 0 files")


def test_what_lies_before_the_base_is_not_looked_at(repository):
    base = repository.commit({"a.py": BAD})
    repository.commit({"a.py": GOOD})
    assert commits_parse.main(repository.path, None) == 1
    assert commits_parse.main(repository.path, base) == 0
    repository.git("tag", commits_parse.BASE_TAG, base)
    assert commits_parse.main(repository.path, None) == 0


def test_the_commits_of_a_merged_branch_and_the_merge_itself_count(repository):
    base = repository.commit({"a.py": GOOD})
    repository.git("checkout", "--quiet", "-b", "side")
    side = repository.commit({"side.py": BAD})
    repository.commit({"side.py": GOOD})
    repository.git("checkout", "--quiet", "main")
    repository.commit({"main.py": GOOD})
    repository.git("merge", "--quiet", "--no-commit", "side")
    # As a conflict resolved in haste leaves it: neither parent has this text.
    merge = repository.commit({"a.py": "<<<<<<< HEAD\n"})
    found = commits_parse.faults(repository.path, commits_parse.commits_since(repository.path, base))
    assert [sentence.split()[1] for sentence in found] == [side[:10], merge[:10]]


def test_a_shallow_clone_is_looked_at_as_far_as_it_goes(repository, tmp_path):
    repository.commit({"a.py": GOOD, "b.py": BAD})
    repository.commit({"a.py": GOOD + GOOD})
    clone = tmp_path / "clone"
    repository.git("clone", "--quiet", "--depth=1", repository.path.as_uri(), str(clone))
    commits = commits_parse.commits_since(clone, None)
    assert len(commits) == 1
    # The one commit there has no parent here, so all of its files are its own.
    assert [sentence.split()[5] for sentence in commits_parse.faults(clone, commits)] == ["b.py:3:"]


def test_a_folder_without_history_is_refused(tmp_path):
    with pytest.raises(SystemExit, match="not a git repository"):
        commits_parse.main(tmp_path, None)
