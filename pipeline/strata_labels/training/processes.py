"""Shares a batch between the processes of torchrun, and gathers embeddings with gradients."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, distributed, nn

from strata_labels.training.samplers import Indices


class Share(NamedTuple):
    """Part of a batch.

    Attributes:
        start: place of its first image in the batch.
        images: `[b]` positions in the train split.
    """

    start: int
    images: Indices


@dataclass(frozen=True)
class Processes:
    """The processes of one training.

    Every process computes the loss of the whole batch from the gathered embeddings, so that any
    loss is exactly that of one process, and keeps the gradient of its own share.

    Attributes:
        rank: number of this one.
        world: how many there are.
    """

    rank: int = 0
    world: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the one that writes files."""
        return self.rank == 0

    def share(self, batch: Indices) -> Share:
        """This process's part of a batch."""
        parts = np.array_split(batch, self.world)
        return Share(sum(len(part) for part in parts[: self.rank]), parts[self.rank])

    def gather(self, embeddings: Tensor, total: int) -> Tensor:
        """Embeddings of the whole batch `[total, d]`, from every process's `[b, d]`, in order."""
        if self.world == 1:
            return embeddings
        sizes = [len(part) for part in np.array_split(np.empty(total), self.world)]
        return _Gather.apply(embeddings, sizes, self.rank)  # type: ignore[no-any-return]

    def mean_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Averages gradients that DistributedDataParallel does not see (proxies)."""
        if self.world == 1:
            return
        for parameter in parameters:
            if parameter.grad is not None:
                distributed.all_reduce(parameter.grad)
                parameter.grad /= self.world

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in any process."""
        if self.world == 1:
            return flag
        device = "cuda" if distributed.get_backend() == "nccl" else "cpu"
        value = torch.tensor(int(flag), device=device)
        distributed.all_reduce(value)
        return bool(value)

    def wait(self) -> None:
        """Waits for all."""
        if self.world > 1:
            distributed.barrier()


@contextmanager
def process_group() -> Iterator[Processes]:
    """The processes that torchrun started, as a group; without torchrun this one alone."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        yield Processes()
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    processes = Processes(distributed.get_rank(), world)
    try:
        yield processes
        # A gloo thread that still frees the tensors of the last operation needs the interpreter.
        # One that asks for it while the interpreter shuts down aborts the process (seen in 1 of 12
        # runs); waiting here lets it finish.
        processes.wait()
    finally:
        distributed.destroy_process_group()


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, own: Tensor, sizes: list[int], rank: int) -> Tensor:
        ctx.first, ctx.size, ctx.world = sum(sizes[:rank]), sizes[rank], len(sizes)
        padded = own.new_zeros(max(sizes), own.shape[1])
        padded[: len(own)] = own
        parts = [torch.empty_like(padded) for _ in sizes]
        distributed.all_gather(parts, padded)
        return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        # DistributedDataParallel averages over processes what has to be summed.
        own = grads[0][ctx.first : ctx.first + ctx.size]
        return own * ctx.world, None, None
