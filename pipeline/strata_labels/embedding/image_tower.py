"""Runs the image tower of an encoder: picture files to unit vectors, in batches of one shape."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from strata_labels.embedding.encoder import StoredFloats
from strata_labels.pictures import UnreadablePictureError, open_picture

if TYPE_CHECKING:
    import torch

# Batches have a fixed number of rows, the last one is filled up: with the shape fixed, a row's
# vector does not depend on its neighbours, to the last bit, so a resumed run and a whole one agree.
_IMAGE_BATCH = {"cpu": 8, "cuda": 64}


class ImageTower(ABC):
    """A model that gives images vectors, on the GPU where there is one, there in half precision.

    Args:
        model: holds the image tower.
        preprocess: a picture to pixels `[3, height, width]`; its first step resizes.

    Attributes:
        visual: the image tower alone, as a torch module.
        mean: by which its pixels are normalised, by channel.
        std: the same.
    """

    visual: Any
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __init__(self, model: Any, preprocess: Any) -> None:
        import torch

        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.image_batch = _IMAGE_BATCH[self.device]
        self.model = model.eval().to(self.device)
        self.preprocess = preprocess
        side = getattr(preprocess.transforms[0], "size", None)
        # What a JPEG may be reduced to while it is decoded; None to decode all of it.
        self._side = max(side) if isinstance(side, list | tuple) else side

    @abstractmethod
    def _encode_images(self, pixels: torch.Tensor) -> torch.Tensor:
        """Unit vectors of a batch of images that is on the device."""

    def image_vectors(self, pixels: torch.Tensor) -> StoredFloats:
        """Vectors of at most `image_batch` preprocessed images `[n, 3, height, width]`."""
        import torch

        on_gpu = self.device == "cuda"
        with torch.autocast(self.device, torch.float16, enabled=on_gpu):
            vectors = self._vectors(self._encode_images, pixels, self.image_batch)
        return (vectors.half() if on_gpu else vectors).numpy()

    def _vectors(self, encode: Callable[..., Any], rows: torch.Tensor, batch: int) -> torch.Tensor:
        import torch

        exact = torch.backends.cudnn.flags(
            enabled=True, benchmark=False, deterministic=True, allow_tf32=False
        )
        filled = torch.cat([rows, rows[:1].expand(batch - len(rows), *rows.shape[1:])])
        if self.device == "cuda":
            filled = filled.pin_memory()
        with torch.inference_mode(), exact:
            vectors = encode(filled.to(self.device, non_blocking=True))
            return vectors[: len(rows)].float().cpu()

    def pixels(self, file: Path | bytes) -> torch.Tensor | str:
        """The preprocessed image of a file or its content, or why there is none."""
        try:
            return self.preprocess(open_picture(file, self._side))
        except UnreadablePictureError as error:
            return str(error)

    def blank_image(self) -> torch.Tensor:
        from PIL import Image

        return self.preprocess(Image.new("RGB", (32, 32)))
