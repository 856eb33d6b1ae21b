"""What the documentation names is there: paths, links, commands, options, manifests, and the tables of the code."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import typer

from latentpress.bench.report import VERSION as BENCH_VERSION
from latentpress.cli import app, run_cli
from latentpress.cli.options import JSON_VERSION
from pages import anchors, commands, fenced, links, paths, section, spans, table
from published import SCHEMAS

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "latentpress"
PAGES = {
    str(file.relative_to(ROOT)): file.read_text()
    for file in [
        *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
        *ROOT.glob("docs/**/*.md"),
    ]
}
HELP_OPTIONS = {"-h", "--help"}
EXAMPLES = {file.name: file.read_text() for file in sorted((ROOT / "examples").glob("*.yaml"))}
MANIFESTS = EXAMPLES | {
    f"{page}, block {number}": block
    for page, text in PAGES.items()
    for number, block in enumerate(fenced(text, "yaml"), 1)
    if block.startswith("version:")
}


# The code's tables, each through one function: what is looked for in the documentation.
def code_samplers() -> dict[str, tuple[str, str, str, str]]:
    """Name -> A1111's label, UNet calls, noise, diffusers' class."""
    from latentpress.runtime.sampling.samplers import BASES

    return {name: (base.label, base.calls, base.noise, base.scheduler.split(",")[0]) for name, base in BASES.items()}


def code_engines() -> list[str]:
    from latentpress.engines.table import ENGINES

    return [engine.name for engine in ENGINES]


def code_losses() -> dict[str, Any]:
    from latentpress.runtime.guidance import LOSSES

    return dict(LOSSES)


def code_fields() -> dict[str, Any]:
    """Name -> default, of a job's fields."""
    from latentpress.manifest.fields import FIELDS

    return {name: field.default for name, field in FIELDS.items()}


def code_keys() -> tuple[str, ...]:
    from latentpress.manifest.manifest import KEYS

    return KEYS


def code_commands() -> dict[str, set[str]]:
    """`render`, `concepts add` ... -> its options."""
    found: dict[str, set[str]] = {}

    def visit(name: str, command: Any) -> None:
        for key, child in getattr(command, "commands", {}).items():
            visit(f"{name} {key}".strip(), child)
        if not hasattr(command, "commands") or not name:
            options = [param for param in command.params if param.param_type_name == "option"]
            found[name] = {text for param in options for text in (*param.opts, *param.secondary_opts)} | HELP_OPTIONS

    visit("", typer.main.get_command(app))
    return found


@pytest.mark.parametrize("page", PAGES)
def test_paths_and_links_lead_somewhere(page):
    text = PAGES[page]
    # What `make demo` and a build leave in the clone is not what pages mean.
    made = {line.strip("/\n") for line in (ROOT / ".gitignore").read_text().splitlines()}
    tops = {path.name for path in (*ROOT.iterdir(), *PACKAGE.iterdir())} - made - {"demo"} | {"latentpress"}
    bases = (ROOT, ROOT / "src", PACKAGE, ROOT / "docs")
    named = paths(re.sub(r"\]\([^)]*\)", "]", text), tops)
    missing = {path for path in named if "NAME" not in path and not any(list(base.glob(path)) for base in bases)}
    files = {span for span in spans(text) if re.fullmatch(r"[\w-]+\.(py|md|toml|txt)", span)}
    missing |= {name for name in files if not any(path for path in ROOT.rglob(name) if ".venv" not in path.parts)}
    for link in links(text):
        if not link.startswith("http"):
            name, _, anchor = link.partition("#")
            file = ((ROOT / page).parent / name).resolve() if name else ROOT / page
            if not file.exists() or (anchor and anchor not in anchors(file.read_text())):
                missing.add(link)
    assert not missing - {"token_identifier.txt"}  # it comes with concepts from elsewhere


@pytest.mark.parametrize("page", PAGES)
def test_commands_and_options_that_are_named_exist(page):
    known = code_commands()
    groups = {name.split()[0] for name in known if " " in name}
    every = set().union(*known.values())
    wrong: list[str] = []
    for line in commands(PAGES[page]):
        found = re.findall(r"(?<![\w./-])latentpress ([a-z-].*)", line)
        # `render --strict` within a sentence is latentpress' too.
        found += [line] if re.match(rf"({'|'.join(known.keys() - {''})}) --", line) else []
        for called in found:
            words = called.split()
            name = " ".join(words[:2]) if words[0] in groups and words[1:2] not in ([], ["COMMAND"]) else words[0]
            name = "" if name.startswith("-") else name
            options = set(re.findall(r"(?<![\w-])-{1,2}[a-z][a-z-]*", called))
            if not (name in known or name in groups) or options - known.get(name, set()):
                wrong.append(line)
    wrong += [span for span in spans(PAGES[page]) if re.match("--[a-z]", span) and span.split()[0] not in every]
    assert not wrong


def test_every_command_is_described_and_its_tables_name_its_own_options():
    """docs/cli.md has every option (tests/test_cli_page.py); docs/commands.md those of which there is more to say."""
    page = PAGES["docs/commands.md"]
    for name, options in code_commands().items():
        if name:
            text = section(page, f"latentpress {name}")
            rows = table(text, "option") if "| option |" in text else []
            assert {option for row in rows for option in re.findall(r"`(-[^`]*)`", row[0])} <= options, name
    assert "`latentpress --version`" in page
    listed = {words[1] for row in table(PAGES["README.md"], "command") for words in [row[0].strip("`").split()]}
    assert listed | {"export", "concepts"} == {name.split()[0] for name in code_commands() if name}


def test_every_command_that_prints_json_has_a_published_schema():
    page = section(PAGES["docs/commands.md"], "JSON")
    named = {name.replace(" ", "-") for name, options in code_commands().items() if "--json" in options}
    files = [file for file in SCHEMAS.glob("*.json") if file.stem != "picture"]  # of a picture's text
    assert {file.stem for file in files} == named | {"error", "render-dry-run", "bench-compare", "bench-sweep"}
    for file in files:
        schema = json.loads(file.read_text())
        version = BENCH_VERSION if file.stem == "bench" else JSON_VERSION
        assert schema["$id"] == f"urn:latentpress:{file.stem}:{version}"
        assert schema["properties"]["version"] == {"const": version}
        assert f"schemas/{file.name}" in page


@pytest.mark.parametrize("name", MANIFESTS)
def test_manifests_can_be_planned(name, assets, tmp_path, monkeypatch):
    """On the tests' own bundle, and with concepts of its width: the built-in model takes a minute to export."""
    monkeypatch.setenv("LATENTPRESS_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)  # where no earlier `make demo` has left its folder
    text = MANIFESTS[name]
    for token, file in re.findall(r"^ +(<[\w-]+>): (concepts/\S+)", text, re.MULTILINE):
        assert (ROOT / "examples" / file).exists()
        (tmp_path / file).parent.mkdir(exist_ok=True)
        if (assets / file).exists():  # the bundle has that token already, from this very file
            shutil.copy(assets / file, tmp_path / file)
        else:
            torch.save({token: torch.ones(64)}, tmp_path / file)
    kinds = ("*.txt", "wildcards/**/*.txt", "losses/*.py")
    for file in (file for kind in kinds for file in (ROOT / "examples").glob(kind)):
        copy = tmp_path / file.relative_to(ROOT / "examples")
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, copy)
    (tmp_path / "m.yaml").write_text(re.sub(r"^model: demo\b", f"model: {assets / 'bundle'}", text, flags=re.MULTILINE))
    assert run_cli(["plan", str(tmp_path / "m.yaml")]) == 0


def test_the_fragment_of_a_matrix_can_be_planned(assets, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("LATENTPRESS_CACHE", str(tmp_path / "cache"))
    [fragment] = fenced(PAGES["docs/manifest.md"], "yaml")
    head = f"version: 1\nmodel: {assets / 'bundle'}\ndefaults: {{prompt: a cat}}\n"
    (tmp_path / "m.yaml").write_text(head + fragment)
    assert run_cli(["plan", str(tmp_path / "m.yaml")]) == 0
    # Two styles, two scales and two losses, less the two that `exclude` leaves out.
    assert "6 missing" in capsys.readouterr().out


def test_the_table_of_samplers_is_the_codes():
    noise = {"none": "none", "draws": "draws", "a Brownian path": "path", "none; draws with `eta`": "none"}
    rows = {
        row[0].strip("`"): (row[1], row[2].replace(" ", ""), noise[row[3]], row[4].split(",")[0])
        for row in table(PAGES["docs/samplers.md"], "name")
    }
    assert rows == code_samplers()


def test_the_table_of_engines_is_the_codes():
    rows = table(PAGES["docs/engines.md"], "`--engine`")
    named = [name.partition(":")[0] for row in rows for name in re.findall(r"`([^`]+)`", row[0])]
    assert list(dict.fromkeys(named)) == code_engines()


def test_the_tables_of_losses_are_the_codes():
    from latentpress.runtime.guidance.listing import parameter_texts

    known = code_losses()
    [bullet] = re.findall(r"^- losses: (.*?);", PAGES["README.md"], re.MULTILINE | re.DOTALL)
    assert re.findall(r"`(\w+)`", bullet) == list(known)
    rows = {row[0].strip("`"): row[1:] for row in table(PAGES["docs/losses.md"], "loss")}
    assert list(rows) == list(known)
    for name, loss in known.items():
        does, scale, parameters = rows[name]
        assert [does, parameters] == [loss.does, ", ".join(f"`{one}`" for one in parameter_texts(loss))], name
        # The scales themselves were measured: `latentpress losses demo --calibrate`.
        assert re.fullmatch(r"([\d.]+ to [\d.]+)?(; also below 0|also below 0)?", scale), name
        assert scale.endswith("also below 0") == loss.both_ways, name
    formulas = {row[0].strip("`"): row[1:] for row in table(PAGES["docs/losses.md"], "formula of")}
    for name, loss in known.items():
        assert formulas[name] == [f"`{loss.formula}`".replace("|", r"\|"), loss.range, loss.source], name


def test_the_tables_of_the_manifest_are_the_codes():
    page = PAGES["docs/manifest.md"]
    assert {row[0].strip("`") for row in table(page, "key")} == set(code_keys())
    rows = {row[0].strip("`"): row[2] for row in table(page, "field")}
    fields = code_fields()
    assert rows.keys() == fields.keys()
    for name, default in fields.items():
        if isinstance(default, int | float | str):
            assert rows[name] == f"`{default if isinstance(default, str) else format(default, 'g')}`", name


def test_the_a1111_keys_of_the_manual_are_those_that_are_written():
    from latentpress.manifest.fields import FIELDS
    from latentpress.runtime.request import LossCode, MicroConditioning
    from requests_made import EVERYTHING, FACTS

    requests = [
        replace(EVERYTHING, sampler=name, prompt_weighting=way)
        for name in ("euler_karras_trailing", "euler")
        for way in ("a1111", "compel")
    ]
    own = replace(EVERYTHING.losses[0], code=LossCode("a" * 64, Path("losses/mine.py")))
    requests.append(replace(EVERYTHING, losses=(own,)))
    sizes = (8, 16), (1, 2), (24, 32), 5, 3, (40, 48), (3, 4), (56, 64)
    requests.append(replace(EVERYTHING, micro=MicroConditioning(*sizes)))
    requests.append(replace(EVERYTHING, losses=(replace(EVERYTHING.losses[0], step="raw", method="x0_mc"),)))
    for row in table(PAGES["docs/manifest.md"], "field"):
        write = FIELDS[row[0].strip("`")].parameters
        written = {key for request in requests if write for key in write(request, FACTS, {"whole": FACTS})}
        if row[0] not in ("`prompt`", "`negative_prompt`"):  # they are the lines before the keys
            assert set(re.findall(r"`([^`]+)`", row[4])) == written, row[0]
