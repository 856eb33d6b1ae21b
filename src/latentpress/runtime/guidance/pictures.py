"""The pictures that losses compare with and their masks, as tensors: read once at each size, and what was planned."""

from functools import lru_cache

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from latentpress.runtime.pictures.files import read_given
from latentpress.runtime.pictures.images import image_pixels
from latentpress.runtime.pictures.reading import SHOWN, WHITE
from latentpress.runtime.request import ImageFile

# A 1024x1024 picture takes 12 MB.
_KEPT = 8


@lru_cache(_KEPT)
def picture_tensor(file: ImageFile, height: int, width: int) -> Tensor:
    """(1, 3, height, width), float32, 0..1: the picture in `file`, resized (Lanczos, aspect not kept), on white.

    Raises UsageError for a file that is missing, not a picture, or not the one that was planned.
    """
    return (torch.from_numpy(image_pixels(file, height, width, SHOWN, WHITE)) / 2 + 0.5)[None]


@lru_cache(_KEPT)
def mask_tensor(file: ImageFile, height: int, width: int) -> Tensor:
    """(1, 1, height, width), float32, 0..1: the mask in `file`, resized (each pixel the mean of what lies there).

    Raises UsageError as `picture_tensor` does.
    """
    grey = read_given(file).mask().resize((width, height), Image.Resampling.BOX)
    return torch.from_numpy(np.asarray(grey, np.float32) / 255)[None, None]
