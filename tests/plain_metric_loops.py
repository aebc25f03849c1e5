"""Random label trees, and the metrics again as plain loops over their definitions."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def random_labels(n: int, num_levels: int, seed: int, branching: int = 3) -> Tensor:
    """`[n, L]` nested labels with uneven classes and singletons, far from 0, some negative."""
    generator = torch.Generator().manual_seed(seed)
    column = torch.randint(0, 2, (n,), generator=generator)
    columns = [column]
    for _ in range(num_levels - 1):
        # The square makes classes uneven.
        child = (torch.rand(n, generator=generator).square() * branching).long()
        column = column * branching + child
        columns.append(column)
    columns[-1][-1] = columns[-1].max() + 1  # at least one singleton at the finest level
    return torch.stack(columns[::-1], dim=1) * 1_000_003 - 2_000_000


def agreement(query: Tensor, item: Tensor) -> int:
    return sum(int(a) == int(b) for a, b in zip(query, item, strict=True))


def ranked_levels(
    scores: list[float], levels: list[int], dropped: set[int] = frozenset()
) -> list[int]:
    order = sorted(range(len(scores)), key=lambda item: (-scores[item], item))
    return [levels[item] for item in order if item not in dropped]


def hap(levels: list[int], num_levels: int, relevance: dict[int, float]) -> float:
    total = sum(relevance[level] for level in levels)
    if total == 0:
        return math.nan
    result = 0.0
    for k, own in enumerate(levels):
        h_rank = relevance[own] + sum(min(relevance[own], relevance[j]) for j in levels[:k])
        if own:
            result += h_rank / (k + 1)
    return result / total


def pop(levels: list[int], num_levels: int, extra: int = 0) -> dict[int, float]:
    result = {0: 0.0}
    for level in range(1, num_levels + 1):
        count = levels.count(level) + (extra if level == num_levels else 0)
        result[level] = level / num_levels / count if count else 0.0
    return result


def uniform_map(levels: list[int], num_levels: int) -> dict[int, float]:
    result = {0: 0.0}
    for level in range(1, num_levels + 1):
        count = sum(other >= level for other in levels)
        result[level] = result[level - 1] + (1 / num_levels / count if count else 0.0)
    return result


def asi(levels: list[int], num_levels: int) -> float:
    ideal = sorted(levels, reverse=True)
    positives = sum(level > 0 for level in levels)
    if not positives:
        return math.nan
    result = 0.0
    for n in range(1, positives + 1):
        for level in range(num_levels + 1):
            result += min(levels[:n].count(level), ideal[:n].count(level)) / n
    return result / positives


def ndcg(levels: list[int], k: int | None = None) -> float:
    def dcg(ordered: list[int]) -> float:
        return sum((2**level - 1) / math.log2(rank + 2) for rank, level in enumerate(ordered[:k]))

    ideal = dcg(sorted(levels, reverse=True))
    return dcg(levels) / ideal if ideal else math.nan


def average_precision(levels: list[int], at_least: int, k: int | None = None) -> float:
    hits = [level >= at_least for level in levels]
    total = sum(hits)
    if not total:
        return math.nan
    shown = hits[:k]
    found = sum(sum(hits[: i + 1]) / (i + 1) for i, hit in enumerate(shown) if hit)
    return found / (total if k is None else min(total, k))


def map_at_r(levels: list[int], at_least: int) -> float:
    total = sum(level >= at_least for level in levels)
    return average_precision(levels, at_least, total) if total else math.nan
