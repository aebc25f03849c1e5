"""`strata train` in one of several processes whose GPUs are simulated.

`main` is called once in each process, in the environment that torchrun gives it. A training of each
mode is stopped after its first checkpoint and run again; every run has a port of its own.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any
from unittest import mock

from simulated_gpu import simulated_gpu
from strata_labels.errors import RetryError
from strata_labels.training import checkpoint, load_recipe, read_labels_csv, train
from torch import Tensor, distributed, nn

#: Two epochs of a head and of a small network, the second with a memory, statistics frozen.
SETTINGS = ["epochs=3", "warmup_epochs=1", "batch_size=8", "images_per_class=2", "dim=8"]
SETTINGS += ["crop=32", "resize=36", "checkpoint_every=2", "backbone=test_resnet", "memory=6"]


class Averaged(nn.Module):
    """What DistributedDataParallel does; its own reducer is C++ that asks for the real device."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module
        for tensor in module.state_dict().values():
            distributed.broadcast(tensor, 0)
        for parameter in module.parameters():
            if parameter.requires_grad:
                parameter.register_post_accumulate_grad_hook(self._average)

    def forward(self, inputs: Tensor) -> Any:
        return self.module(inputs)

    @staticmethod
    def _average(parameter: Tensor) -> None:
        assert parameter.grad is not None
        distributed.all_reduce(parameter.grad)
        parameter.grad /= distributed.get_world_size()


def run(mode: str, labels: Path, root: Path, out: Path, encoder: str, weights: str) -> None:
    """One training, in as many processes as the environment says."""
    recipe = load_recipe("happier", mode, [*SETTINGS, f"pretrained={weights}"])
    train(read_labels_csv(labels, root), recipe, mode, out, encoder, skip_damaged=True, workers=0)


def main(labels: Path, root: Path, out: Path, encoder: str, weights: str, ports: list[str]) -> None:
    """Runs the trainings."""
    save = checkpoint.save

    def save_and_stop(*arguments: Any) -> None:
        save(*arguments)
        os.kill(os.getpid(), signal.SIGTERM)

    # Two cards talk through NCCL and gloo; two processes on one card through gloo alone.
    for cards, mode in ((2, "head"), (2, "full"), (1, "full")):
        for stops in (True, False):
            os.environ["MASTER_PORT"] = ports.pop()
            with (
                simulated_gpu(cards),
                mock.patch.multiple(
                    "strata_labels.training.trainer", DistributedDataParallel=Averaged
                ),
                mock.patch.object(checkpoint, "save", save_and_stop if stops else save),
            ):
                try:
                    run(mode, labels, root, out / f"{mode}{cards}", encoder, weights)
                except RetryError as error:
                    assert stops and "Run the same command to continue" in str(error)
                    if distributed.is_initialized():  # after an error, NCCL is left as it is
                        distributed.destroy_process_group()
                else:
                    assert not stops
