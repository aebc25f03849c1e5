"""Ranks a gallery: from scores to levels of agreement in ranked order.

Ties: items of equal score are ranked in the order of the gallery, on every device and in every
precision. Positive and negative zero are equal.
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor


def rank_levels(scores: Tensor, levels: Tensor) -> Tensor:
    """Sorts each row of `levels` by descending score.

    Args:
        scores: `[q, n]`, higher is nearer; finite.
        levels: `[q, n]` int8 levels of agreement (`agreement`), -1 for an item that is not to be
            ranked (the query itself, junk): those come last, whatever their score.

    Returns:
        `[q, n]` int8: the levels, best first.

    Raises:
        ValueError: the shapes differ, or a score is not finite.

    Example:
        >>> scores = torch.tensor([[0.1, 0.9, 0.5, 0.9]])
        >>> rank_levels(scores, torch.tensor([[0, 1, -1, 2]], dtype=torch.int8))
        tensor([[ 1,  2,  0, -1]], dtype=torch.int8)
    """
    if scores.shape != levels.shape or scores.ndim != 2:
        raise ValueError(
            f"scores and levels must share one shape [q, n], got {tuple(scores.shape)} "
            f"and {tuple(levels.shape)}"
        )
    # A sum is one cheap pass; only if it is not finite do we look for the reason.
    if not bool(torch.isfinite(scores.sum())) and not bool(torch.isfinite(scores).all()):
        row, column = torch.nonzero(~torch.isfinite(scores))[0].tolist()
        raise ValueError(f"scores must be finite, got {scores[row, column]} at [{row}, {column}]")
    if scores.dtype in (torch.bfloat16, torch.float16):
        scores = scores.float()
    num_bits = (int(levels.max()) + 1).bit_length() if levels.numel() else 1
    if (
        scores.is_cpu
        and scores.dtype == torch.float32
        and scores.shape[1].bit_length() + num_bits <= 31
    ):
        return _rank_by_keys(scores, levels, num_bits)
    ranked = torch.where(levels < 0, -torch.inf, scores + 0.0)
    return levels.gather(1, ranked.sort(dim=1, descending=True, stable=True).indices)


def _rank_by_keys(scores: Tensor, levels: Tensor, num_bits: int) -> Tensor:
    """Sorts one 64-bit key per item: score (32 bits, descending), gallery position, level + 1.

    Equal keys do not exist, so any sort gives the stable order, and the level travels in the key:
    no permutation is written, none is followed.
    """
    grade = levels.to(torch.int32)
    bits = (scores + 0.0).view(torch.int32)  # + 0.0 makes -0.0 equal to 0.0
    bits |= grade >> 31  # an item that is not ranked: all ones, below every number
    # Floats order like sign-magnitude integers: flip the magnitude of negatives, then descend.
    falling = (bits >> 31).bitwise_and_(0x7FFFFFFF).bitwise_xor_(bits).bitwise_not_()
    position = torch.arange(scores.shape[1], dtype=torch.int32) << num_bits
    keys = torch.empty(scores.shape, dtype=torch.int64)
    # The halves of a key, written as such: shifting and adding 64-bit numbers takes longer.
    halves = keys.view(torch.int32).unflatten(1, (-1, 2))
    low, high = (0, 1) if sys.byteorder == "little" else (1, 0)
    halves[:, :, high] = falling
    halves[:, :, low] = grade.add_(position + 1)
    _sort_rows(keys)
    return (halves[:, :, low] & ((1 << num_bits) - 1)).to(torch.int8).sub_(1)


def _sort_rows(keys: Tensor) -> None:
    """Sorts each row in place, ascending.

    PyTorch's CPU sort always carries a permutation along. NumPy, where PyTorch was installed with
    it, sorts bare integers with vector instructions, several times faster; the result is the same.
    """
    try:
        array = keys.numpy()
    except RuntimeError:  # a PyTorch without NumPy
        keys.copy_(keys.sort(dim=1).values)
        return
    workers = max(1, min(torch.get_num_threads(), len(keys)))
    bounds = [len(keys) * worker // workers for worker in range(workers + 1)]
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(lambda at: array[bounds[at] : bounds[at + 1]].sort(axis=1), range(workers)))
