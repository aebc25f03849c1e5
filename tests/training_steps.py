"""Twenty steps of a small network, in one process or, under torchrun, in several.

`python -m training_steps OUT RECIPE ...`: writes the losses and the last weights of each recipe to
`OUT/RECIPE.pt`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from strata_labels.training import load_recipe
from strata_labels.training.head import Head
from strata_labels.training.processes import Processes, process_group
from strata_labels.training.recipe import Recipe
from strata_labels.training.trainer import Trainer
from torch import Tensor, nn

SMALL = [
    "batch_size=18",
    "images_per_class=3",
    "epochs=4",
    "warmup_epochs=1",
    "lr=1e-3",
    "head_lr=1e-2",
    "proxy_lr=1e-2",
    "memory=40",
    "clip=1.0",
    "precision=float32",  # a GPU's own would be bf16
]


class Small(nn.Module):
    """A backbone with drop-out and a head."""

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.backbone = nn.Sequential(nn.Linear(6, 10), nn.ReLU(), nn.Dropout(dropout))
        self.head = Head(10, 5, layer_norm=True)
        self.dim = self.head.dim

    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(self.backbone(inputs))


def points(seed: int = 0) -> tuple[Tensor, Tensor]:
    """`[90, 6]` inputs and `[90, 3]` labels: 18 classes of 5, 6 above them, 2 above those."""
    generator = torch.Generator().manual_seed(seed)
    fine = torch.arange(90) // 5
    labels = torch.stack([fine, fine // 3, fine // 9], dim=1)
    centres = torch.randn(18, 6, generator=generator)
    return centres[fine] + 0.5 * torch.randn(90, 6, generator=generator), labels


def trainer(recipe: Recipe, processes: Processes | None = None, dropout: float = 0.0) -> Trainer:
    """A trainer of the small network, always from the same start."""
    inputs, labels = points()
    torch.manual_seed(3)
    return Trainer(
        Small(dropout),
        recipe,
        labels,
        lambda epoch, first, shares: (inputs[share.images] for share in shares),
        processes,
        seed=1,
        device=processes.device if processes else "cpu",
    )


def same(one: object, other: object) -> bool:
    """Whether two nested states agree bit for bit."""
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and torch.equal(one, other)
    if isinstance(one, dict):
        assert isinstance(other, dict)
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        assert isinstance(other, list | tuple)
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


def main(out: str, *names: str) -> None:
    """Runs the steps of each recipe."""
    with process_group() as processes:
        for name in names:
            own = trainer(load_recipe(name, "full", SMALL), processes)
            own.run(steps=20)
            if processes.first:
                state = own.state_dict()
                found = {"history": state["history"], "model": state["model"]}
                torch.save(found, Path(out) / f"{name}.pt")


if __name__ == "__main__":
    main(*sys.argv[1:])
