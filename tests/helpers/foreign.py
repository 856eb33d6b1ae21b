"""What people put under the name of a picture of ours."""

import os

import numpy as np
from PIL import Image


def recompressed(content, path):
    path.write_bytes(content)
    with Image.open(path) as picture:
        picture.load()
        picture.save(path, compress_level=1)


def retouched(content, path):
    """As an editor saves it that keeps the texts: one pixel is another one."""
    from PIL.PngImagePlugin import PngInfo

    path.write_bytes(content)
    with Image.open(path) as picture:
        info = PngInfo()
        for keyword, text in picture.text.items():
            info.add_text(keyword, text)
        pixels = np.array(picture)
        pixels[0, 0] ^= 1
        Image.fromarray(pixels).save(path, pnginfo=info)


def photograph(content, path):
    Image.fromarray(np.full((40, 30, 3), 90, np.uint8)).save(path, "JPEG")


def link_to_photograph(content, path):
    photograph(content, path.parent / "holiday.jpg")
    path.symlink_to("holiday.jpg")


def linked_photograph(content, path):
    photograph(content, path.parent / "holiday.jpg")
    os.link(path.parent / "holiday.jpg", path)


def folder_with_work(content, path):
    path.mkdir()
    (path / "notes.txt").write_text("a week's work")


# What somebody may have put under a name that a picture wants; the content of the picture that was there is given.
FOREIGN = {
    "text": lambda content, path: path.write_text("MY HOLIDAY PHOTO"),
    "photograph": photograph,
    "retouched": retouched,
    "recompressed": recompressed,
    "appended to": lambda content, path: path.write_bytes(content + b"a note"),
    "link to a photograph": link_to_photograph,
    "link to nothing": lambda content, path: path.symlink_to("gone.png"),
    "second name of a photograph": linked_photograph,
    "folder": folder_with_work,
    "pipe": lambda content, path: os.mkfifo(path),
    "empty picture of another program": lambda content, path: Image.new("RGB", (64, 64)).save(path),
    "text that begins as a picture": lambda content, path: path.write_bytes(content[:8] + b"x" * len(content)),
}
