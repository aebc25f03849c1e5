"""A plain reference for the benchmarks: SupHAP from its definition, with [B, B, B] tensors.

Written from the definitions, in the manner of public code: every query compares every pair at
once, all of it is kept for backward, and relevances come from a Python loop of `unique` per query.
It is slow on purpose; nothing but the benchmarks imports it.
"""

from __future__ import annotations

import torch
from torch import Tensor


def sup_hap_loss(
    embeddings: Tensor,
    labels: Tensor,
    tau: float = 0.01,
    rho: float = 100.0,
    delta: float = 0.05,
    start: float = 0.5,
    offset: float = 1.44,
) -> Tensor:
    """SupHAP of a batch against itself."""
    scores = embeddings @ embeddings.T
    levels = (labels[:, None, :] == labels[None, :, :]).long().sum(-1)
    relevance = torch.zeros_like(scores)
    for row, values in enumerate(levels):
        for level, count in zip(*values.unique(return_counts=True), strict=True):
            relevance[row, values == level] = level.item() / labels.shape[1] / count.item()
    t = scores[:, None, :] - scores[:, :, None]  # [query, k, j]
    sigma = torch.sigmoid(t / tau)
    near = torch.where(t > 0, start + sigma, sigma)
    smooth = torch.where(t > delta, rho * (t - delta) + offset, near)
    step = (t >= 0).to(scores.dtype)
    less = levels[:, None, :] < levels[:, :, None]
    itself = torch.eye(len(scores), dtype=torch.bool)
    rank = 1 + torch.where(less, smooth, step).masked_fill(itself, 0.0).sum(2)
    shared = torch.minimum(relevance[:, None, :], relevance[:, :, None])
    h_rank = relevance + (shared * step).masked_fill(itself, 0.0).sum(2)
    quality = (h_rank / rank * (relevance > 0)).sum(1) / relevance.sum(1)
    return 1 - quality.mean()
