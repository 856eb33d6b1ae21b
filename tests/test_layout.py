"""The shape of the source tree: which stage imports which, what the root links point to, how long a file may grow."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SRC = ROOT / "src"
FILES = sorted((SRC / "latentpress").rglob("*.py"))
STAGES = ("export", "runtime", "batch")
# batch -> runtime and export -> runtime are the only ways across.
FORBIDDEN = {"runtime": ("export", "batch"), "batch": ("export",), "export": ("batch",)}


def imports(file: Path, source: str) -> Iterator[str]:
    """Full dotted names `source` imports, wherever in it: relative ones resolved as if it lay at `file`."""
    parts = file.relative_to(SRC).with_suffix("").parts
    package = parts[:-1]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(part for part in (base, node.module or "") if part)
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def within(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_imports_only_what_it_may(stage: str) -> None:
    files = [file for file in FILES if file.is_relative_to(SRC / "latentpress" / stage)]
    assert files
    wrong = [
        f"{file.relative_to(ROOT)} imports {name}"
        for file in files
        for name in imports(file, file.read_text())
        for other in FORBIDDEN[stage]
        if within(name, f"latentpress.{other}")
    ]
    assert not wrong


def test_nothing_imports_the_cli() -> None:
    wrong = [
        str(file.relative_to(ROOT))
        for file in FILES
        if file.name != "__main__.py"
        and not file.is_relative_to(SRC / "latentpress" / "cli")
        and any(within(name, "latentpress.cli") for name in imports(file, file.read_text()))
    ]
    assert not wrong


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import latentpress.batch.plan", "latentpress.batch.plan"),
        ("from latentpress import batch", "latentpress.batch"),
        ("from ..batch import plan", "latentpress.batch.plan"),
        ("from .. import batch", "latentpress.batch"),
        ("def f():\n    from latentpress.batch.plan import Plan", "latentpress.batch.plan"),
    ],
)
def test_every_way_of_importing_is_seen(source: str, expected: str) -> None:
    assert expected in set(imports(SRC / "latentpress" / "runtime" / "x.py", source))


@pytest.mark.parametrize("stage", STAGES)
def test_the_root_links_lead_to_the_stages(stage: str) -> None:
    link = ROOT / stage
    assert link.is_symlink()
    assert link.readlink() == Path("src/latentpress") / stage


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(SRC)))
def test_a_file_stays_short_enough_to_read(file: Path) -> None:
    assert len(file.read_text().splitlines()) <= 350


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(SRC)))
def test_a_file_says_first_what_it_does(file: Path) -> None:
    assert ast.get_docstring(ast.parse(file.read_text()))
