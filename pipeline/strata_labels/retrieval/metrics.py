"""Retrieval metrics as pure functions of ranked levels, one exact value per query.

Every function takes `levels [q, n]`: for each query the levels of agreement of its ranked items,
best first, -1 at the end of the row for places that hold no item (`rank_levels`). It gives
`[q]` float64, NaN for a query without positives: leave those out and count them.

`at_least` is the number of levels an item must share with the query to count as positive: with L
levels, the labels of column c (0 the finest) ask for `at_least = L - c`; 1 is the coarsest level.

Sources: H-AP and the relevances, Ramzi et al., "Hierarchical Average Precision Training for
Pertinent Image Retrieval" (2022); ASI, Fagin et al., "Comparing top k lists" (2003);
mAP@R, Musgrave et al., "A Metric Learning Reality Check" (2020).

Only positives contribute to any of these, so the work after the ranking grows with their number,
not with levels x gallery.
"""

from __future__ import annotations

import torch
from torch import Tensor

from strata_labels.retrieval.hits import Hits
from strata_labels.retrieval.relevance import Pop, Relevance, relevance_of


def hap(
    levels: Tensor,
    num_levels: int,
    relevance: Relevance | None = None,
    relevance_counts_query: bool = False,
) -> Tensor:
    """Hierarchical average precision (H-AP).

    H-AP = sum over k of H-rank(k) / rank(k), divided by the sum of relevances, where
    H-rank(k) = rel(k) + sum over j ranked before k of min(rel(k), rel(j)).

    Args:
        levels: `[q, n]` ranked levels of agreement.
        num_levels: L.
        relevance: relevance by level; `Pop()` if None.
        relevance_counts_query: count the query among its own finest positives when relevances
            are computed, as published numbers of sets ranked against themselves do.

    Raises:
        ValueError: a level outside -1 ... L, or relevances that are negative or not finite.

    Example:
        >>> hap(torch.tensor([[2, 1, 0], [0, 1, 2], [0, 0, 0]], dtype=torch.int8), num_levels=2)
        tensor([1.0000, 0.5000,    nan], dtype=torch.float64)
    """
    _check(levels, num_levels)
    blocks = positives(Hits.of(levels, num_levels))
    return hap_of(blocks, relevance or Pop(), relevance_counts_query)


def asi(levels: Tensor, num_levels: int) -> Tensor:
    """Average set intersection: how much of the ideal first n is in the first n, n <= P.

    ASI = 1/P sum over n <= P of 1/n sum over l of min(#l in the first n, #l in the ideal first n),
    P the number of positives.

    Example:
        >>> asi(torch.tensor([[2, 1, 0], [0, 2, 1]], dtype=torch.int8), num_levels=2)
        tensor([1.0000, 0.2500], dtype=torch.float64)
    """
    _check(levels, num_levels)
    return asi_of(positives(Hits.of(levels, num_levels)))


def ndcg(levels: Tensor, num_levels: int, k: int | None = None) -> Tensor:
    """Normalised discounted cumulative gain, gain 2^l - 1, discount log2(1 + rank).

    Args:
        levels: `[q, n]` ranked levels of agreement.
        num_levels: L.
        k: length of the list that counts, None for all. The ideal is the best list of k out of
            *all* positives, not a reordering of the k found.

    Raises:
        ValueError: k is not in 1 ... n.

    Example:
        >>> ndcg(torch.tensor([[1, 0, 2]], dtype=torch.int8), num_levels=2, k=1)
        tensor([0.3333], dtype=torch.float64)
    """
    _check(levels, num_levels)
    return ndcg_of(positives(Hits.of(levels, num_levels)), k)


def average_precision(levels: Tensor, at_least: int = 1, k: int | None = None) -> Tensor:
    """Average precision of one level alone; at k it divides by min(R, k), R all positives.

    Raises:
        ValueError: k is not in 1 ... n.

    Example:
        >>> average_precision(torch.tensor([[2, 0, 1]], dtype=torch.int8), at_least=1)
        tensor([0.8333], dtype=torch.float64)
    """
    hits = _binary(levels, at_least)
    if k is None:
        return precision_sum(hits) / _or_nan(hits.counts)
    _check_k(k, levels.shape[1])
    found = hits.keep(hits.ranks <= k)
    return precision_sum(found) / _or_nan(hits.counts).clamp(max=k)


def map_at_r(levels: Tensor, at_least: int = 1) -> Tensor:
    """mAP@R: precision summed over the positives in the first R, divided by R.

    Example:
        >>> map_at_r(torch.tensor([[2, 0, 1]], dtype=torch.int8), at_least=1)
        tensor([0.5000], dtype=torch.float64)
    """
    hits = _binary(levels, at_least)
    return precision_sums(hits)[1] / _or_nan(hits.counts)


def precision_at_k(levels: Tensor, k: int, at_least: int = 1) -> Tensor:
    """Share of the first k that is positive.

    Raises:
        ValueError: k is not in 1 ... n.
    """
    return _found(levels, k, at_least) / k


def recall_at_k(levels: Tensor, k: int, at_least: int = 1) -> Tensor:
    """True recall: share of all positives that are in the first k.

    Raises:
        ValueError: k is not in 1 ... n.
    """
    return _found(levels, k, at_least) / (levels >= at_least).sum(1)


def hit_rate_at_k(levels: Tensor, k: int, at_least: int = 1) -> Tensor:
    """1 where at least one positive is in the first k: the field's R@k.

    Raises:
        ValueError: k is not in 1 ... n.

    Example:
        >>> hit_rate_at_k(torch.tensor([[0, 2], [2, 0], [0, 0]], dtype=torch.int8), k=1)
        tensor([0., 1., nan], dtype=torch.float64)
    """
    return _found(levels, k, at_least).clamp(max=1)


def macro_average(values: Tensor, classes: Tensor) -> Tensor:
    """Mean over classes of the mean over each class's queries, NaN left out.

    Args:
        values: `[q]` one value per query.
        classes: `[q]` the queries' classes at one level.

    Returns:
        A scalar, NaN where no query has a value.

    Raises:
        ValueError: the shapes differ.

    Example:
        >>> macro_average(torch.tensor([1.0, 1.0, 0.0, float("nan")]), torch.tensor([5, 5, 7, 9]))
        tensor(0.5000, dtype=torch.float64)
    """
    if values.shape != classes.shape or values.ndim != 1:
        raise ValueError(
            f"values and classes must share one shape [q], got {tuple(values.shape)} "
            f"and {tuple(classes.shape)}"
        )
    known = ~torch.isnan(values)
    _, inverse = classes[known].unique(return_inverse=True)
    sums = torch.bincount(inverse, values[known].to(torch.float64))
    return (sums / torch.bincount(inverse)).mean()


# The same metrics on hits that a caller already has: the evaluator ranks once for all of them.


def positives(hits: Hits) -> list[Hits]:
    """Nested hits: entry t - 1 holds those that share at least t levels."""
    nested = [hits]
    for at_least in range(2, hits.num_levels + 1):
        nested.append(nested[-1].keep(nested[-1].levels >= at_least))
    return nested


def precision_sum(hits: Hits) -> Tensor:
    """Sum over hits of (hits so far) / rank: AP times R."""
    return hits.total(hits.order().double().div_(hits.ranks))


def precision_sums(hits: Hits) -> tuple[Tensor, Tensor]:
    """Sum over hits of (hits so far) / rank, and the part of it within the first R ranks.

    They are AP times R and mAP@R times R.
    """
    precision = hits.order().double().div_(hits.ranks)
    whole = hits.total(precision)
    return whole, hits.total(precision.mul_(hits.ranks <= hits.spread(hits.counts)))


def level_counts(nested: list[Hits]) -> Tensor:
    """`[q, L + 1]` items that agree on exactly l levels; column 0 is left at 0."""
    at_least = torch.stack([hits.counts for hits in nested], dim=1)
    exactly = at_least - torch.nn.functional.pad(at_least[:, 1:], (0, 1))
    return torch.nn.functional.pad(exactly, (1, 0))


def hap_of(
    nested: list[Hits],
    relevance: Relevance,
    relevance_counts_query: bool = False,
    sums: Tensor | None = None,
) -> Tensor:
    """H-AP from nested positives; `sums [q, L]` (`precision_sum`) where they are known already.

    min(a, b) counts the relevance steps below both a and b. So with levels in the order of their
    relevance, sum of H-rank/rank = sum over t of (rel(t) - rel(t-1)) x (sum of precisions at the
    items of at least the t-th relevance): a weighted sum of ordinary AP. Where relevance falls
    as agreement grows, which `Pop` allows, levels are renumbered for those queries first.
    """
    counts = level_counts(nested)
    counted = counts.clone()
    if relevance_counts_query:
        counted[:, -1] += 1
    values = torch.where(counts > 0, relevance_of(relevance, counted), 0.0)
    if sums is None:
        sums = torch.stack([precision_sum(hits) for hits in nested], dim=1)
    total = (values * counts).sum(1)
    # A level without items splits nothing: let it take the relevance of the level below.
    rising = values.cummax(1).values
    result = (rising.diff(dim=1) * sums).sum(1)
    crossed = ((rising != values) & (counts > 0)).any(1)
    if bool(crossed.any()):
        result[crossed] = _crossed_h_rank_sum(nested[0], values, crossed)
    return result / torch.where(total > 0, total, torch.nan)


def _crossed_h_rank_sum(hits: Hits, values: Tensor, crossed: Tensor) -> Tensor:
    """Sum of H-rank/rank for the queries whose relevance is not monotone in the level."""
    values = values[crossed]
    sorted_values, by_value = values.sort(dim=1, stable=True)
    place = by_value.argsort(dim=1)  # level -> its place by relevance
    chosen = hits.keep(hits.spread(crossed))
    chosen.offsets = torch.nn.functional.pad(hits.counts[crossed].cumsum(0), (1, 0))
    row = chosen.spread(torch.arange(len(values), device=values.device))
    chosen.levels = place.to(torch.int8)[row, chosen.levels.long()]
    sums = torch.stack([precision_sum(part) for part in positives(chosen)], dim=1)
    return (sorted_values.diff(dim=1) * sums).sum(1)


def asi_of(nested: list[Hits]) -> Tensor:
    """ASI from nested positives, in closed form per level.

    With G = items that agree on more than l levels, the ideal first n holds max(n - G, 0) items of
    level l (n <= P). The i-th item of level l, at rank r_i, is "in time" if r_i <= G + i; items in
    time come first, i* of them. So the minimum is n - G up to n* = G + i*, and the count seen from
    there on: both sum to harmonic numbers.
    """
    hits = nested[0]
    length = hits.num_ranked + 1
    harmonic = torch.zeros(length, dtype=torch.float64, device=hits.ranks.device)
    harmonic[1:] = torch.arange(1, length, device=hits.ranks.device).double().reciprocal().cumsum(0)
    counts = level_counts(nested)
    num_positives = hits.counts
    result = torch.zeros(len(counts), dtype=torch.float64, device=counts.device)
    above = torch.zeros_like(num_positives)
    # Items ranked after P are neither in time nor counted.
    early = hits.keep(hits.ranks <= hits.spread(num_positives))
    for level in range(hits.num_levels, 0, -1):
        own = early.keep(early.levels == level)
        in_time = own.total(own.ranks - own.order() <= own.spread(above)).long()
        turn = above + in_time
        result += in_time - above * (harmonic[turn] - harmonic[above])
        # Item i counts 1/n for every n from max(r_i, n* + 1) to P.
        since = torch.maximum(own.ranks - 1, own.spread(turn))
        result += own.counts * harmonic[num_positives] - own.total(harmonic.index_select(0, since))
        above = above + counts[:, level]
    return result / _or_nan(num_positives)


def ndcg_of(nested: list[Hits], k: int | None = None) -> Tensor:
    """NDCG from nested positives."""
    hits = nested[0]
    if k is not None:
        _check_k(k, hits.num_ranked)
    length = hits.num_ranked if k is None else k
    device = hits.ranks.device
    discount = torch.zeros(hits.num_ranked + 1, dtype=torch.float64, device=device)
    discount[1 : length + 1] = (
        torch.arange(2, length + 2, device=device).double().log2().reciprocal()
    )
    gain = 2.0 ** torch.arange(hits.num_levels + 1, dtype=torch.float64, device=device) - 1
    worth = gain.index_select(0, hits.levels.int())
    found = hits.total(worth.mul_(discount.index_select(0, hits.ranks)))
    ideal = torch.zeros_like(found)
    summed = discount.cumsum(0)
    best = torch.zeros_like(hits.counts)
    for level in range(hits.num_levels, 0, -1):
        upto = nested[level - 1].counts
        ideal += gain[level] * (summed[upto] - summed[best])
        best = upto
    return found / torch.where(hits.counts > 0, ideal, torch.nan)


def _binary(levels: Tensor, at_least: int) -> Hits:
    if levels.ndim != 2:
        raise ValueError(f"levels must have the shape [q, n], got {tuple(levels.shape)}")
    if at_least < 1:
        raise ValueError(f"at_least must be >= 1, got {at_least}")
    return Hits.of(levels, at_least, at_least)


def _found(levels: Tensor, k: int, at_least: int) -> Tensor:
    """Positives among the first k, NaN where a query has none at all."""
    _check_k(k, levels.shape[1])
    is_hit = levels >= at_least
    return torch.where(is_hit.any(1), is_hit[:, :k].sum(1).double(), torch.nan)


def _check(levels: Tensor, num_levels: int) -> None:
    if levels.ndim != 2:
        raise ValueError(f"levels must have the shape [q, n], got {tuple(levels.shape)}")
    if levels.numel():
        low, high = (int(extreme) for extreme in levels.aminmax())
        if low < -1 or high > num_levels:
            raise ValueError(
                f"levels must be in -1 ... {num_levels}, got values from {low} to {high}"
            )


def _check_k(k: int, length: int) -> None:
    if not 1 <= k <= length:
        raise ValueError(f"k must be in 1 ... {length}, the number of ranked items, got {k}")


def _or_nan(counts: Tensor) -> Tensor:
    return torch.where(counts > 0, counts.double(), torch.nan)
