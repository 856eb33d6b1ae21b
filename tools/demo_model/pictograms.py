"""Pictograms from npm packages as pictures: fetched by exact version, drawn with resvg, captioned by their names."""

import hashlib
import json
import subprocess
import tarfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

# Drawn three times as large as wanted: the average of 9 pixels is smooth, and outlines are found on the large picture.
OVERSAMPLING = 3


@dataclass(frozen=True)
class Package:
    """One npm package: a set of pictograms in one style."""

    name: str
    version: str
    sha256: str
    """Of the packed file, so that a changed package cannot slip in."""
    style: str
    """The word the captions use; that of a concept where the base model never sees the set."""


PACKAGES = (
    Package("noto", "1.2.9", "3e918d88fc945c0bb3d468dbace6f88caef67f01c9f0e7bcae0915a042e8f1ad", "noto"),
    Package("noto-v1", "1.2.5", "2bf62c26c2c2884aa99e90aec942cdaee17a5921f05690694f4978ad4b017c37", "blob"),
    Package("fluent-emoji", "1.2.7", "8044210dbf11e016d4de85f15d01a243423bd832457e7e2491df1b751c0e272b", "3d"),
    Package("fluent-emoji-flat", "1.2.6", "7d064769dee690815f823bc5bcc511d957198caf9f5edd8dd9c1aa48a6aeb175", "flat"),
    Package(
        "fluent-emoji-high-contrast",
        "1.2.6",
        "0b92d48c90d2200bd499e3cdd09a127ca6a8c8ddefd34c35eb5a1e4994012ae0",
        "<line-art>",
    ),
    Package("fxemoji", "1.2.2", "f3e72b3c59d05e1db03b7e308d55c0d05bd7ba3f625a90da1b79313c12858eef", "<fx-emoji>"),
)


def fetch(package: Package, folder: Path) -> dict[str, Any]:
    """The package's icons.json; packed with npm into `folder` unless it is there already.

    Raises RuntimeError where npm fails or the file is not the one this recipe was written for.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"iconify-json-{package.name}-{package.version}.tgz"
    if not path.exists():
        name = f"@iconify-json/{package.name}@{package.version}"
        done = subprocess.run(["npm", "pack", "--silent", name], cwd=folder, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"npm pack {name} failed: {done.stderr.strip()}")
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != package.sha256:
        raise RuntimeError(f"{path} has sha256 {found}, expected {package.sha256}; delete it to fetch it again")
    with tarfile.open(path) as archive:
        member = archive.extractfile("package/icons.json")
        if member is None:
            raise RuntimeError(f"{path} holds no package/icons.json")
        return json.load(member)


def names_in(icons: dict[str, Any]) -> dict[str, str]:
    """Each name in `icons` without hyphens (fxemoji writes none) -> the icon that draws it."""
    # An alias that only renames draws the same picture; one that flips or turns does not.
    aliases = {name: alias["parent"] for name, alias in icons.get("aliases", {}).items() if set(alias) == {"parent"}}
    return {name.replace("-", ""): icon for name, icon in {**aliases, **{n: n for n in icons["icons"]}}.items()}


def svg_of(icons: dict[str, Any], icon: str) -> str:
    """A whole SVG document of one icon."""
    entry = icons["icons"][icon]
    width, height = (entry.get(side, icons.get(side, 16)) for side in ("width", "height"))
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'viewBox="0 0 {width} {height}" width="{width}" height="{height}">{entry["body"]}</svg>'
    )


def draw(svg: str, size: int) -> np.ndarray:
    """`svg` on white, uint8 RGB (size, size, 3)."""
    import resvg_py

    png = bytes(resvg_py.svg_to_bytes(svg_string=svg, width=size, height=size))
    bgra = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)
    if bgra.shape[:2] != (size, size):  # an icon that is not square keeps its proportions
        bgra = cv2.resize(bgra, (size, size), interpolation=cv2.INTER_AREA)
    alpha = bgra[..., 3:].astype(np.float32) / 255
    rgb = bgra[..., 2::-1].astype(np.float32)
    return np.rint(rgb * alpha + 255 * (1 - alpha)).astype(np.uint8)


def _draw_large(task: tuple[str, int]) -> np.ndarray | None:
    svg, size = task
    try:
        return draw(svg, size * OVERSAMPLING)
    except ValueError:  # resvg cannot read a few of the 15,000
        return None


def drawn(icons: dict[str, Any], wanted: dict[str, str], size: int) -> Iterator[tuple[str, np.ndarray]]:
    """(subject, picture of `size` * OVERSAMPLING pixels a side) for each wanted subject -> icon."""
    tasks = [(svg_of(icons, icon), size) for icon in wanted.values()]
    with ProcessPoolExecutor() as pool:
        for subject, picture in zip(wanted, pool.map(_draw_large, tasks, chunksize=16), strict=True):
            if picture is not None:
                yield subject, picture
