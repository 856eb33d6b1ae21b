"""--strict on engines whose rows move with their batch: fakes that are wrong in the ways an engine may be."""

import shutil

import numpy as np
import pytest
import torch

from latentpress.batch.pictures.png import pixel_sha256
from latentpress.bundle import samples
from latentpress.bundle.info import RowTest, open_bundle
from latentpress.engines import proof, strict
from latentpress.engines.choice import parse_engine
from latentpress.engines.memory import HalvingSession
from latentpress.engines.opening import open_session
from latentpress.errors import EnvironmentFailure
from latentpress.runtime.guidance import LOSSES
from latentpress.runtime.guidance.context import Moment
from latentpress.runtime.guidance.gradient import LossGuidance
from latentpress.runtime.render import Renderer
from latentpress.runtime.request import LossSpec, RenderRequest
from moving import Clean, Counting, Fickle, Leaky

CPU = parse_engine("cpu")


@pytest.fixture(scope="module")
def bundle(assets, tmp_path_factory):
    """A copy: a strict render records what it tests."""
    return open_bundle(shutil.copytree(assets / "bundle", tmp_path_factory.mktemp("strict") / "bundle"))


class Identity:
    engine = CPU
    note = ""

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
    losses = [
        LossSpec(name, 50.0, 1, params=loss.params().complete()) for name, loss in LOSSES.items() if not loss.files
    ]
    parts = [tuple(losses[at::5]) for at in range(5)]  # a fifth of all at once: a gradient each takes as long
    work = [(at, request(3, 2, losses=part, height=128, width=128)) for at, part in enumerate(parts)]
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
        LossGuidance(decode, threads).gradient(np.ones((4, 8, 8), np.float32), (loss,), Moment(0, 0, 1))
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
