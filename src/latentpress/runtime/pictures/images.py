"""Given pictures and masks as latents, each read and encoded once. Mirrors diffusers' VaeImageProcessor."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from latentpress.engines.engine import Session
from latentpress.runtime.pictures.files import given_colours
from latentpress.runtime.pictures.masks import latents_of, mask_of
from latentpress.runtime.request import ImageFile, RenderRequest
from latentpress.runtime.sampling.noise import NoiseSource

Pixels = NDArray[np.float32]
Latents = NDArray[np.float32]

# Pictures and their moments kept for the next jobs; a 1024x1024 picture takes 12 MB as pixels, 0.5 MB as moments.
_PIXELS_KEPT = 4
_MOMENTS_KEPT = 64


def image_pixels(file: ImageFile, height: int, width: int, reading: str, background: str) -> Pixels:
    """(3, height, width) float32 in -1..1: the picture in `file`, resized (Lanczos, aspect not kept).

    Raises UsageError for a file that is missing, not a picture, or not the one that was planned.
    """
    picture = given_colours(file, reading, background).resize((width, height), Image.Resampling.LANCZOS)
    unit = np.asarray(picture, dtype=np.float32) / np.float32(255)
    return np.ascontiguousarray(np.moveaxis(unit, -1, 0)) * 2 - 1


class ImageEncoder:
    """Files -> latents through one bundle's VAE encoder; one file at one size is read and encoded once."""

    def __init__(self, session: Session, scaling_factor: float, vae_scale_factor: int) -> None:
        self._session = session
        self._scaling_factor = np.float32(scaling_factor)
        self._vae_scale_factor = vae_scale_factor
        self._pixels = lru_cache(_PIXELS_KEPT)(image_pixels)
        self._moments = lru_cache(_MOMENTS_KEPT)(self._encode)

    def mask(self, request: RenderRequest) -> Latents:
        """(1, h, w): 1 where a latent is redrawn, 0 where it is kept."""
        assert request.mask_image is not None, "a request without a mask has no mask"
        mask = mask_of(request.mask_image, request.height, request.width, request.picture_reading)
        latents = latents_of(mask, self._vae_scale_factor, request.picture_reading)
        return latents[np.newaxis].astype(np.float32)

    def latents(self, request: RenderRequest, noise: NoiseSource, *, masked: bool = False) -> Latents:
        """(C, h, w): one draw from the VAE's posterior of the given picture, scaled; takes one draw from `noise`.

        masked: the picture is made grey (0 in -1..1) where its mask is white, before encoding.
        """
        assert request.init_image is not None, "a request without a picture has no latents of it"
        how = request.picture_reading, request.background
        moments = self._moments(
            request.init_image, request.height, request.width, *how, request.mask_image if masked else None
        )
        mean, log_variance = np.split(moments, 2)
        spread = np.exp(np.float32(0.5) * np.clip(log_variance, -30, 20))
        return self._scaling_factor * (mean + spread * noise.draw(*mean.shape))

    def _encode(
        self, file: ImageFile, height: int, width: int, reading: str, background: str, masked: ImageFile | None
    ) -> Latents:
        pixels = self._pixels(file, height, width, reading, background)
        if masked is not None:
            pixels = pixels * ~mask_of(masked, height, width, reading)
        return self._session.run({"sample": pixels[np.newaxis]})["moments"][0].astype(np.float32, copy=False)
