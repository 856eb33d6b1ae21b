"""A gallery of ten thousand pictures in Chromium: first paint, each frame of a scripted scroll, memory.

The machine may do other work at the same time, so frames are held to those of an empty page, scrolled in the same way. Of a
machine that had more to do than it has cores before the test began, no frame is judged: Chromium alone keeps two busy.
"""

import io
import os
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
from PIL import Image

from browser import Browser
from latentpress.gallery.data import SIDES, Source, gallery_script, thumbnails
from latentpress.gallery.make import page_files
from latentpress.sheets.cells import DONE, FAILED, WAITING, Cell, Cells

pytestmark = pytest.mark.full
ROWS, COLUMNS = 250, 40
# Seconds, milliseconds, bytes.
FIRST_PAINT, FRAME, MEMORY = 2.0, 100.0, 300 << 20
# Slowly, as one reads, then to the end, as one searches; gives how long each frame took.
SCROLL = """new Promise((done) => {
  const main = document.querySelector('main'), frames = [], slow = 100, all = 220;
  main.scrollTo(0, 0);
  let last = performance.now(), count = 0;
  const step = (now) => {
    frames.push(now - last);
    last = now;
    main.scrollTo(count * 9, count < slow ? count * 20 : slow * 20 + (count - slow) * 290);
    if (++count < all) requestAnimationFrame(step); else done(frames.slice(1));
  };
  requestAnimationFrame(step);
})"""
EMPTY = (
    "<!DOCTYPE html><main style='height:1000px;overflow:auto'><div style='width:9000px;height:50000px'></div></main>"
)


def cell(row, column):
    place = row * COLUMNS + column
    state = FAILED if place % 97 == 5 else WAITING if place % 101 == 7 else DONE
    labels = {"seed": str(row), "style": f"style {column}", "prompt": f"a kite over the sea, {row}", "sampler": "euler"}
    pixels = f"{place:064x}" if state == DONE else ""
    return Cell(
        labels, state, PurePosixPath(f"{place}.png"), 512, 512, labels["prompt"], seed=row, job_hash="c" * 64,
        pixel_sha256=pixels, seconds=1.5, reason="NaN" if state == FAILED else "", alt=f"a kite, {row}, {column}",
    )  # fmt: skip


@pytest.fixture
def home(tmp_path):
    """A gallery of pictures of 512x512, whose small thumbnails are fifty files under ten thousand names."""
    cells = [cell(row, column) for row in range(ROWS) for column in range(COLUMNS)]
    page = tmp_path / "out/.latentpress/gallery"
    page.mkdir(parents=True)
    source = Source(tmp_path / "out", "out", Cells("many", "", ("seed", "style"), cells), "seed", "style")
    for name, content in {**page_files(), "data.js": gallery_script([source], page)}.items():
        (page / name).write_bytes(content)
    noise = np.random.default_rng(0)
    drawn: list[Path] = []
    for number in range(50):
        buffer = io.BytesIO()
        small = Image.fromarray(noise.integers(0, 256, (40, 40, 3), np.uint8)).resize((SIDES[0],) * 2)
        small.save(buffer, "WEBP", quality=80)
        drawn.append(tmp_path / f"{number}.webp")
        drawn[-1].write_bytes(buffer.getvalue())
    for place, one in enumerate(cells):
        if one.pixel_sha256:
            path = page / thumbnails(one.pixel_sha256, one.width, one.height)[SIDES[0]]
            path.parent.mkdir(parents=True, exist_ok=True)
            os.link(drawn[place % 50], path)
    return page / "index.html"


def memory(browser):
    """Bytes that the page's process has to itself, shared pages by its share, without what nothing refers to."""
    browser.run("gc()")
    session, browser._session = browser._session, None
    found = browser.call("SystemInfo.getProcessInfo")["processInfo"]
    browser._session = session
    sizes = [Path(f"/proc/{one['id']}/smaps_rollup").read_text() for one in found if one["type"] == "renderer"]
    return max(int(text.partition("\nPss:")[2].split()[0]) for text in sizes) * 1024


def test_ten_thousand_pictures_scroll_smoothly(home, tmp_path):
    busy = os.getloadavg()[0] > (os.cpu_count() or 1)
    empty = tmp_path / "empty.html"
    empty.write_text(EMPTY)
    browser = Browser(tmp_path / "chromium")
    try:
        browser.size(1600, 1000)
        for _ in range(3):
            browser.open(empty)
            idle = max(browser.run(SCROLL))
            browser.open(home)
            browser.wait("[...document.querySelectorAll('.cell img')].filter(one => one.naturalWidth).length > 20")
            paint = browser.run("performance.getEntriesByName('first-contentful-paint')[0].startTime") / 1000
            slowest = max(browser.run(SCROLL))
            if paint < FIRST_PAINT and (busy or slowest < FRAME):
                break
        assert browser.run("document.querySelector('main').scrollTop") > 30_000
        assert browser.run("document.querySelectorAll('*').length") < 1500
        browser.wait("[...document.querySelectorAll('.cell img')].filter(one => one.naturalWidth).length > 20")
        used = memory(browser)
        print(f"\nfirst paint {paint:.2f} s, slowest frame {slowest:.0f} ms (empty {idle:.0f}), {used / 2**20:.0f} MiB")
        assert paint < FIRST_PAINT
        assert busy or slowest < max(FRAME, 3 * idle)
        assert used < MEMORY
    finally:
        browser.close()
