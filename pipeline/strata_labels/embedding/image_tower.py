"""Runs the image tower of an encoder: picture files to unit vectors, in batches of one shape."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from strata_labels.embedding.encoder import StoredFloats
from strata_labels.pictures import UnreadablePictureError, normalised, open_picture

if TYPE_CHECKING:
    import torch

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
        visual: the image tower alone, as a torch module.
        mean: `[3]`, by which its pixels are normalised.
        std: the same.
    """

    visual: Any

    def __init__(self, model: Any, preprocess: Any) -> None:
        import torch
        from torchvision.transforms import Compose, PILToTensor

        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.image_batch = _IMAGE_BATCH[self.device]
        self.model = model.eval().to(self.device)
        *steps, _, normalize = preprocess.transforms
        self._to_pixels = Compose([*steps, PILToTensor()])
        self.mean, self.std = (
            torch.as_tensor(values, dtype=torch.float32).to(self.device)
            for values in (normalize.mean, normalize.std)
        )
        side = getattr(steps[0], "size", None)
        # What a JPEG may be reduced to while it is decoded; None to decode all of it.
        self._side = max(side) if isinstance(side, list | tuple) else side

    @abstractmethod
    def _encode_images(self, pixels: torch.Tensor) -> torch.Tensor:
        """Unit vectors of a batch of images that is on the device."""

    def start(self, pixels: torch.Tensor) -> torch.Tensor:
        """Begins with at most `image_batch` images `[n, 3, height, width]` uint8.

        A GPU computes while the host goes on, until `fetch` is given what this returns.
        """
        import torch

        def encode(pixels: torch.Tensor) -> torch.Tensor:
            return self._encode_images(normalised(pixels, self.mean, self.std))

        on_gpu = self.device == "cuda"
        with torch.autocast(self.device, torch.float16, enabled=on_gpu):
            vectors = self._vectors(encode, pixels, self.image_batch)
        return vectors.half() if on_gpu else vectors

    def fetch(self, started: torch.Tensor) -> StoredFloats:
        """The vectors `[n, d]`, once they are there."""
        return started.cpu().numpy()

    def _vectors(self, encode: Callable[..., Any], rows: torch.Tensor, batch: int) -> torch.Tensor:
        """What the model makes of rows, on the device, where it may still be computed."""
        import torch

        exact = torch.backends.cudnn.flags(
            enabled=True, benchmark=False, deterministic=True, allow_tf32=False
        )
        filled = torch.cat([rows, rows[:1].expand(batch - len(rows), *rows.shape[1:])])
        if self.device == "cuda":
            filled = filled.pin_memory()
        with torch.inference_mode(), exact:
            vectors = encode(filled.to(self.device, non_blocking=True))
            return vectors[: len(rows)].float()

    def pixels(self, file: Path | bytes) -> torch.Tensor | str:
        """The picture `[3, height, width]` uint8 of a file or its content, or why there is none."""
        try:
            return self._to_pixels(open_picture(file, self._side))
        except UnreadablePictureError as error:
            return str(error)

    def blank_image(self) -> torch.Tensor:
        from PIL import Image

        return self._to_pixels(Image.new("RGB", (32, 32)))
