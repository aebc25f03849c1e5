"""Losses on pairs of one level: calibration margins, and triplets mined in the batch."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from strata_labels.losses.batch import Batch, Loss, check_level


class CalibrationLoss(Loss):
    """Pulls positives above one margin and negatives below another (ROADMAP 2021).

    Mean of relu(positive_margin - s) over positive pairs plus mean of relu(s - negative_margin)
    over negative pairs, both over the terms that are not zero. The margins are cosines, so this
    loss, unlike the others, normalises embeddings itself, as the published code does. In a batch
    without references, or whose references begin with the queries (`Batch.own`), the pair of a
    query with itself is left out.

    Args:
        level: column of the labels that says what is positive.
        positive_margin: score that positives should exceed.
        negative_margin: score that negatives should stay below.
    """

    def __init__(
        self, level: int = 0, positive_margin: float = 0.9, negative_margin: float = 0.6
    ) -> None:
        super().__init__()
        self.level = level
        self.positive_margin = positive_margin
        self.negative_margin = negative_margin

    def batch_loss(self, batch: Batch) -> Tensor:
        scores = batch.cosines()
        positive, negative = _pairs(batch, self.level)
        return _mean_of_nonzero(
            (self.positive_margin - scores).relu() * positive
        ) + _mean_of_nonzero((scores - self.negative_margin).relu() * negative)


class TripletLoss(Loss):
    """relu(margin + negative - positive), one pair of scores a query; 0 where no query has both.

    Mining in the batch. `hard` (Hermans et al., "In defense of the triplet loss", 2017): the
    positive of the lowest and the negative of the highest score, meaned over the queries.
    `semi-hard` (as SupRank's baseline is meant): the positive of the highest score, and the highest
    negative below it, meaned over the terms that are not zero. In a batch without references, or
    whose references begin with the queries (`Batch.own`), a query is not its own positive.
    `published` (as SupRank's baseline is computed): the same, but there a query is its own
    positive, and so of unit vectors the nearest: only negatives of a score above 1 - margin count.

    Args:
        level: column of the labels that says what is positive.
        margin: by how much a positive should score above a negative.
        mining: `hard`, `semi-hard` or `published`.
    """

    def __init__(
        self,
        level: int = 0,
        margin: float = 0.1,
        mining: Literal["hard", "semi-hard", "published"] = "hard",
    ) -> None:
        super().__init__()
        if mining not in ("hard", "semi-hard", "published"):
            raise ValueError(f"mining must be 'hard', 'semi-hard' or 'published', got {mining!r}")
        self.level = level
        self.margin = margin
        self.mining = mining

    def batch_loss(self, batch: Batch) -> Tensor:
        scores = batch.scores()
        positive, negative = _pairs(batch, self.level)
        if self.mining == "published":
            positive = ~negative
        nearest = self.mining != "hard"
        if nearest:
            chosen = scores.masked_fill(~positive, -torch.inf).amax(1)
            negative = negative & (scores < chosen[:, None])
        else:
            chosen = scores.masked_fill(~positive, torch.inf).amin(1)
        hardest_negative = scores.masked_fill(~negative, -torch.inf).amax(1)
        usable = positive.any(1) & negative.any(1)
        # Infinities are replaced before the difference: their gradient would not be a number.
        gap = torch.where(usable, hardest_negative, 0.0) - torch.where(usable, chosen, 0.0)
        terms = torch.where(usable, (self.margin + gap).relu(), 0.0)
        counted = terms > 0 if nearest else usable
        return terms.sum() / counted.sum().clamp(min=1)


def _pairs(batch: Batch, level: int) -> tuple[Tensor, Tensor]:
    """`[b, n]` positive and negative pairs, without a query's pair with itself."""
    check_level(level, batch.labels)
    same = batch.labels[:, level, None] == batch.reference_labels[None, :, level]
    positive = same.clone()
    if batch.own:
        positive.fill_diagonal_(False)
    return positive, ~same


def _mean_of_nonzero(terms: Tensor) -> Tensor:
    return terms.sum() / (terms > 0).sum().clamp(min=1)
