"""The built-in demo: a small random checkpoint, five concepts for it, and a cached bundle of both."""

import hashlib
from pathlib import Path

from latentpress.errors import BundleError
from latentpress.export import export_bundle
from latentpress.runtime.bundle import open_bundle

SIZE = 128
HIDDEN = 64
SEED = 20240
# file stem -> (token, vectors); the seed's five concepts.
CONCEPTS = {
    "line-art": ("<line-art>", 1),
    "gta5-artwork": ("<gta5-artwork>", 1),
    "moeb-style": ("<moeb-style>", 2),
    "dr-strange": ("<dr-strange>", 1),
    "hitokomoru-style-nao": ("<hitokomoru-style-nao>", 1),
}
# Initial CLIP embeddings have standard deviation 0.02; learned concepts are larger than words, and ours must show.
_SCALE = 0.2


def demo_checkpoint(folder: Path) -> Path:
    """Build the demo checkpoint in `folder`; always the same weights."""
    from latentpress.export.random_checkpoint import build_checkpoint

    return build_checkpoint(folder, size=SIZE, hidden=HIDDEN, seed=SEED)


def demo_concepts(folder: Path) -> list[Path]:
    """Write the five concept files into `folder`, in the form of the sd-concepts-library: {token: tensor} in a .bin."""
    import torch

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths: list[Path] = []
    for index, (stem, (token, count)) in enumerate(CONCEPTS.items()):
        generator = torch.Generator().manual_seed(SEED + 1 + index)
        vectors = torch.randn((count, HIDDEN), generator=generator) * _SCALE
        path = folder / f"{stem}.bin"
        torch.save({token: vectors if count > 1 else vectors[0]}, path)
        paths.append(path)
    return paths


def ensure_demo_bundle(cache: Path) -> Path:
    """The demo bundle in folder `cache`, exported there first unless this version has done so before."""
    # The name carries this package's exporting code, so that a change of it makes a new bundle.
    code = hashlib.sha256(b"".join(file.read_bytes() for file in sorted(Path(__file__).parent.glob("*.py"))))
    path = Path(cache) / f"demo-{code.hexdigest()[:12]}"
    if not _usable(path):
        export_demo(path)
    return path


def export_demo(output: Path) -> None:
    """Export the demo checkpoint with its five concepts to the bundle folder `output`."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        source = demo_checkpoint(Path(folder) / "demo")
        export_bundle(source, output, demo_concepts(Path(folder) / "concepts"), name="demo")


def _usable(path: Path) -> bool:
    from importlib.metadata import version

    if not path.exists():
        return False
    try:
        found = open_bundle(path).info.versions
    except BundleError:
        return False
    return all(found[package] == version(package) for package in found if package != "latentpress")
