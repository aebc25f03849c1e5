"""Runs the image tower of an encoder: picture files to unit vectors, in batches of one shape."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from PIL import Image
from torchvision.transforms import Compose, PILToTensor

from strata_labels.embedding.decoding import PictureDecoder
from strata_labels.embedding.encoder import StoredFloats
from strata_labels.freed_memory import keep_freed_memory
from strata_labels.pictures import normalised

# Batches have a fixed number of rows, the last one is filled up: with the shape fixed, a row's
# vector does not depend on its neighbours, to the last bit, so a resumed run and a whole one agree.
_IMAGE_BATCH = {"cpu": 8, "cuda": 64}


class ImageTower(ABC):
    """A model that gives images vectors, on the GPU where there is one, there in half precision.

    Args:
        model: holds the image tower.
        preprocess: what a picture goes through; the first step resizes, the last two make floats of
            it and normalise them.

    Attributes:
        pixels: makes pixels of a picture file.
        visual: the image tower alone, as a torch module.
        mean: `[3]`, by which its pixels are normalised.
        std: the same.
    """

    visual: Any

    def __init__(self, model: Any, preprocess: Any) -> None:
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        if self.device == "cpu":
            keep_freed_memory()
        self.image_batch = _IMAGE_BATCH[self.device]
        self.model = model.eval().to(self.device)
        *steps, _, normalize = preprocess.transforms
        self.mean, self.std = (
            torch.as_tensor(values, dtype=torch.float32).to(self.device)
            for values in (normalize.mean, normalize.std)
        )
        side = getattr(steps[0], "size", None)
        side = max(side) if isinstance(side, list | tuple) else side
        self.pixels = PictureDecoder(Compose([*steps, PILToTensor()]), side)

    @abstractmethod
    def _encode_images(self, pixels: torch.Tensor) -> torch.Tensor:
        """Unit vectors of a batch of images that is on the device."""

    def batch_of(self, pixels: torch.Tensor) -> torch.Tensor:
        """A batch for `start` of at most `image_batch` images `[n, 3, height, width]` uint8."""
        return self._filled(pixels, self.image_batch)

    def start(self, batch: torch.Tensor) -> torch.Tensor:
        """Begins with a batch; a GPU computes while the host goes on, until `fetch` is called."""

        def encode(pixels: torch.Tensor) -> torch.Tensor:
            return self._encode_images(normalised(pixels, self.mean, self.std))

        on_gpu = self.device == "cuda"
        with torch.autocast(self.device, torch.float16, enabled=on_gpu):
            vectors = self._vectors(encode, batch)
        return vectors.half() if on_gpu else vectors

    def fetch(self, started: torch.Tensor, number: int) -> StoredFloats:
        """The first vectors `[number, d]` of a batch, once they are there."""
        return started[:number].cpu().numpy()

    def _filled(self, rows: torch.Tensor, number: int) -> torch.Tensor:
        """So many rows, the first one repeated, where they move to the device fastest."""
        if len(rows) < number:
            rows = torch.cat([rows, rows[:1].expand(number - len(rows), *rows.shape[1:])])
        return rows.pin_memory() if self.device == "cuda" else rows

    def _vectors(self, encode: Callable[..., Any], batch: torch.Tensor) -> torch.Tensor:
        """What the model makes of a batch, on the device, where it may still be computed."""
        exact = torch.backends.cudnn.flags(
            enabled=True, benchmark=False, deterministic=True, allow_tf32=False
        )
        with torch.inference_mode(), exact:
            return encode(batch.to(self.device, non_blocking=True)).float()

    def blank_batch(self) -> torch.Tensor:
        """A batch of black images."""
        return self.batch_of(self.pixels.to_pixels(Image.new("RGB", (32, 32)))[None])
