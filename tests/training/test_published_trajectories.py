"""The shipped trainer and recipes repeat recorded trainings of the published code, step by step.

A recording `trajectory_NAME.npz` is a small training in double precision; the recipe is NAME with
hyphens. STRATA_REFERENCE may name another folder of recordings.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from recordings import for_each_recording
from strata_labels.training import Recipe, load_recipe
from strata_labels.training.head import Head
from strata_labels.training.model import RetrievalModel
from strata_labels.training.optimizers import PARTS
from strata_labels.training.samplers import EpochSampler, Indices
from strata_labels.training.trainer import Trainer
from torch import Tensor, nn


class RecordedBatches(EpochSampler):
    """The batches of a recording, `[epochs, batches, b]`."""

    def __init__(self, batches: Indices) -> None:
        super().__init__()
        self._batches = batches

    def _plan(self, epoch: int) -> list[Indices]:
        return list(self._batches[epoch])


def parameters(recording: dict[str, np.ndarray], prefix: str) -> dict[str, Tensor]:
    """The parameters of the recorded network and of its proxies, by our names."""
    names = {
        "backbone_0_weight": "backbone.0.weight",
        "backbone_0_bias": "backbone.0.bias",
        "fc_weight": "head.linear.weight",
        "fc_bias": "head.linear.bias",
        "proxies": "proxies",
    }
    return {
        ours: torch.from_numpy(recording[f"{prefix}_{theirs}"])
        for theirs, ours in names.items()
        if f"{prefix}_{theirs}" in recording
    }


def recorded_recipe(path: Path, recording: dict[str, np.ndarray]) -> Recipe:
    """The recipe that a recording is of, with the recording's length and scaled rates."""
    name = path.stem.removeprefix("trajectory_").replace("_", "-")
    published = load_recipe(name, "full")
    scaled = ["lr", "head_lr", "lr_end"]
    if published.proxy_lr == published.head_lr:
        scaled.append("proxy_lr")
    scale = float(recording["lr_scale"])
    settings = [f"{key}={getattr(published, key) * scale!r}" for key in scaled]
    settings += [f"{key}={int(recording[key])}" for key in ("epochs", "warmup_epochs")]
    return load_recipe(name, "full", settings)


@pytest.mark.shared
@for_each_recording("trajectory")
def test_trainer_repeats_the_recording(path: Path) -> None:
    with np.load(path) as file:
        recording = dict(file)
    recipe = recorded_recipe(path, recording)
    start = parameters(recording, "init")
    dim_out, dim_in = start["head.linear.weight"].shape
    backbone = nn.Sequential(nn.Linear(*start["backbone.0.weight"].T.shape), nn.Tanh())
    head = Head(dim_in, dim_out, recipe.layer_norm)
    model = RetrievalModel(backbone, head, recipe.freeze_batch_norm, (), ()).double()
    inputs = torch.from_numpy(recording["inputs"])
    trainer = Trainer(
        model,
        recipe,
        torch.from_numpy(recording["labels"]),
        lambda epoch, first, shares: (inputs[share.images] for share in shares),
        sampler=RecordedBatches(recording["batches"]),
    )
    own = {name.rpartition(".")[2]: value for name, value in trainer.loss.named_parameters()}
    own |= dict(model.named_parameters())
    assert own.keys() == start.keys()
    with torch.no_grad():
        for name, value in start.items():
            own[name].copy_(value)

    rates: list[list[float]] = []

    def note_rates(trainer: Trainer, images: int) -> bool:
        if trainer.sampler.done == 1:
            rates.append([trainer.optimizers.rates[part] for part in PARTS])
        return False

    trainer.run(note_rates)
    np.testing.assert_array_equal(rates, recording["expect_lr"])
    losses = [row[2] for row in trainer.history]
    np.testing.assert_allclose(losses, recording["expect_losses"], rtol=1e-7, atol=0)
    for name, value in parameters(recording, "expect").items():
        # Relative too: proxies grow to 90, and the published relevances are single precision.
        torch.testing.assert_close(own[name].detach(), value, rtol=1e-7, atol=1e-7)
