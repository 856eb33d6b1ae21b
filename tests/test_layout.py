"""The shape of the source tree: which layer imports which, what the root links point to, how long a file may grow."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SRC = ROOT / "src"
PACKAGE = SRC / "latentpress"
FILES = sorted(PACKAGE.rglob("*.py"))
# From the ground up: a layer imports itself and those before it. `__init__` and `__main__` are the doors of the house.
LAYERS = (
    *(
        "version",
        "errors",
        "files",
        "safe_names",
        "choosing",
        "folders",
        "sheets",
        "bundle",
        "engines",
        "runtime",
        "export",
    ),
    *(
        "manifest",
        "cache",
        "models",
        "measures",
        "batch",
        "compare",
        "results",
        "gallery",
        "openai_batch",
        "pictures",
        "rerender",
        "bench",
        "testing",
        "cli",
        "__init__",
        "__main__",
    ),
)
STAGES = ("export", "runtime", "batch")
MAX_LINES = 300


def imports(file: Path, source: str) -> Iterator[str]:
    """Full dotted names `source` imports, wherever in it: relative ones resolved as if it lay at `file`."""
    package = file.relative_to(SRC).with_suffix("").parts[:-1]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(part for part in (base, node.module or "") if part)
            yield from (f"{module}.{alias.name}" for alias in node.names)


def layer(name: str) -> str | None:
    """The layer of a dotted name; what the package itself gives, its face, is of the layer `__init__`."""
    parts = name.split(".")
    if parts[0] != "latentpress":
        return None
    return parts[1] if len(parts) > 1 and parts[1] in LAYERS else "__init__"


def module(file: Path) -> str:
    return ".".join(file.relative_to(SRC).with_suffix("").parts).removesuffix(".__init__")


def target(name: str) -> str:
    """The module that `from module import x` loads, where x may be a module or a name in one."""
    path = SRC / Path(*name.split("."))
    return name if path.with_suffix(".py").exists() or path.is_dir() else name.rpartition(".")[0]


def test_every_file_belongs_to_a_layer() -> None:
    assert {file.relative_to(PACKAGE).with_suffix("").parts[0] for file in FILES} == set(LAYERS)


def test_layers_import_downward() -> None:
    upward = [
        f"{file.relative_to(ROOT)} imports {name}"
        for file in FILES
        for name in imports(file, file.read_text())
        if (other := layer(name)) is not None
        and LAYERS.index(other) > LAYERS.index(file.relative_to(PACKAGE).with_suffix("").parts[0])
    ]
    assert not upward


def test_no_circle() -> None:
    """No file imports, however indirectly, a file that imports it; what is imported for types alone counts too."""
    edges = {
        module(file): {target(name) for name in imports(file, file.read_text()) if name.startswith("latentpress.")}
        for file in FILES
    }
    done: set[str] = set()
    path: list[str] = []

    def visit(name: str) -> None:
        assert name not in path, f"circle: {' -> '.join([*path[path.index(name) :], name])}"
        if name in done or name not in edges:
            return
        path.append(name)
        for other in sorted(edges[name]):
            visit(other)
        done.add(path.pop())

    for name in sorted(edges):
        visit(name)


@pytest.mark.parametrize("stage", STAGES)
def test_the_root_links_lead_to_the_stages(stage: str) -> None:
    link = ROOT / stage
    assert link.is_symlink()
    assert link.readlink() == Path("src/latentpress") / stage


def test_files_stay_short_enough_to_read() -> None:
    sources = [*FILES, *(ROOT / "tests").rglob("*.py"), *(ROOT / "benchmarks").rglob("*.py")]
    lengths = {file: len(file.read_text().splitlines()) for file in [*sources, *(ROOT / "tools").rglob("*.py")]}
    assert not {str(file.relative_to(ROOT)): lines for file, lines in lengths.items() if lines > MAX_LINES}


def test_a_file_says_first_what_it_does() -> None:
    assert not [file for file in FILES if not ast.get_docstring(ast.parse(file.read_text()))]


def test_commands_read_arguments_call_and_print() -> None:
    functions = [
        (f"{file.name}:{node.name}", (node.end_lineno or 0) - node.lineno + 1)
        for file in (PACKAGE / "cli").rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.FunctionDef)
    ]
    assert len(functions) > 20
    assert not [name for name, lines in functions if lines > 60]
