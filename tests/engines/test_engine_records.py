"""Keys of built engines, and what makes one stale, foreign or damaged."""

import pytest

from latentpress.engines.choice import parse_engine
from latentpress.engines.devices import Gpu
from latentpress.engines.engine import Place
from latentpress.engines.keys import engine_key
from latentpress.engines.records import EngineRecord, engine_folder, read_record, require_engine, write_record
from latentpress.engines.shapes import shape_profile
from latentpress.errors import BundleError


def small_key(bundle, **changes):
    profile = shape_profile(bundle.info)
    place = Place("sm90", Gpu("NVIDIA H200", (9, 0), "580.1"))
    return engine_key(bundle, "unet", parse_engine("tensorrt"), place, profile) | changes


@pytest.mark.parametrize(
    "part", sorted(["graph", "engine", "provider", "device", "driver", "precision", "shapes", "options"])
)
def test_every_part_of_a_key_makes_an_engine_stale(part, bundle, tmp_path):
    key = small_key(bundle)
    assert part in key
    assert len(key) == 8
    folder = tmp_path / "b" / "engines" / "tensorrt-sm90"
    write_record(folder, EngineRecord(component="unet", key=key))
    assert require_engine(folder, "unet", key, built_for="here").key == key
    with pytest.raises(BundleError, match="the engine is stale") as caught:
        require_engine(folder, "unet", key | {part: "another"}, built_for="here")
    assert "is now another" in str(caught.value)
    assert f"latentpress engines {tmp_path / 'b'} --engine tensorrt --rebuild" in str(caught.value)


def test_an_engine_of_another_concept_set_or_device_is_stale(bundle):
    other = bundle.info.model_copy(update={"files": {**bundle.info.files, "unet.onnx": "0" * 64}})
    changed = type(bundle)(bundle.path, other, "")
    assert small_key(changed)["graph"] != small_key(bundle)["graph"]


def test_an_engine_that_is_missing_or_damaged_gets_its_sentence(bundle, tmp_path):
    folder = tmp_path / "b" / "engines" / "tensorrt-rtx-sm89"
    key = small_key(bundle)
    with pytest.raises(BundleError, match="holds no engine of unet for an RTX 4090") as caught:
        require_engine(folder, "unet", key, built_for="an RTX 4090")
    assert "--engine tensorrt-rtx --device sm89 --rebuild" in str(caught.value)
    folder.mkdir(parents=True)
    (folder / "unet.engine").write_bytes(b"engine")
    from latentpress.bundle.info import file_sha256

    files = {"unet.engine": file_sha256(folder / "unet.engine")}
    write_record(folder, EngineRecord(component="unet", key=key, files=files))
    require_engine(folder, "unet", key, built_for="here")
    (folder / "unet.engine").write_bytes(b"engina")
    with pytest.raises(BundleError, match="not the file that was built"):
        require_engine(folder, "unet", key, built_for="here")
    (folder / "unet.json").write_text("{")
    with pytest.raises(BundleError, match="cannot be read"):
        read_record(folder, "unet")
    # Of an engine elsewhere even the right sha256 does not count.
    (folder / "../../bundle.json").write_bytes(b"engine")
    outside = {"../../bundle.json": files["unet.engine"]}
    write_record(folder, EngineRecord(component="unet", key=key, files=outside))
    with pytest.raises(BundleError, match="not the file that was built"):
        require_engine(folder, "unet", key, built_for="here")


def test_folders_name_engine_and_device(bundle):
    assert engine_folder(bundle, "unet", parse_engine("openvino:bf16"), "cpu").name == "openvino-bf16"
    assert engine_folder(bundle, "unet", parse_engine("tensorrt-rtx"), "sm120").name == "tensorrt-rtx-sm120"
