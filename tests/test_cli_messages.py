"""Every wrong input through the real command line: its sentence, its exit code, and nothing half-made left behind."""

import fcntl
import shutil

import pytest
import torch

from latentpress.cli import run_cli

HEAD = "version: 1\nname: wrong\nmodel: {bundle}\n"
GOOD = (
    HEAD
    + 'defaults: {{prompt: a mouse, steps: 2, size: 64x64}}\njobs:\n  - {{id: one, seed: 1}}\noutput: "{{id}}.png"\n'
)

CASES = {
    "unknown key": (
        HEAD + "defaults: {{prompt: a mouse, stepz: 3}}\n",
        "wrong.yaml:4:29: unknown key 'stepz' in defaults; did you mean 'steps'?",
    ),
    "wrong type": (HEAD + "defaults: {{prompt: a mouse, steps: many}}\n", "wrong.yaml:4:36: steps is 'many'; it must"),
    "size": (
        HEAD + "defaults: {{prompt: a mouse, size: 500x512}}\n",
        "wrong.yaml:4:35: size is 500x512; both sides must be multiples of 8, e.g. 504x512",
    ),
    "missing concept": (
        HEAD + "concepts: {{<nowhere>: nowhere.bin}}\ndefaults: {{prompt: a mouse}}\n",
        "nowhere.bin of <nowhere> does not exist",
    ),
    "concept of the wrong width": (
        HEAD + "concepts: {{<wide>: wide.bin}}\ndefaults: {{prompt: a mouse}}\n",
        "wrong.yaml:4:20: ",
    ),
    "unknown token": (
        HEAD + "defaults: {{prompt: a mouse <lime-art>}}\n",
        "wrong.yaml:4:20: <lime-art> in the prompt looks like a concept",
    ),
    "unknown loss": (
        HEAD + "defaults: {{prompt: a mouse, loss: cany}}\n",
        "wrong.yaml:4:35: unknown loss 'cany'; did you mean 'canny'?",
    ),
    "climbing output": (
        HEAD + 'defaults: {{prompt: a mouse}}\noutput: "../{{seed}}.png"\n',
        "wrong.yaml:5:9: output '../{seed}.png' climbs out with '..'",
    ),
    "one name twice": (
        HEAD
        + 'defaults: {{prompt: a mouse}}\njobs:\n  - {{id: a, seed: 1}}\n  - {{id: b, seed: 2}}\noutput: "x.png"\n',
        "both have the output name 'x.png'",
    ),
    "empty": ("", "wrong.yaml:1:1: the manifest is empty"),
    "no jobs": (HEAD, "wrong.yaml:1:1: the manifest is empty"),
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LATENTPRESS_CACHE", str(tmp_path / "cache"))
    torch.save({"<wide>": torch.zeros(99)}, tmp_path / "wide.bin")
    return tmp_path


@pytest.mark.parametrize("case", CASES)
def test_a_wrong_manifest_is_refused_with_its_sentence(case, folder, assets, capsys):
    text, sentence = CASES[case]
    (folder / "wrong.yaml").write_text(text.format(bundle=assets / "bundle"))
    assert run_cli(["render", "wrong.yaml", "-o", "out"]) == 2
    said = capsys.readouterr()
    assert sentence in said.err
    assert "Traceback" not in said.err
    assert said.out == ""
    assert not (folder / "out").exists()
    assert not list(folder.rglob(".*.making"))


def test_the_wrong_width_names_both_widths(folder, assets, capsys):
    assert run_cli(["concepts", "add", str(assets / "bundle"), "wide.bin"]) == 2
    said = capsys.readouterr().err
    assert "wide.bin" in said
    assert "99" in said
    assert "64" in said


def test_one_flipped_byte_in_the_bundle_is_refused(folder, assets, capsys):
    copy = shutil.copytree(assets / "bundle", folder / "bundle")
    data = bytearray((copy / "unet.onnx").read_bytes())
    data[len(data) // 2] ^= 1
    (copy / "unet.onnx").write_bytes(bytes(data))
    (folder / "wrong.yaml").write_text(GOOD.format(bundle=copy))
    assert run_cli(["render", "wrong.yaml", "-o", "out"]) == 2
    assert "unet.onnx: sha256 is" in capsys.readouterr().err
    assert not (folder / "out").exists()


def test_a_locked_folder_is_left_alone(folder, assets, capsys):
    (folder / "wrong.yaml").write_text(GOOD.format(bundle=assets / "bundle"))
    own = folder / "out" / ".latentpress"
    own.mkdir(parents=True)
    with (own / "lock").open("w") as lock:
        lock.write("4321\n")
        lock.flush()
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert run_cli(["render", "wrong.yaml", "-o", "out"]) == 75
    assert "process 4321 renders into this folder" in capsys.readouterr().err
    assert [path.name for path in (folder / "out").iterdir()] == [".latentpress"]
    assert run_cli(["render", "wrong.yaml", "-o", "out"]) == 0, "a dead owner's lock does not count"
    assert (folder / "out" / "one.png").exists()


def test_a_second_render_renders_nothing_and_a_lost_file_comes_back(folder, assets, capsys):
    (folder / "wrong.yaml").write_text(GOOD.format(bundle=assets / "bundle"))
    assert run_cli(["render", "wrong.yaml", "-o", "out"]) == 0
    first = (folder / "out/one.png").read_bytes()
    capsys.readouterr()
    assert run_cli(["render", "wrong.yaml", "-o", "out"]) == 0
    assert "0 rendered, 1 already done" in capsys.readouterr().out
    (folder / "out/one.png").unlink()
    assert run_cli(["render", "wrong.yaml", "-o", "out"]) == 0
    assert (folder / "out/one.png").read_bytes() == first


def test_a_file_that_begins_with_a_dash_is_told_how_to_be_written(folder, assets, capsys):
    (folder / "-dash").write_text(GOOD.format(bundle=assets / "bundle"))
    for words, name in {
        "plan -dash": "-dash",
        "plan -dash.yaml": "-dash.yaml",
        "plan -o.yaml": "-o.yaml",
        "status --m.yaml": "--m.yaml",
        "show -x.png": "-x.png",
    }.items():
        assert run_cli(words.split()) == 2
        said = capsys.readouterr().err
        assert said.endswith(f"; '{name}' is read as an option, so write ./{name} for the file\n")
        assert said.startswith(f"error: latentpress {words.split()[0]}: ")
    assert run_cli(["plan", "./-dash"]) == run_cli(["plan", "--", "-dash"]) == 0
    capsys.readouterr()
    assert run_cli(["plan", "--stepz", "m.yaml"]) == 2
    assert "is read as an option" not in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["file", "below a file", "a link to nothing"])
def test_a_cache_that_is_no_folder_is_told_before_anything_is_begun(kind, folder, monkeypatch, capsys):
    (folder / "file").write_text("")
    (folder / "link").symlink_to("nowhere")
    cache = {"file": folder / "file", "below a file": folder / "file/x", "a link to nothing": folder / "link"}[kind]
    monkeypatch.setenv("LATENTPRESS_CACHE", str(cache))
    (folder / "m.yaml").write_text("version: 1\nmodel: demo\ndefaults: {prompt: a}\n")
    for words in (["cache", "list"], ["cache", "list", "--json"], ["cache", "prune"], ["render", "m.yaml"]):
        assert run_cli(words) == 3
        said = capsys.readouterr().err
        assert said.startswith(f"error: {folder}/")
        assert said.endswith("; name another cache folder with LATENTPRESS_CACHE\n")
        assert said.count("\n") == 1, "nothing is said to be exported"
    monkeypatch.setenv("LATENTPRESS_CACHE", str(folder / "none"))
    assert run_cli(["cache", "list"]) == 0, "one that is not there yet is empty"
