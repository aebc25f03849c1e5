"""Decodes picture files for an encoder: batches of pixels, in order, ahead of what takes them."""

from __future__ import annotations

import itertools
import multiprocessing
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from strata_labels.pictures import (
    UnreadablePictureError,
    give_way,
    killed_processes,
    open_picture,
)

# Further threads wait for each other: opening a picture is Python in part.
_MOST_THREADS = 8
_MOST_PROCESSES = 16

_Numbered = tuple[int, Path | bytes]


class Decoded(NamedTuple):
    """A batch of pictures.

    Attributes:
        positions: of those that could be read.
        pixels: their pixels `[n, 3, height, width]` uint8; empty where there are none.
        names: what they are called in messages.
        damaged: position and reason of the rest.
    """

    positions: list[int]
    pixels: Tensor
    names: list[str]
    damaged: dict[int, str]


class PictureDecoder(Dataset[tuple[int, Tensor | str, str]]):
    """Makes of a picture file what a model takes.

    Args:
        to_pixels: a picture to `[3, height, width]` uint8.
        side: enough pixels on the shorter side; a JPEG is reduced to them while it is decoded.
            None to decode all of it.
    """

    def __init__(self, to_pixels: Callable[[Any], Tensor], side: int | None) -> None:
        self.to_pixels, self.side = to_pixels, side

    def __call__(self, file: Path | bytes) -> Tensor | str:
        """The pixels of a file or of its content, or why there are none."""
        try:
            return self.to_pixels(open_picture(file, self.side))
        except UnreadablePictureError as error:
            return str(error)

    def __getitem__(self, numbered: _Numbered) -> tuple[int, Tensor | str, str]:
        position, file = numbered
        name = "an image of an archive" if isinstance(file, bytes) else str(file)
        return position, self(file), name


def decode(
    decoder: PictureDecoder,
    files: Iterable[Path | bytes],
    size: int,
    cores: int,
    processes: bool,
) -> Iterator[Decoded]:
    """Yields batches of `size` pictures, in order.

    Args:
        decoder: what decodes one.
        files: picture files or their contents, which are taken as they are needed.
        size: of a batch; the last one may be smaller.
        cores: how many pictures are decoded at a time; 1 for nothing beside this thread.
        processes: whether in processes of their own, where that is possible: threads are enough
            for a model on a CPU, a GPU takes more pictures than they give.
    """
    batches = _batches(enumerate(files), size)
    begin = list(itertools.islice(batches, 2))
    batches = itertools.chain(begin, batches)
    # To start processes takes longer than one batch. A daemon, such as a process of Dask's that was
    # not started otherwise, may have none.
    may_fork = cores > 1 and len(begin) > 1 and not multiprocessing.current_process().daemon
    if processes and may_fork:
        # Small tasks: two for each process are read ahead, and lie in shared memory.
        task = max(1, size // 8)
        loader = DataLoader(
            decoder,
            batch_sampler=_batches(itertools.chain.from_iterable(batches), task),  # type: ignore[arg-type]
            num_workers=min(cores, _MOST_PROCESSES),
            collate_fn=_collate,
            worker_init_fn=give_way,
            generator=torch.Generator(),  # else it draws from torch's own
        )
        with killed_processes():
            parts = iter(loader)
            while some := list(itertools.islice(parts, -(-size // task))):
                yield _joined(some)
        return
    if cores == 1:
        for batch in batches:
            yield _collate([decoder[one] for one in batch])
        return
    waiting: deque[list[Future[Any]]] = deque()
    with ThreadPoolExecutor(min(cores, _MOST_THREADS)) as pool:
        for batch in batches:
            waiting.append([pool.submit(decoder.__getitem__, one) for one in batch])
            if len(waiting) == 3:
                yield _collate([one.result() for one in waiting.popleft()])
        while waiting:
            yield _collate([one.result() for one in waiting.popleft()])


def _batches(numbered: Iterator[_Numbered], size: int) -> Iterator[list[_Numbered]]:
    while batch := list(itertools.islice(numbered, size)):
        yield batch


def _joined(parts: Sequence[Decoded]) -> Decoded:
    pixels = [part.pixels for part in parts if part.positions]
    return Decoded(
        [position for part in parts for position in part.positions],
        torch.cat(pixels) if pixels else torch.empty(0),
        [name for part in parts for name in part.names],
        {n: why for part in parts for n, why in part.damaged.items()},
    )


def _collate(results: Sequence[tuple[int, Tensor | str, str]]) -> Decoded:
    good = [(n, pixels, name) for n, pixels, name in results if not isinstance(pixels, str)]
    damaged = {n: pixels for n, pixels, _ in results if isinstance(pixels, str)}
    stacked = torch.stack([pixels for _, pixels, _ in good]) if good else torch.empty(0)
    return Decoded([n for n, _, _ in good], stacked, [name for _, _, name in good], damaged)
