"""Bootstrap intervals of a mean over queries, and a paired test of two embeddings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

# Resampled queries drawn at a time.
_DRAWS = 1 << 22


@dataclass(frozen=True)
class Comparison:
    """Two systems on the same queries.

    Args:
        difference: mean of (other - this) over the queries where both have a value.
        low: lower end of the difference's bootstrap interval.
        high: its upper end.
        p_value: two-sided, of the hypothesis that the sign of each query's difference is chance.
        num_queries: queries compared.
    """

    difference: float
    low: float
    high: float
    p_value: float
    num_queries: int


def bootstrap_interval(
    values: Tensor, resamples: int = 1000, confidence: float = 0.95, seed: int = 0
) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean over queries.

    Args:
        values: `[q]` one value per query, NaN left out.
        resamples: number of resamples, >= 1.
        confidence: share of resampled means inside the interval, in (0, 1).
        seed: the same seed gives the same interval.

    Returns:
        Low and high; NaN where no query has a value.

    Raises:
        ValueError: resamples or confidence out of range, values not `[q]`.

    Example:
        >>> bootstrap_interval(torch.full((8,), 0.5))
        (0.5, 0.5)
    """
    known = _known(values, resamples)
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must be in (0, 1), got {confidence}")
    if len(known) == 0:
        return float("nan"), float("nan")
    generator = torch.Generator().manual_seed(seed)
    means = [
        known[torch.randint(len(known), (count, len(known)), generator=generator)].mean(1)
        for count in _batches(resamples, len(known))
    ]
    tails = torch.tensor([(1 - confidence) / 2, (1 + confidence) / 2], dtype=torch.float64)
    low, high = torch.quantile(torch.cat(means), tails).tolist()
    return low, high


def paired_test(
    this: Tensor, other: Tensor, resamples: int = 1000, confidence: float = 0.95, seed: int = 0
) -> Comparison:
    """Compares two systems query by query: bootstrap interval and sign-flip permutation test.

    Args:
        this: `[q]` values of one system; a query that is NaN in either is left out.
        other: `[q]` values of the other system, of the same queries.
        resamples: of the bootstrap, and sign flips of the test.
        confidence: of the interval.
        seed: the same seed gives the same result.

    Raises:
        ValueError: the shapes differ, resamples or confidence out of range.

    Example:
        >>> paired_test(torch.zeros(20), torch.ones(20)).p_value < 0.01
        True
    """
    if this.shape != other.shape:
        raise ValueError(
            f"this and other must have one shape, got {tuple(this.shape)} and {tuple(other.shape)}"
        )
    this, other = (values.to("cpu", torch.float64) for values in (this, other))
    differences = _known(other - this, resamples)
    low, high = bootstrap_interval(differences, resamples, confidence, seed)
    if len(differences) == 0:
        return Comparison(float("nan"), low, high, float("nan"), 0)
    observed = differences.sum().abs()
    generator = torch.Generator().manual_seed(seed + 1)
    extreme = 0
    for count in _batches(resamples, len(differences)):
        signs = torch.randint(2, (count, len(differences)), generator=generator) * 2.0 - 1
        # A hair below: equal sums added up in another order must count as equal.
        extreme += int(((signs.double() @ differences).abs() >= observed * (1 - 1e-12)).sum())
    return Comparison(
        difference=float(differences.mean()),
        low=low,
        high=high,
        p_value=(extreme + 1) / (resamples + 1),
        num_queries=len(differences),
    )


def _known(values: Tensor, resamples: int) -> Tensor:
    if values.ndim != 1:
        raise ValueError(f"values must have the shape [q], got {tuple(values.shape)}")
    if resamples < 1:
        raise ValueError(f"resamples must be >= 1, got {resamples}")
    values = values.to("cpu", torch.float64)
    return values[~values.isnan()]


def _batches(resamples: int, num_queries: int) -> Iterator[int]:
    size = max(1, _DRAWS // num_queries)
    for start in range(0, resamples, size):
        yield min(size, resamples - start)
