"""Whether a changed file still shows what was rendered."""

import io

import numpy as np
import pytest
from PIL import Image

from latentpress.batch.pictures.fault import fault_of
from latentpress.batch.pictures.png import pixel_sha256
from latentpress.gallery.thumbs import Wanted, make_thumbnails

PIXELS = np.random.default_rng(0).integers(0, 256, (16, 24, 3), np.uint8)
OTHER, UNREADABLE = "file is not what was rendered", "file cannot be read"


def saved(kind, pixels=PIXELS, **options):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "fault", "thumbnail"),
    [
        (saved("PNG"), None, None),
        (saved("WEBP", lossless=True), None, None),
        (saved("PNG", 255 - PIXELS), OTHER, OTHER),
        (saved("WEBP", 255 - PIXELS, lossless=True), OTHER, OTHER),
        (saved("PNG", np.dstack([PIXELS, PIXELS[..., :1]])), OTHER, OTHER),
        # Nobody can tell by its pixels: it is proved neither to be what was rendered nor to be something else.
        (saved("JPEG"), OTHER, None),
        (saved("PNG")[:-400], UNREADABLE, UNREADABLE),
        (b"torn", UNREADABLE, UNREADABLE),
        (saved("GIF"), UNREADABLE, UNREADABLE),
    ],
)
def test_a_changed_file_shows_what_was_rendered_or_says_why_not(content, fault, thumbnail, tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(content)
    digest = pixel_sha256(PIXELS)
    assert fault_of(path, digest, "0" * 64, len(content), None) == fault
    assert make_thumbnails([Wanted(digest, 24, 16, [path])], tmp_path)[1].get(path) == thumbnail


def test_no_file_is_no_fault_of_a_file(tmp_path):
    assert fault_of(tmp_path / "a.png", "", "", 0, None) == ""
