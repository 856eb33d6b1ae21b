"""Given pictures and masks: from a file to latents, each read and encoded once. Mirrors diffusers' VaeImageProcessor."""

import hashlib
import io
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from latentpress.engines.engine import Session
from latentpress.errors import UsageError
from latentpress.runtime.request import ImageFile
from latentpress.runtime.sampling.noise import NoiseSource

Pixels = NDArray[np.float32]
Latents = NDArray[np.float32]

# Pictures and their moments kept for the next jobs; a 1024x1024 picture takes 12 MB as pixels, 0.5 MB as moments.
_PIXELS_KEPT = 4
_MOMENTS_KEPT = 64


def read_picture(file: ImageFile, height: int, width: int) -> Image.Image:
    """The picture in `file`, upright, RGB, resized to `height` and `width` pixels (Lanczos, aspect not kept).

    Raises UsageError for a file that is missing, not a picture, or not the one that was planned.
    """
    try:
        content = file.path.read_bytes()
    except OSError as error:
        raise UsageError(f"{file.path}: cannot be read any more ({error.strerror}); put the picture back") from None
    if hashlib.sha256(content).hexdigest() != file.sha256:
        raise UsageError(
            f"{file.path}: the picture changed since the manifest was planned; render again to use the new one"
        )
    try:
        with Image.open(io.BytesIO(content)) as opened:
            picture = ImageOps.exif_transpose(opened).convert("RGB")
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise UsageError(f"{file.path}: not a picture that can be read ({error}); save it as PNG or JPEG") from None
    return picture.resize((width, height), Image.Resampling.LANCZOS)


def image_pixels(file: ImageFile, height: int, width: int) -> Pixels:
    """(3, height, width) float32 in -1..1."""
    unit = np.asarray(read_picture(file, height, width), dtype=np.float32) / np.float32(255)
    return np.ascontiguousarray(np.moveaxis(unit, -1, 0)) * 2 - 1


def mask_pixels(file: ImageFile, height: int, width: int) -> Pixels:
    """(1, height, width) float32: 1 where the mask is at least half white and the picture is redrawn, else 0."""
    grey = np.asarray(read_picture(file, height, width).convert("L"), dtype=np.float32) / np.float32(255)
    return (grey >= 0.5).astype(np.float32)[np.newaxis]


class ImageEncoder:
    """Files -> latents through one bundle's VAE encoder; one file at one size is read and encoded once."""

    def __init__(self, session: Session, scaling_factor: float, vae_scale_factor: int) -> None:
        self._session = session
        self._scaling_factor = np.float32(scaling_factor)
        self._vae_scale_factor = vae_scale_factor
        self._pixels = lru_cache(_PIXELS_KEPT)(image_pixels)
        self._masks = lru_cache(_PIXELS_KEPT)(mask_pixels)
        self._moments = lru_cache(_MOMENTS_KEPT)(self._encode)

    def mask(self, file: ImageFile, height: int, width: int) -> Latents:
        """(1, h, w): the mask at latent size, each latent taking its upper left pixel (nearest neighbour)."""
        factor = self._vae_scale_factor
        return np.ascontiguousarray(self._masks(file, height, width)[:, ::factor, ::factor])

    def latents(
        self, file: ImageFile, height: int, width: int, noise: NoiseSource, masked: ImageFile | None = None
    ) -> Latents:
        """(C, h, w): one draw from the VAE's posterior of the picture, scaled; takes one draw from `noise`.

        masked: a mask; the picture is made grey (0 in -1..1) where it is white, before encoding.
        """
        moments = self._moments(file, height, width, masked)
        mean, log_variance = np.split(moments, 2)
        spread = np.exp(np.float32(0.5) * np.clip(log_variance, -30, 20))
        return self._scaling_factor * (mean + spread * noise.draw(*mean.shape))

    def _encode(self, file: ImageFile, height: int, width: int, masked: ImageFile | None) -> Latents:
        pixels = self._pixels(file, height, width)
        if masked is not None:
            pixels = pixels * (self._masks(masked, height, width) < 0.5)
        return self._session.run({"sample": pixels[np.newaxis]})["moments"][0].astype(np.float32, copy=False)
