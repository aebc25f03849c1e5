"""Rank losses: one minus a smooth bound of a ranking metric, exact over all positives.

All take `loss(embeddings, labels, reference_embeddings=None, reference_labels=None)`: embeddings
`[b, d]` as they are (scores are dot products; normalise before, if cosine is meant), labels
`[b, L]` of any integers, column 0 the finest, nested. Without references the batch is ranked
against itself, and each query is one of its own positives; references are a memory bank or what
other processes gathered, and a query counts as its own positive only if it is among them. Queries
without positives are left out of the mean; if none has any, the loss is 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from strata_labels.label_tensors import send
from strata_labels.losses.batch import Batch, Loss, Places, check_number
from strata_labels.losses.pairwise import pair_sum, pairs_in_flight
from strata_labels.losses.surrogates import LeakyStep, Sigmoid, SupRank


class _RankLoss(Loss):
    """Means a value per query over the queries that have positives."""

    def batch_loss(self, batch: Batch) -> Tensor:
        places = self.places(batch)
        scores = batch.scores()
        quality = self.quality(scores, places)
        valid = (places.counts[:, 1:].sum(1) > 0).to(quality.dtype)
        share = valid / valid.sum().clamp(min=1)
        return ((1 - quality) * send(share, quality.device)).sum()

    def places(self, batch: Batch) -> Places:
        """The places that references should have."""
        raise NotImplementedError

    def quality(self, scores: Tensor, places: Places) -> Tensor:
        """`[b]` smooth metric of scores `[b, n]`; finite where a query has no positives."""
        raise NotImplementedError


class _LevelLoss(_RankLoss):
    """A rank loss of which the items of one level's class are the positives."""

    level: int

    def places(self, batch: Batch) -> Places:
        return batch.positives(self.level)


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

    def places(self, batch: Batch) -> Places:
        return batch.levels()

    def quality(self, scores: Tensor, places: Places) -> Tensor:
        worth = send(_pop(places.counts, self.alpha).to(scores.dtype), scores.device)
        relevance = worth.gather(1, places.at)
        steps, h_rank = _step_sums(scores, places, worth, self.h_rank is None)
        rank = steps + pair_sum(scores, places, self.surrogate, "less")
        if self.h_rank is not None:
            h_rank = h_rank + pair_sum(scores, places, self.h_rank, "more", relevance)
        total = relevance.sum(1).clamp(min=torch.finfo(scores.dtype).tiny)
        return (h_rank / rank.clamp(min=1)).sum(1) / total


class SupAPLoss(_LevelLoss):
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

    def quality(self, scores: Tensor, places: Places) -> Tensor:
        before = _step_ranks(scores, places)
        rank = before + pair_sum(scores, places, self.surrogate, "less")
        return _mean_over_positives(before / rank.clamp(min=1), places)


class SmoothAPLoss(_LevelLoss):
    """1 - AP with every comparison a sigmoid (Brown et al., Smooth-AP 2020).

    Args:
        level: column of the labels that says what is positive.
        tau: temperature.
    """

    def __init__(self, level: int = 0, tau: float = 0.01) -> None:
        super().__init__()
        self.level = level
        self.surrogate = Sigmoid(tau)

    def quality(self, scores: Tensor, places: Places) -> Tensor:
        # An item compared with itself adds sigma(0) = 1/2; it must add 1.
        before = pair_sum(scores, places, self.surrogate, "same") + 0.5
        rank = before + pair_sum(scores, places, self.surrogate, "less")
        return _mean_over_positives(before / rank, places)


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

    def places(self, batch: Batch) -> Places:
        return batch.levels()

    def quality(self, scores: Tensor, places: Places) -> Tensor:
        gain = torch.exp2(places.at.to(scores.dtype)) - 1
        rank = _step_ranks(scores, places) + pair_sum(scores, places, self.surrogate, "less")
        found = (gain / torch.log2(1 + rank.clamp(min=1))).sum(1)
        # In single precision and in the items' order, as published: see `_pop`.
        discount = torch.log2(
            torch.arange(2, scores.shape[1] + 2, dtype=torch.float32, device=scores.device)
        )
        discount = torch.empty_like(gain, dtype=torch.float32).scatter_(
            1, places.order, discount.expand_as(gain)
        )
        ideal = (gain.float() / discount).sum(1)
        return found / ideal.clamp(min=torch.finfo(ideal.dtype).tiny)


class SupRecallLoss(_LevelLoss):
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

    def quality(self, scores: Tensor, places: Places) -> Tensor:
        before = _step_ranks(scores, places)
        rank = before + pair_sum(scores, places, self.surrogate, "less")
        ks = torch.tensor(self.ks, device=places.counts.device)[:, None]
        most = places.counts[:, 1].clamp(min=1).minimum(ks).to(scores.dtype)
        found = [(torch.sigmoid((k - rank) / self.temperature) * places.at).sum(1) for k in self.ks]
        return (torch.stack(found) / send(most, scores.device)).mean(0)


def _mean_over_positives(values: Tensor, places: Places) -> Tensor:
    number = send(places.counts[:, 1].clamp(min=1), values.device)
    return (values * places.at).sum(1) / number


def _pop(counts: Tensor, alpha: float) -> Tensor:
    """`[b, L + 1]` relevance (l / L)^alpha / c(l) of an item of each level, in single precision.

    `counts [b, L + 1]` are c(l). With alpha 1 it is l / (L - 1), as the published code has it: the
    factor cancels, but a training in double precision repeats the published one for longer than a
    few epochs only with the same roundings. With a great alpha that could be too large for single
    precision.
    """
    num_levels = counts.shape[1] - 1
    step = torch.arange(1, num_levels + 1, dtype=torch.float32, device=counts.device)
    share = step / step[max(0, num_levels - 2)] if alpha == 1 else (step / step[-1]) ** alpha
    worth = nn.functional.pad(share, (1, 0))
    return torch.where(counts > 0, worth / counts.clamp(min=1), 0.0)


def _step_ranks(scores: Tensor, places: Places) -> Tensor:
    """`[b, n]` for each positive k, the number of items of its place or above, k among them, that
    score at least s_k: the sum of the step function H(s_j - s_k), H(0) = 1.
    """
    return torch.cat([(seen * upwards).sum(1) for _, seen, upwards in _seen(scores, places)])


def _step_sums(scores: Tensor, places: Places, worth: Tensor, above: bool) -> tuple[Tensor, Tensor]:
    """As `_step_ranks`, and the sum of H(s_j - s_k) min(worth(j), worth(k)) over all j.

    `worth [b, top + 1]` is that of a place, 0 of place 0. Items of a greater place than k's are
    summed only if `above`.
    """
    ranks, sums = [], []
    for rows, seen, upwards in _seen(scores, places):
        ranks.append((seen * upwards).sum(1))
        at = places.at[rows]
        shared = torch.minimum(worth[rows].gather(1, at)[:, None], worth[rows, 1:, None])
        if not above:
            shared *= at[:, None] >= _places_above_0(places)
        sums.append((seen * shared).sum(1))
    return torch.cat(ranks), torch.cat(sums)


def _seen(scores: Tensor, places: Places) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """Some rows at a time: `[r, top, n]` how many items of each place above 0 score at least s_k,
    and whether that place is k's or a greater one.

    One sort gives it for all k.
    """
    negative = -scores.detach()
    falling, order = negative.sort(dim=1)
    # The last item that scores no less than k, so that ties count as ranked before.
    last = torch.searchsorted(falling, negative.contiguous(), right=True) - 1
    sorted_at = places.at.gather(1, order)
    which = _places_above_0(places)
    step = max(1, pairs_in_flight(scores.device) // (scores.shape[1] * places.top))
    for begin in range(0, len(scores), step):
        rows = slice(begin, begin + step)
        seen = (sorted_at[rows, None] == which).to(scores.dtype).cumsum(2)
        seen = seen.gather(2, last[rows, None].expand_as(seen))
        yield rows, seen, places.at[rows, None] <= which


def _places_above_0(places: Places) -> Tensor:
    return torch.arange(1, places.top + 1, device=places.at.device)[:, None]
