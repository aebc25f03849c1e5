"""How good the labels are expected to be, and how many more decisions reach the target."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from strata_labels.review.page.review_rows import ReviewRows

#: Numbers of answers for which it is said what they gain.
PLANS = (50, 200, 1_000, 5_000)


@dataclass(frozen=True)
class Forecast:
    """What is left until the target.

    Attributes:
        now: expected share of right labels, 0 to 1; None without labelled items.
        decisions: answers until the target; 0 if it is reached, None if the open rows together
            do not lead there.
        best: expected share once every open row is decided.
        ahead: answers and the expected share after them, for each of `PLANS` that there are enough
            open rows for.
    """

    now: float | None
    decisions: int | None
    best: float | None
    ahead: tuple[tuple[int, float], ...] = ()


def forecast(
    confidence: NDArray[np.float64], gains: NDArray[np.float64], target: float
) -> Forecast:
    """Adds up calibrated confidences: among labels of confidence p a share p is right.

    Args:
        confidence: `[num_items]`, of each item's label now; 1 where a person decided it.
        gains: `[num_answers]`, by how much each further answer raises the sum of confidences, in
            the order in which the questions are asked.
        target: share of right labels to reach.

    Example:
        >>> forecast(np.array([1.0, 0.5, 0.75, 0.75]), np.array([0.5, 0.25, 0.25]), 0.9)
        Forecast(now=0.75, decisions=2, best=1.0, ahead=())
    """
    if not len(confidence):
        return Forecast(None, None, None)
    total = float(confidence.sum())
    reached = (total + np.concatenate([[0.0], np.cumsum(gains)])) / len(confidence)
    enough = np.flatnonzero(reached >= target - 1e-9)
    return Forecast(
        now=float(reached[0]),
        decisions=int(enough[0]) if len(enough) else None,
        best=float(reached[-1]),
        ahead=tuple((plan, float(reached[plan])) for plan in PLANS if plan < len(reached)),
    )


def forecast_of(
    table: ReviewRows, confidence: NDArray[np.float64], is_open: NDArray[np.bool_], target: float
) -> Forecast:
    """The forecast for a review.

    Args:
        table: all rows.
        confidence: `[num_rows]`, of now.
        is_open: `[num_rows]`, rows that are still to be decided.
        target: share of right labels to reach.
    """
    gain = np.where(table.is_item, 1 - confidence, 0.0)
    # What the open row of its class will settle is not asked.
    covered = table.cover >= 0
    covered[covered] = is_open[table.cover[covered]]
    gain += np.bincount(table.cover[covered], gain[covered], len(gain))
    asked = table.order[(is_open & ~covered)[table.order]]
    # Look-alikes, which stand together, can be answered as one.
    answer = table.answer[asked]
    first = np.flatnonzero(np.diff(answer, prepend=-1))
    gains = np.add.reduceat(gain[asked], first) if len(first) else np.zeros(0)
    return forecast(confidence[table.counts], gains, target)
