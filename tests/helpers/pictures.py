"""Pictures looked at from outside: where one stands in another, pixel for pixel."""

import numpy as np
from PIL import Image

# A window of the sheet is compared whole only where one pixel in STEP x STEP agrees: 240,000 windows take 0.1 s so.
STEP = 16


def enlarged(path, factor=2):
    """The picture at `path` as uint8 (H, W, 3), each pixel a square of `factor`."""
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB")).repeat(factor, axis=0).repeat(factor, axis=1)


def places(sheet, picture):
    """(top, left) of every place in `sheet` that holds exactly `picture`; both uint8 (H, W, 3)."""
    height, width, _ = picture.shape
    windows = np.lib.stride_tricks.sliding_window_view(sheet, (height, width), (0, 1))
    wanted = picture.transpose(2, 0, 1)
    likely = np.ones(windows.shape[:2], bool)
    for y in range(0, height, STEP):
        for x in range(0, width, STEP):
            likely[likely] = (windows[..., y, x][likely] == wanted[:, y, x]).all(-1)
    return [(int(top), int(left)) for top, left in np.argwhere(likely) if (windows[top, left] == wanted).all()]
