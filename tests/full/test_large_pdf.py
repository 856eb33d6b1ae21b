"""A sheet of 100 x 100 pictures as PDF: what it takes in memory and in processor time."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MADE = """
import resource, sys, time
from pathlib import Path, PurePosixPath
import numpy as np
from PIL import Image
from latentpress.sheets.cells import DONE, Cell, Cells
from latentpress.sheets.layout import layout
from latentpress.sheets.pdf import pdf_document
from latentpress.sheets.record import record
from latentpress.sheets.scale import Limits
from latentpress.sheets.spec import Sheet
from latentpress.sheets.text.measure import Measure
from latentpress.sheets.typ import About

folder = Path(sys.argv[1])
generator = np.random.default_rng(7)
cells = []
for row in range(100):
    (folder / str(row)).mkdir()
    for column in range(100):
        path = PurePosixPath(f"{row}/{column}.png")
        Image.fromarray(generator.integers(0, 256, (64, 64, 3), np.uint8)).save(folder / path)
        labels = {"style": f"Größe 絵 {row}", "seed": str(column)}
        cells.append(Cell(labels, DONE, path, 64, 64, job_hash="a" * 64, pixel_sha256="b" * 64, alt=f"{row}, {column}"))
before = time.process_time()
found = Cells("large", "c" * 64, ("style", "seed"), cells, "2026-11-27 22-00")
sheet = Sheet(rows=("style",), columns=("seed",))
pages = layout(found, sheet, Measure(), Limits(pixels=None))
pdf = pdf_document(pages, folder, About("large", date=found.date), record=record(found, sheet, pages)).pdf
(folder / "large.pdf").write_bytes(pdf)
assert sum(len(list(page.cells)) for page in pages) == 10_000
print(time.process_time() - before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)
"""


@pytest.mark.full
def test_ten_thousand_pictures_make_a_pdf_within_bounds(tmp_path):
    line = [sys.executable, "-c", MADE, str(tmp_path)]
    env = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    seconds, gigabytes = map(
        float, subprocess.run(line, capture_output=True, text=True, check=True, env=env).stdout.split()
    )
    assert (tmp_path / "large.pdf").stat().st_size > 10_000 * 64 * 64 * 2, "every picture is in it"
    assert gigabytes < 1.2
    assert seconds < 20, "of the processor, all threads together"
    print(f"{seconds:.1f} s of the processor, {gigabytes:.2f} GiB")
