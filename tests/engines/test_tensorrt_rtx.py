"""TensorRT-for-RTX engines, built here for a GPU that is not here."""

import json
from importlib.util import find_spec

import onnx
import onnxruntime
import pytest

from latentpress.bundle.info import open_bundle
from latentpress.cli import run_cli
from latentpress.engines import devices
from latentpress.engines.build import EngineOrder, make_engines
from latentpress.engines.choice import parse_engine
from latentpress.engines.devices import Gpu
from latentpress.engines.opening import open_session
from latentpress.engines.records import all_records
from latentpress.engines.shapes import shape_profile
from latentpress.errors import BundleError, EnvironmentFailure, UsageError

RTX = parse_engine("tensorrt-rtx")
installed = pytest.mark.skipif(
    not (find_spec("onnxruntime_ep_nv_tensorrt_rtx") and find_spec("tensorrt_rtx_bindings")),
    reason="the TensorRT-for-RTX builder is not installed; pip install '.[tensorrt-rtx]'; it needs no GPU",
)


@pytest.fixture(scope="module")
def copy(tmp_path_factory, assets):
    import shutil

    return open_bundle(shutil.copytree(assets / "bundle", tmp_path_factory.mktemp("rtx") / "bundle"))


@pytest.fixture(scope="module")
def built(copy):
    """The records of a small SD 1.x's engines for RTX 40 cards, and what the build said."""
    said = []
    order = EngineOrder(RTX, shape_profile(copy.info, 4, [(128, 128), (64, 64)]), device="sm89")
    return make_engines(copy, order, said.append), said


@installed
def test_every_component_is_built_without_a_gpu(built, copy):
    records, _ = built
    folder = copy.file("engines") / "tensorrt-rtx-sm89"
    assert [record.component for record in records] == copy.info.component_names
    for record in records:
        engine = folder / f"{record.component}.engine"
        graph = copy.file(f"{record.component}.onnx")
        assert engine.stat().st_size > 0.5 * sum(file.stat().st_size for file in [graph])
        assert record.files.keys() == {f"{record.component}.engine", f"{record.component}.context.onnx"}
        assert record.key["device"] == "sm89"
        assert record.parity == [], "nothing was run, so nothing is claimed"
        assert record.seconds > 0
    assert [record for _, record in all_records(copy)] == sorted(records, key=lambda record: record.component)
    open_bundle(copy.path)
    assert open_bundle(copy.path).hash == copy.hash, "engines are no part of the bundle's identity"


@installed
def test_onnx_runtime_knows_the_context_file_for_the_plug_ins(built, copy):
    for record in built[0]:
        context = copy.file("engines") / "tensorrt-rtx-sm89" / f"{record.component}.context.onnx"
        model, graph = onnx.load(context), onnx.load(copy.file(f"{record.component}.onnx"), load_external_data=False)
        assert list(model.graph.input) == list(graph.graph.input)
        assert list(model.graph.output) == list(graph.graph.output)
        # Read, checked against the operator's schema, and refused for want of the provider it names.
        with pytest.raises(onnxruntime.capi.onnxruntime_pybind11_state.NotImplemented, match="NvTensorRTRTX"):
            onnxruntime.InferenceSession(str(context))


@installed
def test_what_is_good_is_not_built_again(built, copy):
    said = []
    profile = shape_profile(copy.info, 4, [(128, 128), (64, 64)])
    before = {file: file.stat().st_mtime_ns for file in copy.file("engines").rglob("*")}
    again = make_engines(copy, EngineOrder(RTX, profile, device="sm89"), said.append)
    assert again == built[0]
    assert {file: file.stat().st_mtime_ns for file in copy.file("engines").rglob("*")} == before
    assert all("is already there" in line for line in said)


@installed
def test_the_commands_list_and_show_them(built, copy, capsys):
    assert run_cli(["engines", str(copy.path), "--json"]) == 0
    assert [entry["component"] for entry in json.loads(capsys.readouterr().out)["engines"]] == sorted(
        copy.info.component_names
    )
    assert run_cli(["inspect", str(copy.path)]) == 0
    assert "engine tensorrt-rtx-sm89/unet" in capsys.readouterr().out


@installed
def test_a_stale_or_foreign_engine_is_refused_on_the_gpu_it_is_for(built, copy, monkeypatch):
    monkeypatch.setattr(devices, "require_gpu", lambda engine: Gpu("RTX 5090", (12, 0), "580"))
    with pytest.raises(BundleError, match=r"holds no engine of unet for RTX 5090 \(sm120\)"):
        open_session(copy, "unet", RTX)
    monkeypatch.setattr(devices, "require_gpu", lambda engine: Gpu("RTX 4090", (8, 9), "580"))
    changed = copy.info.model_copy(update={"files": {**copy.info.files, "unet.onnx": "0" * 64}})
    with pytest.raises(BundleError, match="the engine is stale: the graph"):
        open_session(type(copy)(copy.path, changed, ""), "unet", RTX)
    # Good, and then it is the driver that is missing here.
    with pytest.raises(EnvironmentFailure, match="cannot load the plug-in"):
        open_session(copy, "unet", RTX)


def test_a_gpu_must_be_named_or_here(copy, monkeypatch):
    monkeypatch.setattr(devices, "gpus", list)
    profile = shape_profile(copy.info)
    with pytest.raises(EnvironmentFailure, match="name one"):
        make_engines(copy, EngineOrder(RTX, profile), print)
    with pytest.raises(UsageError, match="--device sm90: TensorRT for RTX serves sm86"):
        make_engines(copy, EngineOrder(RTX, profile, device="sm90"), print)
    with pytest.raises(UsageError, match="only engines of tensorrt-rtx"):
        make_engines(copy, EngineOrder(parse_engine("cuda"), profile, device="sm89"), print)


def test_without_the_packages_the_install_line_is_named(copy, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "onnxruntime_ep_nv_tensorrt_rtx", None)
    with pytest.raises(EnvironmentFailure, match=r"pip install 'latentpress\[tensorrt-rtx\]'"):
        make_engines(copy, EngineOrder(RTX, shape_profile(copy.info), device="sm86"), print)
    assert not list(copy.path.glob("engines/tensorrt-rtx-sm86/*.json"))
