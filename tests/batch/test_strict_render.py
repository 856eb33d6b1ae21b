"""`render --strict` through the command line: what it tests, records, fixes and refuses, and says in ledger and pictures."""

import json
import shutil
import sqlite3

import numpy as np
import pytest
from PIL import Image

from latentpress.batch.pictures.png import pixel_sha256
from latentpress.bundle.info import open_bundle
from latentpress.cli import run_cli
from latentpress.engines import devices
from latentpress.engines import row_test as selftest
from latentpress.engines.choice import parse_engine
from latentpress.engines.devices import Gpu
from latentpress.engines.opening import open_session
from latentpress.engines.records import EngineRecord, read_record, write_record
from latentpress.engines.shapes import shape_profile
from latentpress.runtime.loop import model as models
from moving import Clean, Counting, Fickle, Tuned

CPU = parse_engine("cpu")


@pytest.fixture
def own(assets, tmp_path, monkeypatch):
    """own(kind): a copy of the bundle, whose UNet is opened as `kind`; and the component that was opened, each time."""
    monkeypatch.setenv("LATENTPRESS_CACHE", str(tmp_path / "cache"))
    path = shutil.copytree(assets / "bundle", tmp_path / "bundle")
    tested = []  # components
    test = selftest.prove

    def prove(session, component, *rest):
        tested.append(component.name)
        return test(session, component, *rest)

    monkeypatch.setattr(selftest, "prove", prove)

    def use(kind):
        def opened(bundle, component, choice, threads=None):
            session = open_session(bundle, component, choice, 1)
            return kind(session) if component == "unet" else session

        monkeypatch.setattr(models, "open_session", opened)
        return path, tested

    return use


MANIFEST = """\
version: 1
name: four
model: {bundle}
defaults: {{prompt: a mouse, steps: 3, size: 64x64}}
matrix: {{seed: [{seeds}]}}
output: "{{seed}}.png"
"""


def rendered(bundle, out, *options, seeds="1, 2, 3, 4"):
    """The exit code, and each picture's pixels."""
    manifest = bundle.parent / "four.yaml"
    manifest.write_text(MANIFEST.format(bundle=bundle, seeds=seeds))
    folder = bundle.parent / out
    code = run_cli(["render", str(manifest), "-o", str(folder), *options])
    return code, {int(file.stem): pixel_sha256(np.asarray(Image.open(file))) for file in folder.glob("*.png")}


def said_of_rows(folder):
    """What the ledger's rows say, and what the pictures do."""
    with sqlite3.connect(folder / ".latentpress" / "ledger.sqlite") as connection:
        rules = {rule for (rule,) in connection.execute("SELECT row_rule FROM images")}
    texts = [json.loads(Image.open(file).text["latentpress"]) for file in folder.glob("*.png")]
    return rules, {text.get("rows") for text in texts}


def test_a_strict_render_tests_records_fixes_and_says_so(own, capsys):
    bundle, tested = own(Counting)
    code, strict_ones = rendered(bundle, "a", "--strict")
    assert code == 0
    assert "8 UNet rows a call: fixed by --strict" in capsys.readouterr().err
    assert tested == ["text_encoder", "unet", "vae_encoder", "vae_decoder"]
    assert list(read_record(bundle / "engines" / "cpu", "unet").row_test.bits) == [1, 2, 3, 4, 8]
    assert said_of_rows(bundle.parent / "a") == ({"8"}, {"8"})

    # Other mates, another order, a resume.
    assert rendered(bundle, "b", "--strict", seeds="4, 2")[0] == 0
    code, others = rendered(bundle, "b", "--strict", seeds="9, 3, 4, 1, 2")
    assert {seed: others[seed] for seed in strict_ones} == strict_ones
    assert len(tested) == 4, "the record was used"

    capsys.readouterr()
    code, moved = rendered(bundle, "c", "--batch-rows", "8")
    assert code == 0
    assert capsys.readouterr().err.count("warning: on cpu the bits of a row of unet depend on its batch") == 1
    assert said_of_rows(bundle.parent / "c") == ({"unfixed"}, {"unfixed"})
    assert rendered(bundle, "d", "--batch-rows", "4")[1] != moved, "without it the pixels move"

    assert run_cli(["inspect", str(bundle)]) == 0
    assert "the same bits in every batch of 1 or 2 or 3 or 4 or 8" in capsys.readouterr().out


def test_a_strict_render_on_an_engine_that_cannot_is_refused(own, capsys):
    bundle, _ = own(Fickle)
    assert rendered(bundle, "out", "--strict") == (3, {})
    assert "so no picture can be made twice; use another engine" in capsys.readouterr().err


def test_an_engine_that_is_not_what_was_tested_is_refused(own, capsys):
    """As one that tunes itself when it is opened, each time to other kernels."""
    bundle, _ = own(lambda session: Tuned(session, 1))
    assert rendered(bundle, "first", "--strict")[0] == 0
    own(lambda session: Tuned(session, 2))
    capsys.readouterr()
    assert rendered(bundle, "second", "--strict") == (3, {})
    assert (
        "--strict: unet on cpu gives a row other bits than when it was tested on this machine"
        in capsys.readouterr().err
    )
    assert rendered(bundle, "third")[0] == 0


def test_a_strict_render_on_a_good_engine_says_nothing_more(own, capsys):
    bundle, tested = own(Clean)
    assert rendered(bundle, "plain") == (0, rendered(bundle, "strict", "--strict")[1])
    assert "warning" not in capsys.readouterr().err
    assert tested
    assert said_of_rows(bundle.parent / "plain") == said_of_rows(bundle.parent / "strict") == ({"any"}, {None})


def test_only_a_test_of_this_very_engine_on_this_machine_counts(own, monkeypatch):
    path, tested = own(Clean)
    bundle = open_bundle(path)

    def again():
        tested.clear()
        selftest.row_test_here(bundle, "unet", CPU, open_session(bundle, "unet", CPU, 1), 8)
        return bool(tested)

    assert selftest.known_row_test(bundle, "unet", CPU) == bundle.info.row_tests[1], (
        "of the export, where nothing is here"
    )
    assert selftest.known_row_test(bundle, "unet", parse_engine("openvino")) is None
    assert [again(), again()] == [True, False]
    monkeypatch.setattr(devices, "cpu_name", lambda: "another CPU")
    assert [again(), again()] == [True, False]
    record = read_record(path / "engines" / "cpu", "unet")
    old = record.row_test.model_copy(update={"bits": None})  # as before they were kept
    write_record(path / "engines" / "cpu", record.model_copy(update={"row_test": old}))
    assert [again(), again()] == [True, False]
    (path / "engines" / "cpu" / "unet.json").write_text("{")
    assert [again(), again()] == [True, False]
    monkeypatch.setattr(selftest, "write_record", lambda *record: (_ for _ in ()).throw(PermissionError()))
    (path / "engines" / "cpu" / "unet.json").unlink()
    assert [again(), again()] == [True, True], "nothing can be recorded"


def test_an_engine_built_elsewhere_is_tested_where_it_runs(own, monkeypatch):
    path, tested = own(Clean)
    bundle, rtx = open_bundle(path), parse_engine("tensorrt-rtx")
    monkeypatch.setattr(devices, "require_gpu", lambda engine: Gpu("NVIDIA GeForce RTX 4090", (8, 9), "580"))
    profile = shape_profile(bundle.info, 6)
    key = {"shapes": str(profile), "device": "sm89"}
    write_record(
        path / "engines" / "tensorrt-rtx-sm89", EngineRecord(component="unet", key=key, files={"unet.engine": "0"})
    )
    assert selftest.known_row_test(bundle, "unet", rtx) is None
    session = Clean(open_session(bundle, "unet", CPU, 1))
    test = selftest.row_test_here(bundle, "unet", rtx, session, 8)
    assert test.batches == [1, 2, 3, 4, 6], "those that the engine takes"
    record = read_record(path / "engines" / "tensorrt-rtx-sm89", "unet")
    assert (record.key, record.files, record.row_test) == (key, {"unet.engine": "0"}, test)
    assert record.parity
    assert selftest.row_bits_now(bundle, "unet", rtx, session, 6) == test.bits[6]
    assert selftest.row_test_here(bundle, "unet", rtx, session, 8) == test
    assert tested == ["unet"]
