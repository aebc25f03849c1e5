"""The rank losses again, as plain loops over their definitions; gradients by autograd.

Relevances and the ideal of NDCG are of single precision, as in the published code.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def sup_rank(t: Tensor, p: dict) -> Tensor:
    sigma = torch.sigmoid(t / p["tau"])
    if t <= 0:
        return sigma
    if t <= p["delta"]:
        return p["start"] + sigma
    offset = p["offset"]
    if offset is None:
        offset = 1 / (1 + math.exp(-p["delta"] / p["tau"])) + p["start"]
    return p["rho"] * (t - p["delta"]) + offset


def leaky_step(t: Tensor, p: dict) -> Tensor:
    if t <= 0:
        return p["leak"] * t
    return torch.clamp(p["beta"] * t + p["gamma"], max=1.0)


def rank(scores: Tensor, levels: list[int], k: int, p: dict) -> Tensor:
    result = torch.ones((), dtype=scores.dtype)
    for j in range(len(levels)):
        if j == k:
            continue
        t = scores[j] - scores[k]
        result = result + (sup_rank(t, p) if levels[j] < levels[k] else float(t >= 0))
    return result


def sup_hap(scores: Tensor, levels: list[int], num_levels: int, p: dict) -> Tensor | None:
    shares = torch.tensor([level / max(1, num_levels - 1) for level in levels])
    counts = torch.tensor([levels.count(level) for level in levels])
    relevance = (shares / counts).tolist()
    defined = [level / max(1, num_levels - 1) / levels.count(level) for level in levels]
    assert all(map(lambda one, other: math.isclose(one, other, rel_tol=1e-6), relevance, defined))
    if not any(relevance):
        return None
    result = torch.zeros((), dtype=scores.dtype)
    for k, own in enumerate(levels):
        if not own:
            continue
        h_rank = torch.tensor(relevance[k], dtype=scores.dtype)
        for j, other in enumerate(levels):
            if j == k:
                continue
            t = scores[j] - scores[k]
            smooth = p.get("beta") is not None and other > own
            step = leaky_step(t, p) if smooth else float(t >= 0)
            h_rank = h_rank + min(relevance[k], relevance[j]) * step
        result = result + h_rank / rank(scores, levels, k, p)
    return result / sum(relevance)


def sup_ap(scores: Tensor, levels: list[int], p: dict) -> Tensor | None:
    positives = [k for k, level in enumerate(levels) if level]
    if not positives:
        return None
    terms = []
    for k in positives:
        before = sum(float(scores[j] >= scores[k]) for j in positives if j != k) + 1
        terms.append(before / rank(scores, levels, k, p))
    return torch.stack(terms).mean()


def smooth_ap(scores: Tensor, levels: list[int], tau: float) -> Tensor | None:
    positives = [k for k, level in enumerate(levels) if level]
    if not positives:
        return None
    terms = []
    for k in positives:
        every = {j: torch.sigmoid((scores[j] - scores[k]) / tau) for j in range(len(levels))}
        before = 1 + sum(every[j] for j in positives if j != k)
        terms.append(before / (1 + sum(value for j, value in every.items() if j != k)))
    return torch.stack(terms).mean()


def sup_ndcg(scores: Tensor, levels: list[int], p: dict) -> Tensor | None:
    if not any(levels):
        return None
    gains = torch.tensor([[2.0**level - 1 for level in levels]])
    places = torch.tensor([levels]).argsort(1, descending=True).argsort(1).float()
    ideal = (gains / torch.log2(2 + places)).sum(1).double()[0]
    best = sorted(levels, reverse=True)
    defined = sum((2**level - 1) / math.log2(2 + place) for place, level in enumerate(best))
    assert math.isclose(float(ideal), defined, rel_tol=1e-6)
    found = sum(
        (2**level - 1) / torch.log2(1 + rank(scores, levels, k, p))
        for k, level in enumerate(levels)
        if level
    )
    return found / ideal


def sup_recall(
    scores: Tensor, levels: list[int], ks: tuple[int, ...], temperature: float, p: dict
) -> Tensor | None:
    positives = [k for k, level in enumerate(levels) if level]
    if not positives:
        return None
    ranks = torch.stack([rank(scores, levels, k, p) for k in positives])
    return torch.stack(
        [torch.sigmoid((k - ranks) / temperature).sum() / min(k, len(positives)) for k in ks]
    ).mean()
