"""Rank losses: one minus a smooth bound of a ranking metric, exact over all positives.

All take `loss(embeddings, labels, reference_embeddings=None, reference_labels=None)`: embeddings
`[b, d]` as they are (scores are dot products; normalise before, if cosine is meant), labels
`[b, L]` of any integers, column 0 the finest, nested. Without references the batch is ranked
against itself, and each query is one of its own positives; references are a memory bank or what
other processes gathered, and a query counts as its own positive only if it is among them. Queries
without positives are left out of the mean; if none has any, the loss is 0.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from strata_labels.label_tensors import agreement
from strata_labels.losses.batch import Batch, Loss, check_level, check_number
from strata_labels.losses.pairwise import pair_sum
from strata_labels.losses.surrogates import LeakyStep, Sigmoid, SupRank


class _RankLoss(Loss):
    """Means a value per query over the queries that have positives."""

    def batch_loss(self, batch: Batch) -> Tensor:
        quality, valid = self.quality(batch)
        # Masked, not chosen: how many are valid is not known without waiting for the device.
        return torch.where(valid, 1 - quality, 0.0).sum() / valid.sum().clamp(min=1)

    def quality(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """`[b]` smooth metric, and `[b]` whether the query has positives."""
        raise NotImplementedError


class SupHAPLoss(_RankLoss):
    """1 - smooth H-AP (Ramzi et al., HAPPIER 2022), relevances `pop`.

    In rank(k), items of a lower level than k count by `SupRank`, the others by the step function.
    H-rank takes the step function, or, if `beta`, `gamma` and `leak` are given, `LeakyStep` for
    items of a higher level than k. (Levels, not relevances, say who should stand before whom:
    `pop` relevances are not monotone, and a sibling belongs before a cousin all the same.)
    Relevances are of single precision, whatever the embeddings' is.

    Args:
        tau: temperature of the bound's sigmoid, > 0 (the bound is `SupRank`).
        rho: slope of the bound's linear branch, >= 0.
        delta: score difference where that branch begins, >= 0.
        start: jump of the bound at 0, >= 0.
        offset: value of the linear branch at delta; sigma(delta / tau) + start if None.
        beta: slope of `LeakyStep` above 0; None, with gamma and leak: the step function.
        gamma: value of `LeakyStep` just above 0.
        leak: slope of `LeakyStep` below 0.
        alpha: of the relevance (l / L)^alpha / c(l).

    Example:
        >>> embeddings = nn.functional.normalize(torch.eye(4) + 0.2, dim=1)
        >>> labels = torch.tensor([[0, 0], [0, 0], [1, 0], [2, 1]])
        >>> float(SupHAPLoss()(embeddings, labels)) < 1
        True
    """

    def __init__(
        self,
        tau: float = 0.01,
        rho: float = 100.0,
        delta: float = 0.05,
        start: float = 0.5,
        offset: float | None = 1.44,
        beta: float | None = None,
        gamma: float | None = None,
        leak: float | None = None,
        alpha: float = 1.0,
    ) -> None:
        super().__init__()
        self.surrogate = SupRank(tau, rho, delta, start, offset)
        if beta is None and gamma is None and leak is None:
            self.h_rank: LeakyStep | None = None
        elif beta is None or gamma is None or leak is None:
            raise ValueError(
                f"beta, gamma and leak go together, got beta={beta}, gamma={gamma}, leak={leak}"
            )
        else:
            self.h_rank = LeakyStep(beta, gamma, leak)
        self.alpha = check_number("alpha", alpha, zero=True)

    def quality(self, batch: Batch) -> tuple[Tensor, Tensor]:
        scores, levels, top = batch.scores(), _levels(batch), batch.labels.shape[1]
        relevance = _pop(levels, top, self.alpha, scores.dtype)
        with torch.no_grad():
            steps, h_rank = _step_sums(scores, levels, top, relevance, self.h_rank is None)
        rank = steps + pair_sum(scores, levels, self.surrogate, "less", top)
        if self.h_rank is not None:
            h_rank = h_rank + pair_sum(scores, levels, self.h_rank, "more", top, relevance)
        total = relevance.sum(1)
        ratio = torch.where(levels > 0, h_rank / rank.clamp(min=1), 0.0)
        return ratio.sum(1) / total.clamp(min=torch.finfo(total.dtype).tiny), total > 0


class SupAPLoss(_RankLoss):
    """1 - smooth AP of one level (Ramzi et al., ROADMAP 2021).

    Args:
        level: column of the labels that says what is positive.
        tau: temperature of the bound's sigmoid, > 0 (the bound is `SupRank`).
        rho: slope of the bound's linear branch, >= 0.
        delta: score difference where that branch begins, >= 0.
        start: jump of the bound at 0, >= 0.
        offset: value of the linear branch at delta; sigma(delta / tau) + start if None.
    """

    def __init__(
        self,
        level: int = 0,
        tau: float = 0.01,
        rho: float = 100.0,
        delta: float = 0.05,
        start: float = 0.5,
        offset: float | None = 1.44,
    ) -> None:
        super().__init__()
        self.level = level
        self.surrogate = SupRank(tau, rho, delta, start, offset)

    def quality(self, batch: Batch) -> tuple[Tensor, Tensor]:
        scores, place = batch.scores(), _positive(batch, self.level)
        with torch.no_grad():
            before, _ = _step_sums(scores, place, 1, place.to(scores.dtype), True)
        rank = before + pair_sum(scores, place, self.surrogate, "less", 1)
        return _mean_over_positives(before / rank.clamp(min=1), place)


class SmoothAPLoss(_RankLoss):
    """1 - AP with every comparison a sigmoid (Brown et al., Smooth-AP 2020).

    Args:
        level: column of the labels that says what is positive.
        tau: temperature.
    """

    def __init__(self, level: int = 0, tau: float = 0.01) -> None:
        super().__init__()
        self.level = level
        self.surrogate = Sigmoid(tau)

    def quality(self, batch: Batch) -> tuple[Tensor, Tensor]:
        scores, place = batch.scores(), _positive(batch, self.level)
        # An item compared with itself adds sigma(0) = 1/2; it must add 1.
        before = pair_sum(scores, place, self.surrogate, "same", 1) + 0.5
        rank = before + pair_sum(scores, place, self.surrogate, "less", 1)
        return _mean_over_positives(before / rank, place)


class SupNDCGLoss(_RankLoss):
    """1 - smooth NDCG: gain 2^l - 1, discount log2(1 + rank), rank by `SupRank`.

    The ideal, by which it is divided, is of single precision, whatever the embeddings' is.

    Args:
        tau: temperature of the bound's sigmoid, > 0 (the bound is `SupRank`).
        rho: slope of the bound's linear branch, >= 0.
        delta: score difference where that branch begins, >= 0.
        start: jump of the bound at 0, >= 0.
        offset: value of the linear branch at delta; sigma(delta / tau) + start if None.
    """

    def __init__(
        self,
        tau: float = 0.01,
        rho: float = 100.0,
        delta: float = 0.05,
        start: float = 0.5,
        offset: float | None = 1.44,
    ) -> None:
        super().__init__()
        self.surrogate = SupRank(tau, rho, delta, start, offset)

    def quality(self, batch: Batch) -> tuple[Tensor, Tensor]:
        scores, place, top = batch.scores(), _levels(batch), batch.labels.shape[1]
        gain = torch.exp2(place.to(scores.dtype)) - 1
        with torch.no_grad():
            steps, _ = _step_sums(scores, place, top, gain, False)
        rank = steps + pair_sum(scores, place, self.surrogate, "less", top)
        found = (gain / torch.log2(1 + rank.clamp(min=1))).sum(1)
        # In single precision and in the items' order, as published: see `_pop`.
        ideal_rank = 1 + place.argsort(dim=1, descending=True).argsort(dim=1).float()
        ideal = (gain.float() / torch.log2(1 + ideal_rank)).sum(1)
        valid = ideal > 0
        return found / torch.where(valid, ideal, 1.0), valid


class SupRecallLoss(_RankLoss):
    """1 - smooth recall at k, averaged over `ks` (Patel et al., Recall@k surrogate loss, 2022).

    R@k = sum over positives of sigma((k - rank) / temperature), divided by min(k, positives),
    rank by `SupRank`.

    Args:
        level: column of the labels that says what is positive.
        ks: the list lengths; each may exceed the number of references.
        temperature: of the sigmoid over ranks.
        tau: temperature of the bound's sigmoid, > 0 (the bound is `SupRank`).
        rho: slope of the bound's linear branch, >= 0.
        delta: score difference where that branch begins, >= 0.
        start: jump of the bound at 0, >= 0.
        offset: value of the linear branch at delta; sigma(delta / tau) + start if None.
    """

    def __init__(
        self,
        level: int = 0,
        ks: Sequence[int] = (1, 2, 4, 8, 16),
        temperature: float = 1.0,
        tau: float = 0.01,
        rho: float = 100.0,
        delta: float = 0.05,
        start: float = 0.5,
        offset: float | None = 1.44,
    ) -> None:
        super().__init__()
        if not ks or min(ks) < 1:
            raise ValueError(f"ks must be one or more numbers >= 1, got {tuple(ks)}")
        self.level = level
        self.ks = tuple(ks)
        self.temperature = check_number("temperature", temperature)
        self.surrogate = SupRank(tau, rho, delta, start, offset)

    def quality(self, batch: Batch) -> tuple[Tensor, Tensor]:
        scores, place = batch.scores(), _positive(batch, self.level)
        with torch.no_grad():
            before, _ = _step_sums(scores, place, 1, place.to(scores.dtype), True)
        rank = before + pair_sum(scores, place, self.surrogate, "less", 1)
        count = place.sum(1)
        recalls = [
            (torch.sigmoid((k - rank) / self.temperature) * place).sum(1)
            / count.clamp(min=1, max=k)
            for k in self.ks
        ]
        return torch.stack(recalls).mean(0), count > 0


def _levels(batch: Batch) -> Tensor:
    """`[b, n]` int64: the number of levels on which query and reference agree."""
    return agreement(batch.labels, batch.reference_labels).long()


def _positive(batch: Batch, level: int) -> Tensor:
    """`[b, n]` int64, 1 where query and reference share the class of one level."""
    check_level(level, batch.labels)
    return (batch.labels[:, level, None] == batch.reference_labels[None, :, level]).long()


def _mean_over_positives(values: Tensor, place: Tensor) -> tuple[Tensor, Tensor]:
    count = place.sum(1)
    return (values * place).sum(1) / count.clamp(min=1), count > 0


def _pop(levels: Tensor, num_levels: int, alpha: float, dtype: torch.dtype) -> Tensor:
    """`[b, n]` relevance (l / L)^alpha / c(l) of each item, in single precision.

    With alpha 1 it is l / (L - 1), as the published code has it: the factor cancels, but a training
    in double precision repeats the published one for longer than a few epochs only with the same
    roundings. With a great alpha that could be too large for single precision.
    """
    counts = torch.stack([(levels == level).sum(1) for level in range(num_levels + 1)], dim=1)
    # Made on the device, and divided there by a tensor: no wait for it, and the rounding of a CPU.
    step = torch.arange(1, num_levels + 1, dtype=torch.float32, device=levels.device)
    share = step / step[max(0, num_levels - 2)] if alpha == 1 else (step / step[-1]) ** alpha
    worth = nn.functional.pad(share, (1, 0))
    by_level = torch.where(counts > 0, worth / counts.clamp(min=1), 0.0)
    return by_level.gather(1, levels).to(dtype)


def _step_sums(
    scores: Tensor, place: Tensor, top: int, relevance: Tensor, above: bool
) -> tuple[Tensor, Tensor]:
    """For each item k, by the step function H(s_j - s_k), H(0) = 1, over all j, k among them:

    the number of j at k's place or above, and the sum of min(rel(j), rel(k)) over all j, those of
    a greater place only if `above`. Both are counts of the items that score at least s_k, which
    one sort gives for all k.
    """
    ascending, order = scores.sort(dim=1)
    # Items that score less than k, so that ties count as ranked before.
    less = torch.searchsorted(ascending, scores.contiguous())
    sorted_place = place.gather(1, order)
    steps, sums = torch.zeros_like(scores), torch.zeros_like(scores)
    for p in range(top + 1):
        own = sorted_place == p
        upto = nn.functional.pad(own.cumsum(1), (1, 0))
        seen = (upto[:, -1:] - upto.gather(1, less)).to(scores.dtype)
        worth = (relevance * (place == p)).amax(1, keepdim=True)
        steps += seen * (place <= p)
        shared = seen * torch.minimum(relevance, worth)
        sums += shared if above else shared * (place >= p)
    return steps, sums
