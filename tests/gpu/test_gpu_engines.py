"""GPU engines on a real GPU: each against torch and against ONNX Runtime's CPU provider. Skipped without one.

On a machine with an NVIDIA GPU, a CUDA build of torch and the extra of the engine:

    pip uninstall onnxruntime; pip install -e '.[gpu,test]'         # cuda
    pip install -e '.[tensorrt,test]'                               # tensorrt, data-centre cards
    pip install -e '.[tensorrt-rtx,test]'                           # tensorrt-rtx, RTX cards, beside onnxruntime
    pytest tests/gpu -v
"""

import numpy as np
import pytest

from compare import psnr
from latentpress.bundle.info import open_bundle
from latentpress.bundle.inputs import example_inputs
from latentpress.engines.build import EngineOrder, make_engines
from latentpress.engines.choice import parse_engine
from latentpress.engines.cuda import open_cuda
from latentpress.engines.doctor import examine
from latentpress.engines.engine import provider_of
from latentpress.engines.opening import open_session
from latentpress.engines.shapes import shape_profile
from latentpress.export import export_bundle
from latentpress.runtime.render import Renderer
from latentpress.runtime.request import RenderRequest
from latentpress.testing.random_checkpoint import build_checkpoint

READY = {finding.engine: finding for finding in examine().engines}


def needs(engine):
    finding = READY[engine]
    how = f"{finding.why}; run `pytest tests/gpu` where `latentpress doctor` says that {engine} is ready"
    return pytest.mark.skipif(not finding.ready, reason=how)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return build_checkpoint(tmp_path_factory.mktemp("gpu") / "checkpoint", width=64, hidden=64, size=128, seed=9)


def requests(count):
    for index in range(count):
        yield (
            index,
            RenderRequest(
                prompt=["a red house", "a mouse"][index % 2],
                seed=index,
                height=128,
                width=128,
                sampler=["ddim", "euler_a", "dpmpp_2m"][index % 3],
                steps=6 + index % 3,
                guidance_scale=5,
            ),
        )


def pictures(bundle, engine, batch_rows, count=5):
    renderer = Renderer(bundle, batch_rows=batch_rows, engine=engine and parse_engine(engine))
    found = {rendered.key: rendered for rendered in renderer.render(requests(count))}
    assert not [rendered.error for rendered in found.values() if rendered.error]
    return renderer.provider, [found[key].image for key in sorted(found)]


# ONNX Runtime's CUDA provider has no bfloat16 norms, and an export for it is refused.
PAIRS = [("cuda", "fp32"), ("cuda", "fp16")]
PAIRS += [(engine, precision) for engine in ("tensorrt", "tensorrt-rtx") for precision in ("fp32", "fp16", "bf16")]


@pytest.mark.parametrize(
    ("engine", "precision"), [pytest.param(*pair, marks=needs(pair[0])) for pair in PAIRS], ids=map("-".join, PAIRS)
)
def test_an_engine_is_proved_and_renders_what_the_cpu_renders(engine, precision, checkpoint, tmp_path):
    plain = export_bundle(checkpoint, tmp_path / "plain", []) and open_bundle(tmp_path / "plain")
    export_bundle(checkpoint, tmp_path / "fast", [], engine=parse_engine(engine), precision=precision)
    bundle = open_bundle(tmp_path / "fast")
    order = EngineOrder(parse_engine(engine), shape_profile(bundle.info, 8, [(128, 128)]))
    records = make_engines(bundle, order, print)
    assert [record.component for record in records] == bundle.info.component_names
    for record in records:
        assert record.parity
        assert all(row.relative <= row.bound for row in record.parity)
        assert record.row_test is not None
    provider, found = pictures(bundle, None, 8)
    assert engine.split("-")[0] in provider
    _, right = pictures(plain, "cpu", 8)
    least = {"fp32": 40, "fp16": 30, "bf16": 20}[precision]
    assert min(map(psnr, found, right)) >= least
    # The promise of the same bucket: other company, the same pixels.
    if all(record.row_test.equal for record in records):
        _, again = pictures(bundle, None, 8, count=3)
        for one, other in zip(again, found[:3], strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.fixture(scope="module")
def exported(checkpoint, tmp_path_factory):
    """The checkpoint's bundle for the CUDA provider, in float16."""
    folder = tmp_path_factory.mktemp("cuda") / "bundle"
    export_bundle(checkpoint, folder, [], engine=parse_engine("cuda"), precision="fp16")
    return open_bundle(folder)


@needs("cuda")
def test_a_new_process_would_draw_the_same(exported):
    """The promise of a resumed run: sessions opened anew choose the same kernels, and give the same bits."""
    _, first = pictures(exported, "cuda", 8, count=3)
    _, second = pictures(exported, "cuda", 8, count=3)
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)


@needs("cuda")
def test_the_unet_is_captured_and_a_replay_is_the_run_it_captured(exported):
    """A UNet that is not captured is one whose nodes left the GPU. Other inputs in between must not show."""
    session = open_session(exported, "unet", parse_engine("cuda"))
    assert provider_of(session) == "onnxruntime-cuda-graphs"
    first, second = (example_inputs(exported.info, "unet", rows, (16, 16)) for rows in (4, 3))
    other = {name: array[::-1].copy() for name, array in first.items()}
    runs = [session.run(inputs)["noise_pred"].copy() for inputs in (first, first, second, other, first, second)]
    plain = open_cuda(exported.file("unet.onnx"), "fp16", graphs=False)
    assert provider_of(plain) == "onnxruntime-cuda"
    for again in (runs[1], runs[4]):
        np.testing.assert_array_equal(again, runs[0])
    np.testing.assert_array_equal(runs[5], runs[2])
    np.testing.assert_array_equal(plain.run(first)["noise_pred"], runs[0])


@needs("cuda")
def test_a_decoder_beside_the_unet_changes_nothing(exported):
    """Two sessions on two streams of one GPU, from two threads."""
    between, beside = (
        {
            rendered.key: rendered.image
            for rendered in Renderer(
                exported, batch_rows=8, engine=parse_engine("cuda"), decode_beside=decode_beside
            ).render(requests(9))
        }
        for decode_beside in (False, True)
    )
    for key, image in between.items():
        np.testing.assert_array_equal(beside[key], image)
