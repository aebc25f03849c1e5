"""Loads training images: the transforms of the papers, decoded in worker processes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from strata_labels.pictures import UnreadablePictureError, open_picture
from strata_labels.progress import track
from strata_labels.training.processes import Share
from strata_labels.training.recipe import Recipe

_Key = tuple[int, int, int, int]  # epoch, batch, place in it, image


def random_transform(
    recipe: Recipe, mean: Sequence[float], std: Sequence[float]
) -> Callable[[Image.Image], Tensor]:
    """Random (resized) crop and flip; of torch's random state alone."""
    how = transforms.InterpolationMode(recipe.interpolation)
    crop: list[Callable[..., object]]
    if recipe.max_scale:
        scale, ratio = (recipe.min_scale, recipe.max_scale), (recipe.min_ratio, recipe.max_ratio)
        crop = [transforms.RandomResizedCrop(recipe.crop, scale, ratio, how)]
        if recipe.train_resize:
            crop.insert(0, transforms.Resize(recipe.train_resize, how))
    else:
        crop = [transforms.Resize(recipe.resize, how), transforms.RandomCrop(recipe.crop)]
    return transforms.Compose([*crop, transforms.RandomHorizontalFlip(), *_to_tensor(mean, std)])  # type: ignore[no-any-return]


def plain_transform(
    recipe: Recipe, mean: Sequence[float], std: Sequence[float]
) -> Callable[[Image.Image], Tensor]:
    """Shorter side resized, or squashed to a square; centre crop."""
    how = transforms.InterpolationMode(recipe.interpolation)
    size = [recipe.resize, recipe.resize] if recipe.squash else recipe.resize
    return transforms.Compose(  # type: ignore[no-any-return]
        [
            transforms.Resize(size, how),
            transforms.CenterCrop(recipe.crop),
            *_to_tensor(mean, std),
        ]
    )


class TrainImages:
    """Gives the trainer its batches of pictures.

    An image's crop follows from seed, epoch, batch and place in the batch, whichever worker or
    process decodes it, and whenever training was interrupted.

    Args:
        paths: image files of the train split.
        transform: picture to tensor, random by torch's random state.
        seed: of the crops.
        workers: processes that decode; 0: this one.
        pin: whether tensors go to a GPU.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        transform: Callable[[Image.Image], Tensor],
        seed: int,
        workers: int,
        pin: bool = False,
    ) -> None:
        self._set = _Random(paths, transform, seed)
        self._workers, self._pin = workers, pin

    def __call__(self, epoch: int, first: int, shares: Sequence[Share]) -> Iterator[Tensor]:
        """Batches `[b, 3, crop, crop]` of an epoch, from its batch `first` on."""
        keys = [
            [(epoch, first + n, share.start + at, int(i)) for at, i in enumerate(share.images)]
            for n, share in enumerate(shares)
        ]
        return iter(
            DataLoader(
                self._set,
                batch_sampler=keys,
                num_workers=self._workers,
                pin_memory=self._pin,
                # Else it draws from torch's own, and a resumed training would not be the same.
                generator=torch.Generator(),
            )
        )


@torch.inference_mode()
def embed(
    model: torch.nn.Module,
    paths: Sequence[Path],
    transform: Callable[[Image.Image], Tensor],
    device: torch.device,
    workers: int,
    batch_size: int = 64,
) -> Tensor:
    """What the model makes of pictures, in order, single precision, on the CPU."""
    model.eval()
    parts = []
    loader = DataLoader(_Plain(paths, transform), batch_size=batch_size, num_workers=workers)
    with track(len(paths), "embedding images") as tracker:
        for pixels in loader:
            parts.append(model(pixels.to(device)).float().cpu())
            tracker.advance(len(pixels))
    return torch.cat(parts)


def unreadable(paths: Sequence[Path]) -> dict[int, str]:
    """Decodes every image; returns which cannot be decoded, and why."""
    with (
        ThreadPoolExecutor(min(16, os.cpu_count() or 1)) as pool,
        track(len(paths), "checking images") as tracker,
    ):
        found = {}
        for at, reason in enumerate(pool.map(_reason, paths)):
            if reason:
                found[at] = reason
            tracker.advance(1)
    return found


def _reason(path: Path) -> str:
    try:
        open_picture(path, 64)  # a JPEG is read to its end, but not in full size
    except UnreadablePictureError as error:
        return str(error)
    return ""


def _to_tensor(mean: Sequence[float], std: Sequence[float]) -> list[Callable[..., object]]:
    return [transforms.ToTensor(), transforms.Normalize(mean, std)]


class _Plain(Dataset[Tensor]):
    def __init__(self, paths: Sequence[Path], transform: Callable[[Image.Image], Tensor]) -> None:
        self._paths, self._transform = list(paths), transform

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, at: int) -> Tensor:
        return self._transform(open_picture(self._paths[at]))


class _Random(Dataset[Tensor]):
    def __init__(
        self, paths: Sequence[Path], transform: Callable[[Image.Image], Tensor], seed: int
    ) -> None:
        self._paths, self._transform, self._seed = list(paths), transform, seed

    def __getitem__(self, key: _Key) -> Tensor:
        image = open_picture(self._paths[key[3]])
        # Python hashes tuples of integers alike in every process.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(hash((self._seed, *key)))
            return self._transform(image)
