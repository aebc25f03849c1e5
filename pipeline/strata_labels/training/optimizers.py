"""The optimisers and learning-rate schedules of a training: backbone, head and proxies apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import ConstantLR, CosineAnnealingLR, LRScheduler, MultiStepLR

from strata_labels.training.recipe import Recipe

#: What learns, each part by an optimiser and a schedule of its own.
PARTS = ("backbone", "head", "proxies")


class Optimizers:
    """One optimiser and one schedule for each part, as in the published trainers.

    Schedules advance once per epoch. In the warm-up the backbone's optimiser does not step and no
    schedule advances, so the last epoch has the rates of step `epochs - 1 - warmup_epochs`.

    Args:
        recipe: rates, decay, schedule.
        parameters: by name of `PARTS`; a part without parameters has no optimiser.
    """

    def __init__(self, recipe: Recipe, parameters: Mapping[str, Sequence[nn.Parameter]]) -> None:
        end = recipe.lr_end
        settings = {
            "backbone": (recipe.lr, recipe.weight_decay, end),
            "head": (recipe.head_lr, recipe.weight_decay, end),
            "proxies": (
                recipe.proxy_lr,
                recipe.proxy_weight_decay,
                end if recipe.proxy_lr_end < 0 else recipe.proxy_lr_end,
            ),
        }
        self._warmup_epochs = recipe.warmup_epochs
        self._optimizers: dict[str, torch.optim.Optimizer] = {}
        self._schedules: dict[str, LRScheduler] = {}
        for part, (lr, decay, lr_end) in settings.items():
            if own := list(parameters[part]):
                self._optimizers[part] = _optimizer(recipe, own, lr, decay)
                self._schedules[part] = _schedule(recipe, self._optimizers[part], lr_end)

    @property
    def rates(self) -> dict[str, float]:
        """The current learning rate of each part; 0 for a part without parameters."""
        found = {part: each.param_groups[0]["lr"] for part, each in self._optimizers.items()}
        return {part: float(found.get(part, 0.0)) for part in PARTS}

    def zero_grad(self) -> None:
        """Removes all gradients."""
        for optimizer in self._optimizers.values():
            optimizer.zero_grad(set_to_none=True)

    def step(self, epoch: int) -> None:
        """One step of each part; of the backbone only after the warm-up."""
        for part, optimizer in self._optimizers.items():
            if part != "backbone" or epoch >= self._warmup_epochs:
                optimizer.step()

    def end_epoch(self, epoch: int) -> None:
        """Advances the schedules after an epoch that was not in the warm-up."""
        if epoch >= self._warmup_epochs:
            for schedule in self._schedules.values():
                schedule.step()

    def state_dict(self) -> dict[str, Any]:
        """States of optimisers and schedules by part."""
        return {
            part: {"optimizer": each.state_dict(), "schedule": self._schedules[part].state_dict()}
            for part, each in self._optimizers.items()
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues from a `state_dict` of the same recipe.

        Raises:
            KeyError, ValueError: the state is of another model.
        """
        for part, optimizer in self._optimizers.items():
            optimizer.load_state_dict(state[part]["optimizer"])
            self._schedules[part].load_state_dict(state[part]["schedule"])


def _optimizer(
    recipe: Recipe, parameters: list[nn.Parameter], lr: float, decay: float
) -> torch.optim.Optimizer:
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(parameters, lr, momentum=0.9, weight_decay=decay)
    kind = torch.optim.AdamW if recipe.optimizer == "adamw" else torch.optim.Adam
    # One kernel for all parameters; on a CPU the plain loop gives the published bits.
    return kind(parameters, lr, weight_decay=decay, fused=parameters[0].is_cuda or None)


def _schedule(recipe: Recipe, optimizer: torch.optim.Optimizer, end: float) -> LRScheduler:
    if recipe.schedule == "cosine":
        return CosineAnnealingLR(optimizer, max(1, recipe.epochs), end)
    if recipe.schedule == "steps":
        return MultiStepLR(optimizer, list(recipe.milestones), recipe.step_factor)
    return ConstantLR(optimizer, 1.0, 0)
