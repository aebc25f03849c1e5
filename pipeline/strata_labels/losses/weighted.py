"""A weighted sum of losses."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from strata_labels.losses.batch import Batch, Loss


class Sum(Loss):
    """Weighted sum of losses that share one signature.

    Args:
        losses: modules called as `loss(embeddings, labels, reference_embeddings,
            reference_labels)`.
        weights: one per loss.

    Example:
        >>> from strata_labels.losses import ClusterLoss, SupHAPLoss
        >>> happier = Sum([SupHAPLoss(), ClusterLoss(num_classes=3, dim=4)], weights=[0.9, 0.1])
        >>> happier(torch.eye(4), torch.tensor([[0, 0], [0, 0], [1, 0], [2, 1]])).shape
        torch.Size([])
    """

    def __init__(self, losses: Sequence[nn.Module], weights: Sequence[float]) -> None:
        super().__init__()
        if not losses or len(losses) != len(weights):
            raise ValueError(
                f"losses and weights must be of one length >= 1, got {len(losses)} "
                f"and {len(weights)}"
            )
        self.losses = nn.ModuleList(losses)
        self.weights = [float(weight) for weight in weights]

    def check(self, batch: Batch) -> None:
        for loss in self.losses:
            if isinstance(loss, Loss):
                loss.check(batch)

    def batch_loss(self, batch: Batch) -> Tensor:
        given = batch.references is not batch.embeddings
        references = (batch.references, batch.reference_labels) if given else (None, None)
        terms = [
            weight
            * (
                loss.batch_loss(batch)
                if isinstance(loss, Loss)
                else loss(batch.embeddings, batch.labels, *references)
            )
            for weight, loss in zip(self.weights, self.losses, strict=True)
        ]
        return torch.stack(terms).sum()
