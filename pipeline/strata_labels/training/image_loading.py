"""Loads training images: the transforms of the papers, decoded in worker processes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate
from torchvision import transforms

from strata_labels.errors import InputError, Problem
from strata_labels.pictures import (
    UnreadablePictureError,
    available_cores,
    give_way,
    killed_processes,
    open_picture,
)
from strata_labels.progress import track
from strata_labels.training.processes import Share
from strata_labels.training.recipe import Recipe
from strata_labels.training.samplers import Indices

_EMBEDDED_AT_ONCE = 64
_Key = tuple[int, int, int, int]  # epoch, batch, place in it, image


def random_transform(recipe: Recipe) -> Callable[[Image.Image], Tensor]:
    """Random (resized) crop and flip, to 8-bit pixels; of torch's random state alone.

    In the process that decodes, not on the GPU: before they are resized, crops have different sizes
    and make no batch, and sending whole pictures would move more bytes than sending their crops.
    """
    how = transforms.InterpolationMode(recipe.interpolation)
    crop: list[Callable[..., object]]
    if recipe.max_scale:
        scale, ratio = (recipe.min_scale, recipe.max_scale), (recipe.min_ratio, recipe.max_ratio)
        crop = [transforms.RandomResizedCrop(recipe.crop, scale, ratio, how)]
        if recipe.train_resize:
            crop.insert(0, transforms.Resize(recipe.train_resize, how))
    else:
        crop = [transforms.Resize(recipe.resize, how), transforms.RandomCrop(recipe.crop)]
    return transforms.Compose([*crop, transforms.RandomHorizontalFlip(), transforms.PILToTensor()])  # type: ignore[no-any-return]


def plain_transform(recipe: Recipe) -> Callable[[Image.Image], Tensor]:
    """Shorter side resized, or squashed to a square; centre crop, to 8-bit pixels."""
    how = transforms.InterpolationMode(recipe.interpolation)
    size = [recipe.resize, recipe.resize] if recipe.squash else recipe.resize
    return transforms.Compose(  # type: ignore[no-any-return]
        [
            transforms.Resize(size, how),
            transforms.CenterCrop(recipe.crop),
            transforms.PILToTensor(),
        ]
    )


class PathList(Sequence[Path]):
    """Paths as one array of bytes: worker processes read it without copying its pages.

    Reading a Python list counts references in each object, so that every worker would come to
    hold a copy of it.
    """

    def __init__(self, paths: Iterable[Path]) -> None:
        self._names = np.array([os.fsencode(path) for path in paths], dtype=np.bytes_)

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, at: Any) -> Any:
        return Path(os.fsdecode(bytes(self._names[at])))


class Pictures(NamedTuple):
    """Pictures as a worker process loaded them.

    Attributes:
        pixels: `[b, 3, h, w]` uint8; empty if one of them cannot be had.
        broken: images that cannot be read, with the reason.
    """

    pixels: Tensor
    broken: dict[int, str]


class TrainImages:
    """Gives the trainer its batches of pictures.

    An image's crop follows from seed, epoch, batch and place in the batch, whichever worker or
    process decodes it, and whenever training was interrupted.

    Args:
        paths: image files of the train split.
        classes: `[n]` the fine class of each.
        transform: picture to tensor, random by torch's random state.
        seed: of the crops.
        workers: processes that decode; 0: this one.
        skip_damaged: an image that breaks during the training is replaced by another one of its
            class; else it is an error.
        pin: whether tensors go to a GPU.

    Attributes:
        broken: images that broke so far, with the reason.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        classes: Indices,
        transform: Callable[[Image.Image], Tensor],
        seed: int,
        workers: int,
        skip_damaged: bool = False,
        pin: bool = False,
    ) -> None:
        self.broken: dict[int, str] = {}
        self._paths = PathList(paths)
        self._keys: list[list[_Key]] = []
        self._loader = _loader(
            _RandomCrops(self._paths, classes if skip_damaged else None, transform, seed),
            workers,
            pin,
            batch_sampler=self._keys,
        )

    def __call__(self, epoch: int, first: int, shares: Sequence[Share]) -> Iterator[Tensor]:
        """Batches `[b, 3, crop, crop]` uint8 of an epoch, from its batch `first` on.

        Raises:
            InputError: an image cannot be read any more.
            RetryError: a worker process was killed.
        """
        self._keys[:] = [
            [(epoch, first + n, share.start + at, int(i)) for at, i in enumerate(share.images)]
            for n, share in enumerate(shares)
        ]
        with killed_processes():
            for pixels, broken in self._loader:
                self.broken |= broken
                if not len(pixels):
                    raise InputError(_not_readable(self._paths, broken))
                yield pixels


@torch.no_grad()
def embed(
    model: torch.nn.Module,
    paths: Sequence[Path],
    transform: Callable[[Image.Image], Tensor],
    device: torch.device,
    workers: int,
    skip_damaged: bool = False,
    autocast: bool = False,
) -> Tensor:
    """What the model makes of pictures, in order, single precision, on the CPU.

    A picture that can be read never has a row of NaN.

    Args:
        model: pictures `[n, 3, h, w]` uint8 to vectors.
        paths: image files.
        transform: picture to tensor.
        device: where the model is.
        workers: processes that decode; 0: this one.
        skip_damaged: an image that cannot be read gets a row of NaN; else it is an error.
        autocast: whether the model computes in bf16.

    Raises:
        InputError: an image cannot be read; the model gives a vector without a direction.
        RetryError: a worker process was killed.
    """
    model.eval()
    kept = PathList(paths)
    parts: list[Tensor] = []
    found: dict[int, str] = {}
    pictures = _CentreCrops(kept, transform)
    gpu = device.type == "cuda"
    loader = _loader(pictures, workers, gpu, batch_size=_EMBEDDED_AT_ONCE)
    with track(len(kept), "embedding images") as tracker, killed_processes():
        for pixels, broken in loader:
            found |= broken
            if broken and not skip_damaged:
                raise InputError(_not_readable(kept, broken))
            with torch.autocast(device.type, torch.bfloat16, enabled=autocast):
                vectors = model(pixels.to(device, non_blocking=True))
            parts.append(vectors.float())
            # The batch before: its vectors are there, and the device goes on with this one.
            parts[-2:-1] = [part.cpu() for part in parts[-2:-1]]
            tracker.advance(len(pixels))
    if not parts:  # a process has no share of few images
        with torch.no_grad():
            blank = transform(Image.new("RGB", (1, 1)))[None]
            return model(blank.to(device)).float().cpu()[:0]
    result = torch.cat([part.cpu() for part in parts])
    result[list(found)] = 1.0
    check_directions(result, kept)
    result[list(found)] = torch.nan
    return result


def check_directions(vectors: Tensor, paths: Sequence[Path]) -> None:
    """Refuses vectors without a direction: with NaN or infinite numbers, or of zeros alone.

    Args:
        vectors: `[n, e]` of a network.
        paths: `[n]` of their pictures, which could be read.

    Raises:
        InputError: with the first picture.
    """
    right = vectors.isfinite().all(1) & vectors.any(1)
    wrong = (~right).nonzero().flatten().tolist()
    if wrong:
        what = "the network gives NaN or no finite length for this picture, the first of "
        fix = "Take other weights, or train at a lower rate or with precision=float32."
        raise InputError(Problem(paths[wrong[0]], f"{what}{len(wrong):,}", fix))


def _loader(pictures: Dataset[Any], workers: int, pin: bool, **batches: Any) -> DataLoader[Any]:
    return DataLoader(
        pictures,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=pin,
        collate_fn=_collate,
        worker_init_fn=give_way,
        # Else it draws from torch's own, and a resumed training would not be the same.
        generator=torch.Generator(),
        **batches,
    )


def _not_readable(paths: Sequence[Path], broken: Mapping[int, str]) -> list[Problem]:
    fix = "Restore the image, or pass --skip-damaged to train without; then run the same command."
    return [
        Problem(paths[at], f"image not readable ({why})", fix) for at, why in sorted(broken.items())
    ]


def default_workers() -> int:
    """Processes or threads that decode: one a core of this process's part, 16 at most.

    The processes of a training that torchrun starts share the cores of the machine.
    """
    local = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return min(16, max(1, available_cores() // local))


def unreadable(paths: Sequence[Path]) -> dict[int, str]:
    """Decodes every image; returns which cannot be decoded, and why."""
    with (
        ThreadPoolExecutor(default_workers()) as pool,
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


# A picture, or none, and the images that could not be read.
_Loaded = tuple[Tensor | None, dict[int, str]]


def _collate(loaded: Sequence[_Loaded]) -> Pictures:
    pixels = [one for one, _ in loaded if one is not None]
    broken = {at: why for _, some in loaded for at, why in some.items()}
    # In a worker `default_collate` stacks in shared memory, where the batch would be copied to.
    whole = default_collate(pixels) if len(pixels) == len(loaded) else torch.empty(0)
    return Pictures(whole, broken)


class _CentreCrops(Dataset[_Loaded]):
    """Pictures in order; black ones for those that cannot be read."""

    def __init__(self, paths: PathList, transform: Callable[[Image.Image], Tensor]) -> None:
        self._paths, self._transform = paths, transform

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, at: int) -> _Loaded:
        try:
            return self._transform(open_picture(self._paths[at])), {}
        except UnreadablePictureError as error:
            return self._transform(Image.new("RGB", (256, 256))), {at: str(error)}


class _RandomCrops(Dataset[_Loaded]):
    """Pictures by epoch, batch, place and position; with `classes`, of another one of the class
    where one cannot be read."""

    def __init__(
        self,
        paths: PathList,
        classes: Indices | None,
        transform: Callable[[Image.Image], Tensor],
        seed: int,
    ) -> None:
        self._paths, self._classes = paths, classes
        self._transform, self._seed = transform, seed

    def __getitem__(self, key: _Key) -> _Loaded:
        broken: dict[int, str] = {}
        for at in self._candidates(key[3]):
            try:
                image = open_picture(self._paths[at])
            except UnreadablePictureError as error:
                broken[at] = str(error)
                continue
            # Python hashes tuples of integers alike in every process.
            with torch.random.fork_rng(devices=[]):
                # `torch.manual_seed` also notes the seed for devices, with a trace of its caller.
                torch.default_generator.manual_seed(hash((self._seed, *key)))
                return self._transform(image), broken
        return None, broken

    def _candidates(self, at: int) -> Iterator[int]:
        yield at
        if self._classes is not None:
            mates = np.flatnonzero(self._classes == self._classes[at])
            yield from np.roll(mates, -int(np.searchsorted(mates, at)))[1:].tolist()
