"""Shares a batch between the processes of torchrun, and gathers embeddings with gradients."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, distributed, nn

from strata_labels.training.samplers import Indices

_SECONDS_TO_FREE = 0.5
_LONGEST_WAIT = timedelta(days=7)


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
        host: their group for what is sent from host to host, and may be waited for long; None:
            the default group.
    """

    rank: int = 0
    world: int = 1
    host: Any = None

    @property
    def first(self) -> bool:
        """Whether this is the one that writes files."""
        return self.rank == 0

    @property
    def device(self) -> torch.device:
        """Where this process computes: its GPU, or the CPU where there is none."""
        if not torch.cuda.is_available():
            return torch.device("cpu")
        return torch.device("cuda", torch.cuda.current_device())

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
        value = torch.tensor(int(flag))
        distributed.all_reduce(value, group=self.host)
        return bool(value)

    def merged(self, found: dict[Any, Any]) -> dict[Any, Any]:
        """What any process found."""
        if self.world == 1:
            return found
        parts: list[dict[Any, Any]] = [{} for _ in range(self.world)]
        distributed.all_gather_object(parts, found, group=self.host)
        return {key: value for part in parts for key, value in part.items()}

    def wait(self) -> None:
        """Waits for all; on the host, since a barrier of NCCL would have to guess the GPU."""
        self.any(False)


@contextmanager
def process_group() -> Iterator[Processes]:
    """The processes that torchrun started, as a group; without torchrun this one alone."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        yield Processes()
        return
    backend = "gloo"
    if cards := torch.cuda.device_count() if torch.cuda.is_available() else 0:
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")) % cards)
        # NCCL refuses tensors of the host, which go through gloo, and two processes on one card.
        if int(os.environ.get("LOCAL_WORLD_SIZE", "1")) <= cards:
            backend = "cpu:gloo,cuda:nccl"
    distributed.init_process_group(backend)
    # One process may work for hours while the others wait for it: it embeds for a head, and
    # evaluates. They wait in a group of their own: in calls of NCCL, a short limit is what ends
    # those that wait for one that failed.
    host = distributed.new_group(backend="gloo", timeout=_LONGEST_WAIT)
    processes = Processes(distributed.get_rank(), world, host)
    finished = False
    try:
        yield processes
        # A gloo thread that still frees the tensors of the last operation needs the interpreter.
        # One that asks for it while the interpreter shuts down aborts the process (seen in 1 of 12
        # runs). No call waits for that thread; a barrier and a moment let it finish.
        processes.wait()
        time.sleep(_SECONDS_TO_FREE)
        finished = True
    finally:
        # After a failure, NCCL could wait in here for calls that the others never make.
        if finished or backend == "gloo":
            distributed.destroy_process_group()


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, own: Tensor, sizes: list[int], rank: int) -> Tensor:
        ctx.first, ctx.size, ctx.world = sum(sizes[:rank]), sizes[rank], len(sizes)
        padded = own.new_zeros(max(sizes), own.shape[1])
        padded[: len(own)] = own
        # Gloo gathers on the host only.
        sent = padded.cpu() if distributed.get_backend() == "gloo" else padded
        parts = [torch.empty_like(sent) for _ in sizes]
        distributed.all_gather(parts, sent)
        whole = torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])
        return whole.to(own.device)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        # DistributedDataParallel averages over processes what has to be summed.
        own = grads[0][ctx.first : ctx.first + ctx.size]
        return own * ctx.world, None, None
