"""The blend: weights that turn all evidence about an item into probabilities of the nodes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy


@dataclass(frozen=True)
class Blend:
    """Weights that turn evidence columns into one softmax.

    Attributes:
        weights: one a column, shared by all nodes, `[J]`.
        bias: one a node, `[K]`.
    """

    weights: np.ndarray
    bias: np.ndarray

    def probabilities(self, columns: Sequence[np.ndarray]) -> np.ndarray:
        """Softmax over nodes of the weighted columns, float32 `[n, K]`."""
        logits = np.zeros(columns[0].shape, dtype=np.float32) + self.bias.astype(np.float32)
        for weight, column in zip(self.weights, columns, strict=True):
            logits += np.float32(weight) * column
        logits -= logits.max(axis=1, keepdims=True)
        np.exp(logits, out=logits)
        logits /= logits.sum(axis=1, keepdims=True)
        return logits


def fit_blend(
    columns: Sequence[np.ndarray],
    labels: np.ndarray,
    prior: np.ndarray,
    spread: np.ndarray,
    among: np.ndarray | None = None,
    few: int = 0,
    least: np.ndarray | None = None,
) -> Blend:
    """Conditional logit with shared weights, drawn towards `prior` (McFadden 1974).

    Without labels the prior is the answer; each label moves it as far as it speaks. The bias of a
    node has a Gaussian prior of mean 0 and deviation 1.

    Args:
        columns: evidence of the known rows, `[m, K]` each, out of sample.
        labels: node index of each, `[m]`.
        prior: weights without labels, `[J]`.
        spread: standard deviation of the Gaussian prior round each weight, `[J]`.
        among: nodes that the labels choose among, boolean `[K]`; None for all.
        few: rows below which the prior counts more than twice: left out, one of few rows takes much
            of what is known of its node along.
        least: lowest weight of each column, `[J]`; None: any.
    """
    stacked = np.stack(columns).astype(np.float64)
    num_columns, num_known, num_nodes = stacked.shape
    index = np.arange(num_known)
    pull = 1.0 + few / max(num_known, 1)

    def objective(theta: np.ndarray) -> tuple[float, np.ndarray]:
        weights, bias = theta[:num_columns] * spread + prior, theta[num_columns:]
        logits = np.tensordot(weights, stacked, axes=1) + bias
        if among is not None:
            logits[:, ~among] = -np.inf
        logits -= logits.max(axis=1, keepdims=True)
        odds = np.exp(logits)
        total = odds.sum(axis=1)
        loss = np.log(total).sum() - logits[index, labels].sum() + 0.5 * pull * theta @ theta
        odds /= total[:, None]
        odds[index, labels] -= 1.0
        gradient = np.concatenate(
            [np.einsum("jmk,mk->j", stacked, odds) * spread, odds.sum(axis=0)]
        )
        return float(loss), gradient + pull * theta

    start = np.zeros(num_columns + num_nodes)
    low = np.full(len(start), -np.inf)
    if least is not None:
        low[:num_columns] = (least - prior) / spread
    bounds = scipy.optimize.Bounds(low, np.inf)
    options = {"maxiter": 200}
    theta = scipy.optimize.minimize(
        objective, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options
    ).x
    return Blend(theta[:num_columns] * spread + prior, theta[num_columns:])
