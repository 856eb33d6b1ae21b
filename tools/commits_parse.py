"""Checks that the Python files of every commit parse, not only those of the last one: `git bisect` needs each of them.

    python tools/commits_parse.py [BASE]

Looks at the commits after BASE: by default after the tag v0.1.0, or the last 200 where that tag is missing; a shallow
clone is looked at as far as it goes. Standard library and git alone. Exit status 1 when a file does not parse.
"""

import ast
import subprocess
import sys
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

BASE_TAG = "v0.1.0"
LAST = 200
# Does not parse, was published, and is not rewritten: it lies before BASE_TAG, but a clone may come without tags.
KNOWN = frozenset({"6decd4f235cce6af930e1d3721072db12c2a24dd"})
_FILE_MODES = ("100644", "100755")


def git(repository: Path, *arguments: str, given: bytes = b"") -> bytes:
    """What `git ARGUMENTS` prints. Exits with git's own words when it fails."""
    done = subprocess.run(["git", "-C", str(repository), *arguments], input=given, capture_output=True, check=False)
    if done.returncode:
        sys.exit(f"git {arguments[0]}: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout


def commits_since(repository: Path, base: str | None) -> list[str]:
    """The commits to look at, oldest first, on every side of every merge."""
    if base is None and git(repository, "tag", "--list", BASE_TAG).strip():
        base = BASE_TAG
    wanted = [f"{base}..HEAD"] if base else [f"--max-count={LAST}", "HEAD"]
    return git(repository, "rev-list", "--reverse", *wanted).decode().split()


def changed_files(repository: Path, commits: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    """(commit, blob, path) of each Python file a commit adds or changes; a merge's against each of its parents."""
    # --root and -m: a commit without a parent has all of its files, a merge those that either side lacked.
    arguments = ("diff-tree", "--stdin", "--raw", "-r", "-z", "-m", "--root", "--no-renames", "--no-abbrev")
    # git leaves out a last line that does not end.
    given = "".join(f"{commit}\n" for commit in commits).encode()
    fields = iter(git(repository, *arguments, given=given).split(b"\0"))
    commit = ""
    for field in fields:
        text = field.decode(errors="surrogateescape").strip()
        if not text.startswith(":"):
            commit = text[:40] or commit
            continue
        _, mode, _, blob, _ = text.split()
        path = next(fields).decode(errors="surrogateescape")
        if path.endswith(".py") and mode in _FILE_MODES:
            yield commit, blob, path


def contents(repository: Path, blobs: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    """(blob, its bytes) for each of `blobs`, by one git process."""
    output = git(repository, "cat-file", "--batch", given="".join(f"{blob}\n" for blob in blobs).encode())
    start = 0
    for _ in blobs:
        end = output.index(b"\n", start)
        blob, _, size = output[start:end].decode().split()
        start = end + 1 + int(size) + 1
        yield blob, output[end + 1 : start - 1]


def fault(source: bytes, path: str) -> str | None:
    """`PATH:LINE: why` when `source` is not Python of the running version, else None."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an odd escape is for ruff to refuse
            ast.parse(source, path)
    except SyntaxError as error:
        return f"{path}:{error.lineno or 1}: {error.msg}"
    except ValueError as error:  # a NUL byte
        return f"{path}:1: {error}"
    return None


def faults(repository: Path, commits: Sequence[str]) -> list[str]:
    """One sentence for each file of `commits` that does not parse, under the oldest commit that has it so."""
    first: dict[str, tuple[str, str]] = {}
    for commit, blob, path in changed_files(repository, commits):
        if commit not in KNOWN:
            first.setdefault(blob, (commit, path))
    found: dict[str, list[str]] = {}
    for blob, source in contents(repository, list(first)):
        commit, path = first[blob]
        if why := fault(source, path):
            found.setdefault(commit, []).append(why)
    return [f"commit {commit[:10]} does not parse: {why}" for commit in commits for why in found.get(commit, ())]


def main(repository: Path, base: str | None) -> int:
    """Print what does not parse; 0 when everything does."""
    commits = commits_since(repository, base)
    found = faults(repository, commits)
    for sentence in found:
        print(sentence, file=sys.stderr)
    print(f"{len(commits)} commits looked at, {len(found)} files in them do not parse")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(Path(__file__).resolve().parent.parent, sys.argv[1] if len(sys.argv) > 1 else None))
