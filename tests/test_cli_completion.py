"""Completion: what a shell gets on Tab, by typer's protocol and by a real bash, and what that costs."""

import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from latentpress.cli import run_cli
from latentpress.cli.completion import ELSEWHERE, ENGINES, FIELD_WORDS, field_values

# Seconds of CPU for one answer; measured 0.24 to 0.40 on two busy cores.
MOST = 1.0


@pytest.fixture
def program(tmp_path):
    """A folder with `latentpress` as a program, for PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "latentpress").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m latentpress "$@"\n')
    (folder / "latentpress").chmod(0o755)
    return folder


def environment(tmp_path, **more):
    source = str(Path(__file__).resolve().parent.parent / "src")
    return {"PATH": os.environ["PATH"], "PYTHONPATH": source, "HOME": str(tmp_path), **more}


@pytest.fixture
def answers(tmp_path, monkeypatch, capsys):
    """answers(*words): what bash is told for these words, the last one being typed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("_LATENTPRESS_COMPLETE", "complete_bash")

    def ask(*words):
        monkeypatch.setenv("COMP_WORDS", "\n".join(["latentpress", *words]))
        monkeypatch.setenv("COMP_CWORD", str(len(words)))
        assert run_cli([]) == 0
        said = capsys.readouterr()
        assert not said.err
        return said.out.splitlines()

    return ask


def test_commands_options_and_words(answers, tmp_path):
    (tmp_path / "bundles" / "mine").mkdir(parents=True)
    (tmp_path / "bundles" / "mine" / "bundle.json").write_text("{}")
    (tmp_path / "out" / "night" / ".latentpress").mkdir(parents=True)
    assert answers("re") == ["render", "report", "rebuild", "rerender", "results"]
    assert answers("cache", "") == ["dir", "list", "prune"]
    assert answers("render", "--st") == ["--strict", "--stop-after", "--stop-at"]
    assert answers("plan", "m.yaml", "--engine", "ten") == ["tensorrt", "tensorrt-rtx"]
    assert answers("draw", "owl", "--sampler", "uni")[0] == "unipc"
    assert answers("draw", "owl", "--loss", "so") == ["soft_canny", "sobel"]
    assert answers("draw", "owl", "--guid") == ["--guidance-scale", "--guidance-rescale", "--guidance-stop"]
    assert answers("draw", "owl", "--text-cleaning", "") == ["basic", "clip"]
    assert answers("inspect", "") == ["demo", "bundles/mine"]
    assert answers("verify", "o") == ["out/night"]
    assert not [line for line in answers("render", "m") if line]  # the shell offers files


def test_the_words_are_those_of_the_tables():
    from latentpress.engines.choice import choices
    from latentpress.engines.table import ENGINES as ENGINE_TABLE
    from latentpress.manifest.fields import FIELDS
    from latentpress.manifest.schema import manifest_schema

    assert tuple(map(str, choices())) == ENGINES
    assert tuple(engine.name for engine in ENGINE_TABLE if engine.elsewhere) == ELSEWHERE

    def listed(schema):
        yield from (one for one in schema.get("enum", ()) if isinstance(one, str))
        for part in schema.get("anyOf", ()):
            yield from listed(part)
        if "$ref" in schema:
            yield from listed(known[schema["$ref"].removeprefix("#/$defs/")])

    known = manifest_schema()["$defs"]
    for name in FIELDS:
        words = {one for one in listed(known[name]) if one not in ("off", "no")} - {"none"}
        if name in ("sampler", "background"):  # of the 140 names of colours none is offered
            assert set(field_values(name)("")) <= words
        else:
            assert set(FIELD_WORDS.get(name, ())) - {"none"} == words, name


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells(tmp_path, shell):
    asked = {"_TYPER_COMPLETE_ARGS": "latentpress render --engine ten", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    env = environment(tmp_path, _LATENTPRESS_COMPLETE=f"complete_{shell}", **asked)
    done = subprocess.run([sys.executable, "-m", "latentpress"], env=env, capture_output=True, text=True, check=True)
    assert "tensorrt-rtx" in done.stdout
    env["_LATENTPRESS_COMPLETE"] = f"source_{shell}"
    script = subprocess.run(
        [sys.executable, "-m", "latentpress"], env=env, capture_output=True, text=True, check=True
    ).stdout
    assert f"complete_{shell}" in script


def test_nothing_heavy_is_imported_and_it_is_quick(tmp_path):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    asked = {"COMP_WORDS": "latentpress\ndraw\nowl\n--sampler\nuni", "COMP_CWORD": "4"}
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "latentpress"],
        env=environment(tmp_path, _LATENTPRESS_COMPLETE="complete_bash", **asked),
        capture_output=True,
        text=True,
        check=True,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "latentpress.cli" in imported
    assert not imported & {"torch", "diffusers", "transformers", "onnx", "onnxruntime", "numpy", "PIL", "yaml"}
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < MOST


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["schema"]])
def test_what_is_asked_first_imports_nothing_heavy(tmp_path, arguments):
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "latentpress", *arguments],
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        check=True,
    )
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "latentpress.cli" in imported
    assert not imported & {
        "torch",
        "diffusers",
        "transformers",
        "onnx",
        "onnxruntime",
        "cv2",
        "scipy",
        "huggingface_hub",
    }


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
def test_a_real_bash_completes(tmp_path, program):
    """The script is loaded as --install-completion has it loaded, and its function called as bash calls it."""
    asks = """
        eval "$(_LATENTPRESS_COMPLETE=source_bash latentpress)"
        complete -p latentpress
        COMP_WORDS=(latentpress render my.yaml --engine open) COMP_CWORD=4
        _latentpress_completion latentpress open --engine
        printf '%s\\n' "${COMPREPLY[@]}"
    """
    env = environment(tmp_path)
    env["PATH"] = f"{program}:{env['PATH']}"
    done = subprocess.run(["bash", "--norc", "-c", asks], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "complete -o default -F _latentpress_completion latentpress",
        "openvino",
        "openvino:bf16",
    ]
    assert not done.stderr


# What is typed -> what a terminal shows on Tab.
TYPED = {
    "latentpress draw 'a kite' --engine openv": "openvino:bf16",
    "latentpress status my": "my.yaml",
}
# A terminal of zsh's own: the line is typed, Tab pressed, and what stands on the screen read until the next prompt.
ZSH = r"""
zmodload zsh/zpty
zpty z zsh -f -i
zpty -w z 'PROMPT="%(?.GO.NO)>"; unsetopt zle_bracketed_paste prompt_cr prompt_sp; setopt no_list_beep; LISTMAX=1000'
zpty -w z "autoload -Uz compinit; compinit -u -D; source $1; bindkey '^I' list-choices; print READ''Y"
zpty -r -m z out '*READY*GO>*'
for line in "${@[2,-1]}"; do
    zpty -w -n z "$line"$'\t'
    zpty -w z $'\x15'"print DO''NE"
    zpty -r -m z out '*DONE*GO>*'
    print -r -- "[$line]$out"
done
"""


@pytest.fixture
def typed(tmp_path, program):
    """typed(shell): environment and script for it, beside a manifest."""
    (tmp_path / "my.yaml").write_text("")

    def made(shell):
        env = environment(tmp_path, LC_ALL="C.UTF-8", TERM="xterm")
        env["PATH"] = f"{program}:{env['PATH']}"
        script = subprocess.run(
            ["latentpress"], env=env | {"_LATENTPRESS_COMPLETE": f"source_{shell}"}, capture_output=True, check=True
        )
        (tmp_path / f"complete.{shell}").write_bytes(script.stdout)
        return env, tmp_path / f"complete.{shell}"

    return made


@pytest.mark.skipif(shutil.which("zsh") is None, reason="zsh is not installed: Debian's zsh")
def test_a_real_zsh_completes(tmp_path, typed):
    env, script = typed("zsh")
    helped = "latentpress openai --"
    words = ["zsh", "-f", "-c", ZSH, "zsh", script, *TYPED, helped]
    done = subprocess.run(words, env=env, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60)
    shown = dict(one.split("]", 1) for one in done.stdout.removeprefix("[").split("\n["))
    for line, word in TYPED.items():
        assert word in shown[line].replace(line, "", 1), line
    assert "--engine      -- cpu, openvino, openvino:bf16, cuda, tensorrt or " in shown[helped]
    assert "{name} in it is the manifest’s name" in shown[helped]
    assert "a folder or `demo`" in shown[helped]


@pytest.mark.skipif(shutil.which("fish") is None, reason="fish is not installed: Debian's fish")
def test_a_real_fish_completes(tmp_path, typed):
    env, script = typed("fish")
    asks = 'source $argv[1]; for line in $argv[2..]; echo "[$line]"; complete -C $line; end'
    helped = "latentpress openai --engin"
    words = ["fish", "--no-config", "-c", asks, str(script), *TYPED, helped]
    done = subprocess.run(words, env=env, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60)
    shown = dict(one.split("]\n", 1) for one in done.stdout.removeprefix("[").split("\n["))
    for line, word in TYPED.items():
        assert word in [one.partition("\t")[0] for one in shown[line].splitlines()], line
    assert shown[helped].startswith(
        "--engine\tcpu, openvino, openvino:bf16, cuda, tensorrt or tensorrt-rtx; default the"
    )


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
def test_it_is_installed_for_the_shell_that_asks(tmp_path, program):
    env = environment(tmp_path)
    env["PATH"] = f"{program}:{env['PATH']}"
    asks = "latentpress --install-completion; echo $?"  # two commands, so that bash stays
    done = subprocess.run(["bash", "--norc", "-c", asks], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0"
    assert "bash" in done.stdout
    asks = f"source {tmp_path}/.bashrc; complete -p latentpress"
    done = subprocess.run(["bash", "--norc", "-c", asks], env=env, capture_output=True, text=True, check=True)
    assert "_latentpress_completion" in done.stdout


def test_no_shell_is_a_sentence(monkeypatch, capsys):
    import shellingham

    def none(*_, **__):
        raise shellingham.ShellDetectionFailure

    monkeypatch.setattr(shellingham, "detect_shell", none)
    assert run_cli(["--show-completion"]) == 2
    assert "_LATENTPRESS_COMPLETE=source_bash latentpress" in capsys.readouterr().err
