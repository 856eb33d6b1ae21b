"""A CLIP model in torch, from the folder that a loss names: images and texts as vectors of length 1, differentiable."""

import json
from functools import lru_cache
from threading import Lock
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor
from torch.nn import functional

from latentpress.errors import UsageError
from latentpress.runtime.guidance.clip_files import clip_sha256
from latentpress.runtime.request import ImageFile

# CLIP's own, where a folder has no preprocessor_config.json: the mean and the deviation of its training pictures.
_MEAN, _STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
# transformers finds its classes when they are first asked for, and two threads that ask at once get an ImportError.
_IMPORTING = Lock()
# A ViT-L/14 takes 1.7 GB.
_MODELS_KEPT, _TEXTS_KEPT = 1, 64


class ClipModel:
    """The model in the folder `file`, computed in `dtype`."""

    def __init__(self, file: ImageFile, dtype: torch.dtype) -> None:
        with _IMPORTING:
            from transformers import CLIPModel, CLIPTokenizer

        folder = file.path
        if clip_sha256(folder) != file.sha256:
            raise UsageError(f"{folder}: the CLIP model changed since the manifest was planned; render again to use it")
        try:
            model: Any = CLIPModel.from_pretrained(str(folder), local_files_only=True)
            self._tokenizer: Any = CLIPTokenizer.from_pretrained(str(folder), local_files_only=True)
            known: Any = {}
            if (folder / "preprocessor_config.json").is_file():
                known = json.loads((folder / "preprocessor_config.json").read_bytes())
            self._mean, self._std = (
                torch.tensor(known.get(key, default), dtype=dtype)[:, None, None]
                for key, default in (("image_mean", _MEAN), ("image_std", _STD))
            )
        except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
            raise UsageError(f"{folder}: not a CLIP model that can be read ({error!s:.200}); save it again") from None
        self._model: Any = model.to(dtype).eval().requires_grad_(False)
        self._size: int = model.config.vision_config.image_size

    def image(self, images: Tensor) -> Tensor:
        """(batch, D) of images (batch, 3, H, W), about 0..1: stretched to the model's size (bicubic, antialiased)."""
        side = (self._size, self._size)
        fitting = functional.interpolate(images, side, mode="bicubic", antialias=True, align_corners=False)
        seen = self._model.vision_model(pixel_values=(fitting - self._mean) / self._std)
        return functional.normalize(self._model.visual_projection(seen.pooler_output), dim=-1)

    def text(self, text: str) -> Tensor:
        """(1, D) of a text; what is beyond the model's tokens is cut off."""
        length = self._model.config.text_config.max_position_embeddings
        tokens = self._tokenizer([text], truncation=True, max_length=length, return_tensors="pt")
        read = self._model.text_model(**tokens)
        return functional.normalize(self._model.text_projection(read.pooler_output), dim=-1)


@lru_cache(_MODELS_KEPT)
def clip_model(file: ImageFile, dtype: torch.dtype) -> ClipModel:
    """The model in the folder `file`, loaded once. Raises UsageError for one that is another than was planned."""
    return ClipModel(file, dtype)


@lru_cache(_TEXTS_KEPT)
def clip_text(file: ImageFile, dtype: torch.dtype, text: str) -> Tensor:
    """The vector of a text, (1, D), computed once."""
    with torch.no_grad():
        return clip_model(file, dtype).text(text)
