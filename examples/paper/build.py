"""Builds a paper of two pages from nothing but this folder: pictures, figure, poster, PDF and supplement.

    python examples/paper/build.py               # into out/paper, out/paper.pdf and out/paper-supplement.zip
    python examples/paper/build.py -o elsewhere

It needs latentpress with the extras `cpu` and `figures`. A second run renders nothing that is there.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

import typst

import latentpress

HERE = Path(__file__).resolve().parent
FONTS = Path(latentpress.__file__).parent / "sheets" / "text" / "noto"


def main() -> None:
    """Render, draw, set and pack."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("-o", "--output", type=Path, default=Path("out/paper"), help="the folder of the pictures")
    parser.add_argument("--manifest", type=Path, default=HERE / "paper.yaml", help="another manifest with these sheets")
    asked = parser.parse_args()
    out = asked.output.resolve()
    run("render", asked.manifest, "-o", out)  # and draws the sheets that the manifest asks for
    paper = out.with_name(f"{out.name}.pdf")
    set_paper(out, paper)
    print(f"paper: {paper}\nposter: {out / 'poster.pdf'}")
    supplement = out.with_name(f"{out.name}-supplement.zip")
    if supplement.exists():
        print(f"supplement: {supplement} is there already, and stays as it is")
    else:
        run("pack", out, "-o", supplement)


def set_paper(out: Path, paper: Path) -> None:
    """The PDF of paper.typ with the figure and the table of cells that lie in `out`."""
    root = Path(os.path.commonpath([HERE, out]))  # typst reads nothing above it
    inputs = {"figure": out / "figure.pdf", "cells": out / "seeds-and-styles.csv"}
    typst.compile(
        HERE / "paper.typ",
        output=paper,
        root=root,
        font_paths=[FONTS],
        ignore_system_fonts=True,
        sys_inputs={name: f"/{path.relative_to(root)}" for name, path in inputs.items()},
    )


def run(*words: object) -> None:
    """A command of latentpress; its exit code where that is not 0."""
    code = subprocess.call([sys.executable, "-m", "latentpress", *map(str, words)])
    if code:
        sys.exit(code)


if __name__ == "__main__":
    main()
