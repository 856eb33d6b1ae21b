"""Pictures guided by gradients from an engine: alone or together, what is told and recorded, and when torch takes over."""

import json

import numpy as np
import pytest

from latentpress.batch.executors.local import LocalExecutor, Settings
from latentpress.bundle.samples import Sample
from latentpress.engines.choice import gradient_of, parse_engine, parse_gradient
from latentpress.engines.cpu import CPU, OnnxCpuSession
from latentpress.errors import EnvironmentFailure, UsageError
from latentpress.runtime.guidance import LOSSES
from latentpress.runtime.guidance.context import Ask, Moment
from latentpress.runtime.guidance.decoder import kept, opening, passes
from latentpress.runtime.guidance.decoder.kept import kept_graphs
from latentpress.runtime.guidance.decoder.passes import EngineDecoder
from latentpress.runtime.guidance.gradient import LossGuidance
from latentpress.runtime.guidance.loss import Loss, LossParams
from latentpress.runtime.render import Renderer
from latentpress.runtime.request import LossSpec, RenderRequest

ENGINES = ["cpu", "openvino"]


@pytest.fixture(scope="module")
def cache(bundle, tmp_path_factory):
    """A cache in which every test finds the graphs that the first one makes."""
    return tmp_path_factory.mktemp("cache")


def failing(image):
    raise RuntimeError("not with me")


FAILING = Loss("failing", LossParams, failing, "this test")
NAN = Loss("nan", LossParams, lambda image: image.sum(dim=(1, 2, 3)) * float("nan"), "this test")
KNOWN = {**LOSSES, "failing": FAILING, "nan": NAN}


def request(seed, name, sampler="euler", steps=3):
    params = KNOWN[name].params().complete()
    loss = LossSpec(name, 50.0, every=1 + seed % 2, params=params)
    return RenderRequest("a mouse", seed, 64, 64, sampler, steps, 3.0, losses=(loss,))


NAMES = ("channel", "latents", "contrast", "symmetry", "canny", "saturation", "elastic", "frequency")
WORK = {seed: request(seed, name, ("euler", "dpmpp_2m")[seed % 2]) for seed, name in enumerate(NAMES)}


def rendered(renderer, work):
    return {one.key: one for one in renderer.render(work.items())}


def images(found):
    return {key: one.image.tobytes() for key, one in found.items() if one.image is not None}


@pytest.mark.parametrize("engine", ENGINES)
def test_eight_guided_pictures_together_are_eight_alone_and_one_that_fails_fails_alone(
    bundle, cache, engine, monkeypatch
):
    calls = []
    ahead = EngineDecoder.ahead
    monkeypatch.setattr(EngineDecoder, "ahead", lambda self, x: calls.append(len(x)) or ahead(self, x))
    renderer = Renderer(bundle, batch_rows=32, threads=1, engine=parse_engine(engine), cache=cache, losses=KNOWN)
    renderer.open_guidance()
    alone = {seed: rendered(renderer, {seed: one})[seed].image.tobytes() for seed, one in WORK.items()}
    assert len(set(alone.values())) == len(WORK)
    del calls[:]
    broken = {"raises": request(8, "failing"), "nan": request(10, "nan")}
    together = rendered(renderer, WORK | broken)
    assert max(calls) > len(WORK), "all of a turn go together"
    assert images(together) == alone
    assert "not with me" in together["raises"].error
    assert "NaN" in together["nan"].error
    assert {one.origin.gradient for one in together.values()} == {parse_engine(engine).stored}


@pytest.mark.parametrize(
    ("text", "why"), [("nonsense", "it is unknown"), ("cuda", "no gradients of losses run on cuda")]
)
def test_what_computes_no_gradients_is_told_with_those_that_do(text, why):
    with pytest.raises(UsageError, match=f"gradient '{text}': {why}; it must be torch, cpu, openvino or openvino:bf16"):
        parse_gradient(text)


def test_rows_of_a_pass_are_bounded_by_their_bytes(bundle, cache, monkeypatch):
    decoder = opening.open_decoder(bundle, parse_gradient("cpu"), 1, cache)
    guidance = LossGuidance(decoder, 1, rows=decoder.rows)
    x0 = np.random.default_rng(0).standard_normal((5, 4, 4, 6), np.float32)
    asks = [Ask(one, (LossSpec("contrast", 1.0),), Moment(0, 0, 1)) for one in x0]
    right = guidance.gradients(asks)
    row = decoder._row_bytes[4, 4, 6]
    monkeypatch.setattr(passes, "BUDGET", 2 * row)
    calls = []
    ahead = EngineDecoder.ahead
    monkeypatch.setattr(EngineDecoder, "ahead", lambda self, x: calls.append(len(x)) or ahead(self, x))
    found = guidance.gradients(asks)
    assert calls == [2, 2, 1]
    assert all(one[0].tobytes() == other[0].tobytes() for one, other in zip(found, right, strict=True))


def test_graphs_are_made_once_and_what_an_engine_showed_is_kept(bundle, cache, monkeypatch):
    folder = kept_graphs(bundle, cache)
    opening.open_decoder(bundle, parse_gradient("cpu"), 1, cache)
    record = json.loads((folder / "cpu/vae_decoder_gradient.json").read_text())
    assert record["row_test"]["equal"]
    assert {row["output"] for row in record["parity"]} == {"sample", "latent_gradient"}
    assert max(row["relative"] for row in record["parity"]) < 1e-4
    monkeypatch.setattr(kept, "_make", lambda *made: pytest.fail("the graphs are there"))
    monkeypatch.setattr(opening, "row_test", lambda *tested: pytest.fail("the rows are tested"))
    opening.open_decoder(bundle, parse_gradient("cpu"), 1, cache, strict=True)


def test_a_cache_that_cannot_be_written_costs_nothing_but_time(bundle, tmp_path):
    (tmp_path / "cache").write_text("a file, where a folder would have to be")
    decoder = opening.open_decoder(bundle, parse_gradient("cpu"), 1, tmp_path / "cache")
    assert decoder.engine.kind is CPU


class Wrong(OnnxCpuSession):
    """An engine whose gradient is off in one number, as OpenVINO's was by a constant that it packs once."""

    def run(self, inputs):
        found = dict(super().run(inputs))
        if "latent_gradient" in found:
            found["latent_gradient"] = found["latent_gradient"] * 1.05
        return found


def test_an_engine_with_a_wrong_gradient_is_told_of_and_torch_takes_over(bundle, cache, tmp_path, monkeypatch):
    object.__setattr__(CPU, "graph", lambda path, choice, threads: Wrong(path, threads))
    try:
        said = []
        executor = LocalExecutor({bundle.hash: bundle}, Settings(batch_rows=8, threads=1), tmp_path, said.append)
        executor.open(bundle.hash, WORK.values())
        (told,) = [line for line in said if "gradient" in line]
        assert told.startswith(
            "warning: torch computes them: the losses' gradients cannot be computed on cpu: its latent"
        )
        found = {one.key: one for one in executor.render(WORK.items())}
        assert {one.origin.gradient for one in found.values()} == {"torch-cpu"}
        named = LocalExecutor(
            {bundle.hash: bundle}, Settings(batch_rows=8, threads=1, gradient="cpu"), tmp_path, said.append
        )
        with pytest.raises(EnvironmentFailure, match="name another engine or torch"):
            named.open(bundle.hash, WORK.values())
    finally:
        object.__setattr__(CPU, "graph", _graph)
    torch_alone = Renderer(bundle, batch_rows=8, threads=1, gradient=parse_gradient("torch"))
    assert images(rendered(torch_alone, WORK)) == images(found)


_graph = CPU.graph


def test_torch_and_the_engine_draw_the_same_picture_to_the_eye(bundle, cache):
    one = {0: request(0, "channel")}
    (engine,) = rendered(Renderer(bundle, threads=1, cache=cache), one).values()
    (right,) = rendered(Renderer(bundle, threads=1, gradient=parse_gradient("torch")), one).values()
    difference = np.abs(engine.image.astype(int) - right.image.astype(int))
    assert difference.max() <= 1  # a gradient that is off by 1e-6 turns the last bit of a few pixels


def test_who_computes_gradients_is_named_as_engines_are():
    assert str(gradient_of(parse_engine("openvino:bf16"))) == "openvino"
    assert str(gradient_of(parse_engine("cuda"))) == "cpu"
    assert str(gradient_of(parse_engine("cpu"), parse_gradient("torch"))) == "torch"
    with pytest.raises(UsageError, match="no gradients of losses run on cuda; it must be torch, cpu, openvino or"):
        parse_gradient("cuda")
    with pytest.raises(UsageError, match="unknown"):
        parse_gradient("gpu")


def test_rows_that_move_go_alone_and_an_engine_that_never_repeats_itself_is_unfit(bundle, cache, tmp_path, monkeypatch):
    def with_test(**changes):
        def tested(decoder, sample: Sample, choice, batches):
            return real(decoder, sample, choice, batches).model_copy(update=changes)

        monkeypatch.setattr(opening, "row_test", tested)

    real = opening.row_test
    with_test(equal=False)
    decoder = opening.open_decoder(bundle, parse_gradient("cpu"), 1, tmp_path / "one")
    assert decoder.rows((4, 8, 8)) == 1
    with_test(equal=False, bits={})
    with pytest.raises(opening.Unfit, match="other bits each time"):
        opening.open_decoder(bundle, parse_gradient("cpu"), 1, tmp_path / "two")
