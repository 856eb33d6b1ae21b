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
from latentpress.export import export_bundle
from latentpress.export.engines import EngineOrder, make_engines
from latentpress.export.random_checkpoint import build_checkpoint
from latentpress.runtime.bundle import open_bundle
from latentpress.runtime.engines.choice import parse_engine
from latentpress.runtime.engines.doctor import examine
from latentpress.runtime.engines.shapes import components, shape_profile
from latentpress.runtime.render import Renderer
from latentpress.runtime.request import RenderRequest

READY = {finding.engine: finding for finding in examine().engines}


def needs(engine):
    finding = READY[engine]
    how = f"{finding.why}; run `pytest tests/gpu` where `latentpress doctor` says that {engine} is ready"
    return pytest.param(engine, marks=pytest.mark.skipif(not finding.ready, reason=how))


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


@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
@pytest.mark.parametrize("engine", [needs("cuda"), needs("tensorrt"), needs("tensorrt-rtx")])
def test_an_engine_is_proved_and_renders_what_the_cpu_renders(engine, precision, checkpoint, tmp_path):
    plain = export_bundle(checkpoint, tmp_path / "plain", []) and open_bundle(tmp_path / "plain")
    export_bundle(checkpoint, tmp_path / "fast", [], engine=parse_engine(engine), precision=precision)
    bundle = open_bundle(tmp_path / "fast")
    order = EngineOrder(parse_engine(engine), shape_profile(bundle.info, 8, [(128, 128)]))
    records = make_engines(bundle, order, print)
    assert [record.component for record in records] == components(bundle.info)
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
