"""A plain reference for the benchmarks: hierarchical metrics from their definitions.

Written from the definitions, in the manner that public code uses: every intermediate is a whole
[B, N, L] integer tensor, the ideal order is the argsort of an argsort, counts come from a Python
loop of `unique` per query. It is slow on purpose; nothing but the benchmarks imports it.
"""

from __future__ import annotations

import torch
from torch import Tensor


def agreement(query_labels: Tensor, gallery_labels: Tensor) -> Tensor:
    """[B, N] levels of agreement through a [B, N, L] comparison."""
    return (query_labels[:, None, :] == gallery_labels[None, :, :]).long().sum(-1)


def pop_relevances(levels: Tensor, num_levels: int) -> Tensor:
    """[B, N] relevances (l / L) / c(l), a `unique` per query."""
    relevances = torch.zeros(levels.shape)
    for row, values in enumerate(levels):
        for level, count in zip(*values.unique(return_counts=True), strict=True):
            relevances[row, values == level] = level.item() / num_levels / count.item()
    return relevances


def hap(relevances: Tensor, levels: Tensor, num_levels: int) -> Tensor:
    """H-AP of ranked relevances [B, N], through [B, N, L + 1] tensors."""
    of_level = torch.stack(
        [torch.where(levels == level, relevances, 0.0).amax(1) for level in range(num_levels + 1)],
        dim=1,
    )
    one_hot = (levels[:, :, None] == torch.arange(num_levels + 1)).long()
    seen = one_hot.cumsum(1)
    h_rank = (seen * torch.minimum(relevances[:, :, None], of_level[:, None, :])).sum(-1)
    rank = torch.arange(1, levels.shape[1] + 1)
    return (h_rank / rank * (relevances > 0)).sum(1) / relevances.sum(1)


def asi(levels: Tensor, num_levels: int) -> Tensor:
    """ASI of ranked levels [B, N], through [B, N, L + 1] tensors."""
    ideal = levels.sort(dim=1, descending=True).values
    every = torch.arange(num_levels + 1)
    seen = (levels[:, :, None] == every).long().cumsum(1)
    best = (ideal[:, :, None] == every).long().cumsum(1)
    rank = torch.arange(1, levels.shape[1] + 1)
    shared = torch.minimum(seen, best).sum(-1) / rank
    positives = (levels > 0).sum(1)
    return (shared * (rank <= positives[:, None])).sum(1) / positives


def ndcg(scores: Tensor, levels: Tensor) -> Tensor:
    """NDCG of unranked levels and scores [B, N], ranks through an argsort of an argsort."""
    gain = 2.0**levels - 1
    rank = scores.argsort(dim=1, descending=True).argsort(dim=1) + 1
    ideal = gain.argsort(dim=1, descending=True).argsort(dim=1) + 1
    return (gain / torch.log2(1.0 + rank)).sum(1) / (gain / torch.log2(1.0 + ideal)).sum(1)


def average_precision(hit: Tensor) -> Tensor:
    """AP of ranked hits [B, N]."""
    rank = torch.arange(1, hit.shape[1] + 1)
    return (hit.cumsum(1) / rank * hit).sum(1) / hit.sum(1)


def map_at_r(hit: Tensor) -> Tensor:
    """mAP@R of ranked hits [B, N]."""
    rank = torch.arange(1, hit.shape[1] + 1)
    within = rank <= hit.sum(1, keepdim=True)
    return (hit.cumsum(1) / rank * hit * within).sum(1) / hit.sum(1)


def report(query: Tensor, query_labels: Tensor, gallery: Tensor, gallery_labels: Tensor) -> dict:
    """Every metric of one batch of queries, as [B] tensors by name."""
    num_levels = gallery_labels.shape[1]
    scores = query @ gallery.T
    levels = agreement(query_labels, gallery_labels)
    relevances = pop_relevances(levels, num_levels)
    order = scores.argsort(dim=1, descending=True)
    ranked = levels.gather(1, order)
    values = {
        "hap": hap(relevances.gather(1, order), ranked, num_levels),
        "asi": asi(ranked, num_levels),
        "ndcg": ndcg(scores, levels),
    }
    for column in range(num_levels):
        hit = (ranked >= num_levels - column).long()
        values[f"ap_level{column}"] = average_precision(hit)
        values[f"map_at_r_level{column}"] = map_at_r(hit)
        values[f"recall_at_1_level{column}"] = hit[:, :1].amax(1).double()
    return values
