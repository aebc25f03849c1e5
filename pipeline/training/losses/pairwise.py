"""Sums over pairs of items, value and gradient block by block: memory O(B^2), never O(B^3)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

# Pairs in flight. On a CPU a block should stay in the cache, on a GPU it should fill the device.
_PAIRS_CPU = 1 << 19
_PAIRS_GPU = 1 << 25

Relation = Literal["less", "same", "more"]


class Kernel(Protocol):
    """A function of a difference of scores t = s_j - s_k, elementwise, and its derivative."""

    def value(self, t: Tensor) -> Tensor: ...

    def slope(self, t: Tensor) -> Tensor: ...


def pair_sum(
    scores: Tensor,
    place: Tensor,
    kernel: Kernel,
    relation: Relation,
    worth: Tensor | None = None,
) -> Tensor:
    """For each positive k of each query, the sum over j of kernel(s_j - s_k).

    Args:
        scores: `[b, n]`, differentiable.
        place: `[b, n]` int64, the item's place in the order to learn (its level), 0 for
            non-positives.
        kernel: what is summed.
        relation: which items j are summed: those of a lesser place than k's, of the same place
            (k itself among them), or of a greater one.
        worth: `[b, n]`; each pair then counts min(worth_j, worth_k) times.

    Returns:
        `[b, n]`, 0 where `place` is 0.
    """
    return _PairSum.apply(scores, place, kernel, relation, worth)  # type: ignore[no-any-return]


class _PairSum(torch.autograd.Function):
    """The differences of a block are computed anew for the gradient: nothing cubic is kept."""

    @staticmethod
    def forward(
        ctx: Any,
        scores: Tensor,
        place: Tensor,
        kernel: Kernel,
        relation: Relation,
        worth: Tensor | None,
    ) -> Tensor:
        ctx.save_for_backward(scores, place, worth)
        ctx.kernel, ctx.relation = kernel, relation
        result = torch.zeros_like(scores)
        for block in _blocks(place, relation):
            t = block.differences(scores)
            block.add(result, block.items, block.weighted(kernel.value(t), worth).sum(2))
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None, None]:
        scores, place, worth = ctx.saved_tensors
        result = torch.zeros_like(scores)
        for block in _blocks(place, ctx.relation):
            weight = block.take(grads[0], block.items)
            slope = block.weighted(ctx.kernel.slope(block.differences(scores)), worth)
            block.add(result, block.items, -weight * slope.sum(2))
            block.add(result, block.others, torch.bmm(weight.unsqueeze(1), slope).squeeze(1))
        return result, None, None, None, None


@dataclass
class _Side:
    """Columns of some items per row, padded: `columns [r, m]`, `real [r, m]` or None if all are."""

    columns: Tensor
    real: Tensor | None


@dataclass
class _Block:
    """Some rows (queries) with their items k and the others j that each k is compared with."""

    rows: Tensor
    items: _Side
    others: _Side

    def take(self, values: Tensor, side: _Side) -> Tensor:
        taken = values[self.rows[:, None], side.columns]
        return taken if side.real is None else taken * side.real

    def add(self, target: Tensor, side: _Side, values: Tensor) -> None:
        if side.real is not None:
            values = values * side.real
        target.index_put_((self.rows[:, None], side.columns), values, accumulate=True)

    def differences(self, scores: Tensor) -> Tensor:
        """`[r, items, others]` t = s_j - s_k."""
        left, right = self.take(scores, self.others), self.take(scores, self.items)
        return left.unsqueeze(1) - right.unsqueeze(2)

    def weighted(self, values: Tensor, worth: Tensor | None) -> Tensor:
        if worth is not None:
            left, right = self.take(worth, self.others), self.take(worth, self.items)
            values *= torch.minimum(left.unsqueeze(1), right.unsqueeze(2))
        elif self.others.real is not None:
            values *= self.others.real.unsqueeze(1)
        return values


def _blocks(place: Tensor, relation: Relation) -> Iterator[_Block]:
    """Blocks of rows with about equally many pairs, one place of k at a time.

    Sorted by falling place, the items of one place, and all those above or below, are neighbours.
    """
    budget = _PAIRS_CPU if place.device.type == "cpu" else _PAIRS_GPU
    num_places = int(place.max()) + 1
    columns = place.argsort(dim=1, descending=True, stable=True)
    counts = torch.stack([(place == p).sum(1) for p in range(num_places)], dim=1)
    ends = counts.flip(1).cumsum(1).flip(1)  # column p: items of place p or more
    for p in range(1, num_places):
        first, last = ends[:, p] - counts[:, p], ends[:, p]
        low, high = {
            "less": (last, torch.full_like(last, place.shape[1])),
            "same": (first, last),
            "more": (torch.zeros_like(first), first),
        }[relation]
        # Rows with equal numbers of pairs side by side waste little on padding.
        rows = ((last - first) * place.shape[1] + high - low).argsort(descending=True, stable=True)
        num_items, num_others = (last - first)[rows].tolist(), (high - low)[rows].tolist()
        start = 0
        while start < len(rows) and num_items[start] > 0:
            most = max(1, budget // (num_items[start] * max(1, max(num_others[start:]))))
            stop = min(start + most, len(rows))
            chosen = rows[start:stop]
            widest = max(num_others[start:stop])
            start = stop
            if widest == 0:
                continue
            others = _side(columns, chosen, low, high, 0, widest)
            step = max(1, budget // widest)
            longest = num_items[stop - len(chosen)]
            for begin in range(0, longest, step):
                items = _side(columns, chosen, first, last, begin, min(step, longest - begin))
                yield _Block(chosen, items, others)


def _side(
    columns: Tensor, rows: Tensor, first: Tensor, last: Tensor, begin: int, width: int
) -> _Side:
    """Items `first + begin ...` of each row, `width` at most, up to `last`."""
    at = first[rows, None] + torch.arange(begin, begin + width, device=rows.device)
    real = at < last[rows, None]
    at = at.clamp(max=columns.shape[1] - 1)
    return _Side(columns[rows[:, None], at], None if bool(real.all()) else real)
