"""Opening a bundle verifies it: one flipped byte anywhere is refused by name, before any graph is loaded."""

import json
import shutil

import pytest

from latentpress.bundle.info import open_bundle
from latentpress.errors import BundleError


@pytest.fixture
def copy(assets, tmp_path):
    return shutil.copytree(assets / "bundle", tmp_path / "bundle")


def flip(path, position):
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(bytes(data))


def test_one_flipped_byte_in_any_file_is_refused(copy, bundle):
    for name in bundle.info.files:
        size = (copy / name).stat().st_size
        flip(copy / name, size // 2)
        with pytest.raises(BundleError, match="sha256 is") as caught:
            open_bundle(copy)
        assert name in str(caught.value)
        flip(copy / name, size // 2)
    open_bundle(copy)


def test_a_truncated_or_missing_file_is_refused(copy):
    with (copy / "unet.onnx").open("r+b") as stream:
        stream.truncate(1000)
    with pytest.raises(BundleError, match=r"unet\.onnx"):
        open_bundle(copy)
    (copy / "unet.onnx").unlink()
    with pytest.raises(BundleError, match=r"unet\.onnx: cannot be read"):
        open_bundle(copy)


def test_every_payload_file_is_named(bundle):
    found = {str(path.relative_to(bundle.path)) for path in bundle.path.rglob("*") if path.is_file()}
    assert found == {*bundle.info.files, "bundle.json"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data.update(format_version=99), "format_version is 99"),
        (lambda data: data.pop("scheduler"), "scheduler"),
        (lambda data: data["files"].update({"../../etc/passwd": "0"}), "outside the bundle"),
    ],
)
def test_a_foreign_manifest_is_refused(change, message, copy):
    data = json.loads((copy / "bundle.json").read_text())
    change(data)
    (copy / "bundle.json").write_text(json.dumps(data))
    with pytest.raises(BundleError, match=message):
        open_bundle(copy)


def test_a_folder_without_bundle_json_says_how_to_make_one(tmp_path):
    with pytest.raises(BundleError, match="latentpress export"):
        open_bundle(tmp_path)
