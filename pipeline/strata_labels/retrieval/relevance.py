"""Relevance of an item by the number of levels it shares with the query.

A relevance function maps, per query, the number of ranked items at each level of agreement
`counts [q, L+1]` to the relevance of one item at that level `[q, L+1]`. Level 0, nothing in
common, has relevance 0. Any callable of that form will do in place of `Pop` and `Map`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

Relevance = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Pop:
    """rel(l) = (l / L)^alpha / c(l), c(l) the number of items that agree on exactly l levels.

    A level is worth (l / L)^alpha in total, shared among its items (HAPPIER, Ramzi et al. 2022).
    It is *not* monotone: with 100 siblings and 5 cousins, a sibling is worth less than a cousin.
    `Map` is monotone.

    Args:
        alpha: how much finer levels outweigh coarser ones, >= 0.
    """

    alpha: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.alpha < float("inf"):
            raise ValueError(f"alpha must be finite and >= 0, got {self.alpha}")

    def __call__(self, counts: Tensor) -> Tensor:
        num_levels = counts.shape[1] - 1
        share = torch.arange(num_levels + 1, dtype=torch.float64, device=counts.device) / num_levels
        worth = share**self.alpha
        worth[0] = 0.0  # 0 ** 0 is 1
        return torch.where(counts > 0, worth / counts.clamp(min=1), 0.0)


@dataclass(frozen=True)
class Map:
    """rel(l) = sum over p = 1..l of w_p / (number of items that agree on at least p levels).

    With it, H-AP is the weighted mean of the levels' average precisions (of those that have
    positives). It is monotone: an item that shares more levels is never worth less.

    Args:
        weights: w_1 (coarsest) to w_L (finest), >= 0, not all 0; None: 1/L each.
    """

    weights: Sequence[float] | None = None

    def __post_init__(self) -> None:
        given = self.weights
        if given is not None and (not all(0 <= w < float("inf") for w in given) or not any(given)):
            raise ValueError(f"weights must be finite, >= 0 and not all 0, got {tuple(given)}")

    def __call__(self, counts: Tensor) -> Tensor:
        num_levels = counts.shape[1] - 1
        if self.weights is None:
            weights = counts.new_full((num_levels,), 1 / num_levels, dtype=torch.float64)
        elif len(self.weights) == num_levels:
            weights = torch.tensor(self.weights, dtype=torch.float64, device=counts.device)
        else:
            raise ValueError(
                f"weights must have one entry per level ({num_levels}), got {len(self.weights)}"
            )
        at_least = counts[:, 1:].flip(1).cumsum(1).flip(1)
        steps = torch.where(at_least > 0, weights / at_least.clamp(min=1), 0.0)
        return torch.nn.functional.pad(steps.cumsum(1), (1, 0))


def relevance_of(relevance: Relevance, counts: Tensor) -> Tensor:
    """Calls a relevance function and checks what it gives.

    Args:
        relevance: the function.
        counts: `[q, L+1]` items per level of agreement.

    Returns:
        `[q, L+1]` float64.

    Raises:
        ValueError: a wrong shape, a negative or infinite relevance, or one above 0 at level 0.
    """
    values = relevance(counts).to(torch.float64)
    if values.shape != counts.shape:
        raise ValueError(
            f"relevance must give the shape {tuple(counts.shape)}, got {tuple(values.shape)}"
        )
    if not bool((torch.isfinite(values) & (values >= 0)).all()):
        raise ValueError(f"relevance must be finite and >= 0, got {values.min().item()}")
    if bool((values[:, 0] != 0).any()):
        raise ValueError(
            f"relevance of level 0 (nothing in common) must be 0, got {values[:, 0].max().item()}"
        )
    return values
