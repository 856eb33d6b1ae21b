"""--strict on engines whose rows move with their batch: fakes that are wrong in the ways an engine may be."""

import json
import shutil
import sqlite3

import numpy as np
import pytest
import torch
from PIL import Image

from latentpress.batch.write import pixel_sha256
from latentpress.cli import run_cli
from latentpress.errors import EnvironmentFailure
from latentpress.runtime import model as models
from latentpress.runtime import strict
from latentpress.runtime.bundle import RowTest, open_bundle
from latentpress.runtime.engines import proof, samples, selftest
from latentpress.runtime.engines.choice import EngineChoice
from latentpress.runtime.engines.devices import Gpu
from latentpress.runtime.engines.opening import open_session
from latentpress.runtime.engines.records import EngineRecord, read_record, write_record
from latentpress.runtime.engines.shapes import shape_profile
from latentpress.runtime.guidance import LOSSES
from latentpress.runtime.guidance.gradient import LossGuidance
from latentpress.runtime.memory import HalvingSession
from latentpress.runtime.render import Renderer
from latentpress.runtime.request import LossSpec, RenderRequest

CPU = EngineChoice("cpu")
# Below the bound of parity, above what rounds away in a picture.
SHARE = np.float32(1e-4)


@pytest.fixture(scope="module")
def bundle(assets, tmp_path_factory):
    """A copy: a strict render records what it tests."""
    return open_bundle(shutil.copytree(assets / "bundle", tmp_path_factory.mktemp("strict") / "bundle"))


class Moving:
    """`inner`, whose outputs a subclass moves; rows of its calls are noted."""

    def __init__(self, inner):
        self.inner, self.provider, self.rows = inner, inner.provider, []

    def run(self, inputs):
        found = self.inner.run(inputs)
        self.rows.append(len(next(iter(found.values()))))
        return {name: self.move(array) for name, array in found.items()}


class Leaky(Moving):
    """A row takes from its batch mates."""

    def move(self, array):
        return array + SHARE * (array.sum(axis=0, keepdims=True) - array)


class Counting(Moving):
    """A row changes with the number of rows, and with nothing else."""

    def move(self, array):
        return array * (1 + SHARE * len(array))


class Fickle(Moving):
    """A row is never the same."""

    def move(self, array):
        return array + SHARE * np.float32(len(self.rows))


class Clean(Moving):
    """A row is the same."""

    def move(self, array):
        return array


class Tuned(Moving):
    """Rows are the same, in one session."""

    def __init__(self, inner, times):
        super().__init__(inner)
        self.times = times

    def move(self, array):
        return array * (1 + SHARE * self.times)


class Identity:
    provider = "identity"

    def run(self, inputs):
        return {"y": inputs["x"]}


@pytest.mark.parametrize(
    ("kind", "equal", "fixed", "said"),
    [
        (Clean, True, [1, 2, 3, 8], "the same bits in batches of 1, 2, 3, 8"),
        (Counting, False, [1, 2, 3, 8], "; the same bits in every batch of 1 or 2 or 3 or 8"),
        (Leaky, False, [1], "; the same bits in every batch of 1"),
        (Fickle, False, [], "; the same bits in every batch of no one size"),
    ],
)
def test_the_row_test_tells_what_must_be_fixed(kind, equal, fixed, said):
    sample = samples.Sample("unet", {"x": np.random.default_rng(0).standard_normal((3, 4), np.float32)}, {})
    test = proof.row_test(kind(Identity()), sample, CPU, (1, 2, 3, 8))
    assert (test.equal, list(test.bits)) == (equal, fixed)
    assert proof.row_test_line(test).endswith(said)
    if fixed:
        assert [strict.fixed_rows(test, rows) for rows in (8, 4, 1)] == (
            [None] * 3 if equal else [max(fixed), min(3, max(fixed)), 1]
        )


def request(seed, steps=3, scale=5.0, height=64, width=64, **more):
    return RenderRequest("a mouse", seed, height, width, "euler", steps, scale, **more)


WORK = [(seed, request(seed, 2 + seed % 3, (5.0, 1.0)[seed % 2])) for seed in range(6)]


def digests(renderer, work):
    return {rendered.key: pixel_sha256(rendered.image) for rendered in renderer.render(work)}


def ways(renderer):
    """The pictures of WORK alone, together, in another order."""
    alone = {}
    for item in WORK:
        alone |= digests(renderer, [item])
    return alone, digests(renderer, WORK), digests(renderer, WORK[::-1])


@pytest.mark.parametrize(("kind", "rows"), [(Leaky, 1), (Counting, 8)])
@pytest.mark.parametrize("component", ["unet", "vae_decoder"])
def test_pixels_move_without_strict_and_do_not_with_it(kind, rows, component, bundle):
    session = kind(open_session(bundle, component, CPU, 1))
    alone, together, turned = ways(Renderer(bundle, sessions={component: session}, batch_rows=8, threads=1))
    assert alone != together or together != turned
    renderer = Renderer(bundle, sessions={component: session}, batch_rows=8, threads=1, strict=True)
    tested = len(session.rows)
    alone, together, turned = ways(renderer)
    assert alone == together == turned
    wanted = rows if component == "unet" or rows == 1 else 4
    assert set(session.rows[tested:]) == {wanted}
    assert (renderer.fixed_rows, renderer.row_rule) == ((rows, str(rows)) if component == "unet" else (None, "any"))
    assert renderer.warning is None


def test_guided_pixels_do_not_depend_on_the_number_of_torchs_threads(bundle):
    losses = [LossSpec(name, 50.0, 1, params=loss().model_dump()) for name, loss in LOSSES.items()]
    work = [(loss.name, request(3, 2, losses=(loss,), height=128, width=128)) for loss in losses]
    found, before = [], torch.get_num_threads()
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            found.append(digests(Renderer(bundle, threads=1, strict=True), work))
            assert torch.get_num_threads() == threads, "what is set for a gradient is set back"
    finally:
        torch.set_num_threads(before)
    assert found[0] == found[1] == found[2]
    assert len(set(found[0].values())) == len(work)


def test_gradients_are_computed_in_a_fixed_number_of_threads():
    seen = []

    def decode(x0):
        seen.append(torch.get_num_threads())
        return x0.repeat_interleave(8, 2).repeat_interleave(8, 3)[:, :3]

    loss = LossSpec("contrast", 1.0)
    for threads in (None, 3):
        LossGuidance(decode, threads).gradient(np.ones((4, 8, 8), np.float32), (loss,))
    assert seen == [torch.get_num_threads(), 3]


def test_rows_asked_for_are_the_rows_fixed(bundle):
    unet = Counting(open_session(bundle, "unet", CPU, 1))
    renderer = Renderer(bundle, sessions={"unet": unet}, batch_rows=5, threads=1, strict=True)
    assert (renderer.fixed_rows, renderer.batch_rows) == (5, 5)
    renderer.batch_rows = 6
    assert (renderer.fixed_rows, renderer.batch_rows) == (6, 6)


def test_an_engine_that_never_repeats_itself_is_refused(bundle):
    for component in ("unet", "vae_encoder", "text_encoder"):
        session = Fickle(open_session(bundle, component, CPU, 1))
        with pytest.raises(EnvironmentFailure, match=f"--strict: {component} on cpu gives the same row other bits"):
            Renderer(bundle, sessions={component: session}, threads=1, strict=True)


def test_an_engine_that_keeps_its_rows_is_left_alone(bundle):
    unet = Clean(open_session(bundle, "unet", CPU, 1))
    renderer = Renderer(bundle, sessions={"unet": unet}, batch_rows=8, threads=1, strict=True)
    tested = len(unet.rows)
    digests(renderer, WORK)
    assert (renderer.fixed_rows, renderer.row_rule) == (None, "any")
    assert len(set(unet.rows[tested:])) > 1


def test_a_row_test_ends_where_memory_does():
    class Scarce(Counting):
        def run(self, inputs):
            if len(inputs["x"]) > 4:
                raise RuntimeError("bad allocation")
            return super().run(inputs)

    sample = samples.Sample("unet", {"x": np.ones((1, 4), np.float32)}, {})
    test = proof.row_test(Scarce(Identity()), sample, CPU, (1, 2, 4, 8, 16))
    assert (test.batches, list(test.bits), strict.fixed_rows(test, 16)) == ([1, 2, 4], [1, 2, 4], 4)


def test_fixed_rows_that_do_not_fit_are_not_halved():
    class Small:
        provider = "small"

        def run(self, inputs):
            raise RuntimeError("CUDA out of memory")

    session = HalvingSession(Small(), "unet")
    session.fixed = 8
    with pytest.raises(
        EnvironmentFailure, match="unet: 8 rows do not fit into memory, and --strict may not take fewer"
    ):
        session.run({"x": np.zeros((2, 1), np.float32)})


def test_rules_of_runs_that_are_not_strict():
    equal = RowTest(component="unet", engine="cuda", batches=[1, 2], equal=True, max_abs=0)
    moved = equal.model_copy(update={"equal": False, "max_abs": 1e-3})
    assert [strict.row_rule(tests) for tests in ([equal] * 2, [equal, None], [None, moved])] == [
        "any",
        "untested",
        "unfixed",
    ]
    assert strict.warning([equal, None]) is None
    assert "on cuda the bits of a row of unet depend on its batch" in strict.warning([None, moved, moved])


@pytest.fixture
def own(assets, tmp_path, monkeypatch):
    """own(kind): a copy of the bundle, whose UNet is opened as `kind`; and the component that was opened, each time."""
    monkeypatch.setenv("LATENTPRESS_CACHE", str(tmp_path / "cache"))
    path = shutil.copytree(assets / "bundle", tmp_path / "bundle")
    tested = []  # components
    test = selftest.prove
    monkeypatch.setattr(
        selftest, "prove", lambda session, name, *rest: (tested.append(name), test(session, name, *rest))[1]
    )

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
    assert selftest.known_row_test(bundle, "unet", EngineChoice("openvino")) is None
    assert [again(), again()] == [True, False]
    monkeypatch.setattr(selftest, "cpu_name", lambda: "another CPU")
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
    bundle, rtx = open_bundle(path), EngineChoice("tensorrt-rtx")
    monkeypatch.setattr(selftest, "require_gpu", lambda engine: Gpu("NVIDIA GeForce RTX 4090", (8, 9), "580"))
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
