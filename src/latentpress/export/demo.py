"""The built-in demo: a small trained checkpoint and five concepts in the package, and a cached bundle of both."""

import hashlib
import shutil
import tempfile
import weakref
from pathlib import Path

from latentpress.bundle.info import Bundle, open_bundle
from latentpress.errors import BundleError
from latentpress.export import export_bundle

# Trained by tools/demo_model; its MODEL_CARD.md says on what, how long, and how well it draws.
_DATA = Path(__file__).parent / "demo_data"


def demo_checkpoint() -> Path:
    """The demo checkpoint: a folder in the diffusers layout, weights in float16."""
    return _DATA / "checkpoint"


def demo_concepts() -> list[Path]:
    """The five concept files, in the form of the sd-concepts-library: {token: tensor} in a .bin."""
    return sorted((_DATA / "concepts").glob("*.bin"))


def ensure_demo_bundle(cache: Path, *, verify: bool = True) -> Path:
    """The demo bundle in folder `cache`, exported there first unless this version has done so before.

    verify: hash its files first, as `open_bundle` does with this `cache`; a damaged one is exported again.
    """
    path = demo_path(cache)
    if not usable(path, cache, verify=verify):
        export_demo(path)
    return path


def demo_path(cache: Path) -> Path:
    """Where the demo bundle lies in folder `cache`, or would."""
    # The name carries what is exported and the code that does it, so that a change of either makes a new bundle.
    files = [*sorted(Path(__file__).parent.rglob("*.py")), *sorted(_DATA.rglob("*"))]
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in files if file.is_file()))
    return Path(cache) / f"demo-{digest.hexdigest()[:12]}"


def temporary_demo() -> Bundle:
    """The demo bundle in a temporary folder, which is removed once the returned bundle is not used any more."""
    folder = tempfile.mkdtemp(prefix="latentpress-demo-")
    try:
        path = Path(folder) / "demo"
        export_demo(path)
        bundle = open_bundle(path, verify=False)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    weakref.finalize(bundle, shutil.rmtree, folder, ignore_errors=True)
    return bundle


def export_demo(output: Path) -> None:
    """Export the demo checkpoint with its five concepts to the bundle folder `output`."""
    export_bundle(demo_checkpoint(), output, demo_concepts(), name="demo")


def usable(path: Path, cache: Path, *, verify: bool) -> bool:
    """Whether the bundle at `path` is there, whole as far as `verify` looks, and of the packages of this machine."""
    from importlib.metadata import version

    if not path.exists():
        return False
    try:
        found = open_bundle(path, verify=verify, cache=cache).info.versions
    except BundleError:
        return False
    return all(found[package] == version(package) for package in found if package != "latentpress")
