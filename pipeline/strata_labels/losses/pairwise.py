"""Sums over pairs of items, value and gradient block by block: memory O(B^2), never O(B^3).

Few pairs are compared one by one. Where there are many for each item, `interpolated` gives the same
sums, to the rounding of the scores' precision, in time O(B^2) instead of O(B^3).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol, overload

import torch
from torch import Tensor

from strata_labels.losses.interpolated import (
    OnlyOnce,
    Parts,
    Relation,
    can_interpolate,
    compared_places,
    interpolated_sum,
    num_coefficients,
)

# Pairs in flight. On a CPU a block should stay in the cache, on a GPU it should fill the device.
_PAIRS_CPU = 1 << 18
_PAIRS_GPU = 1 << 25
# What interpolation costs, in pairs: for an item, for an item and a place that it is compared with,
# and for a product of two coefficients (on a CPU, batch 1,024). A kernel's matrix has at most
# 128 MiB.
_PAIRS_OF_ITEM = 60
_PAIRS_OF_PLACE = 40
_PAIRS_OF_PRODUCT = 1 / 50
_MOST_COEFFICIENTS = 4096


class Kernel(Protocol):
    """A function of a difference of scores t = s_j - s_k, elementwise, and its derivative."""

    def value(self, t: Tensor) -> Tensor: ...

    def slope(self, t: Tensor) -> Tensor: ...

    def parts(self) -> tuple[Parts, Parts] | None:
        """Value and slope for `interpolated`; None if it does not serve this kernel."""


def pair_sum(
    scores: Tensor,
    place: Tensor,
    kernel: Kernel,
    relation: Relation,
    top: int,
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
        top: the highest place that may occur.
        worth: `[b, n]`; each pair then counts min(worth_j, worth_k) times.

    Returns:
        `[b, n]`, 0 where `place` is 0. It has a first derivative; a second one is refused.
    """
    layers, bounds, most = _layers(scores, place, relation, top)
    parts = kernel.parts() if worth is None and can_interpolate(scores) else None
    if parts and _interpolates(layers, most, num_coefficients(parts[0], scores.dtype, *bounds)):
        return interpolated_sum(scores, place, relation, top, parts, bounds, most)
    return _PairSum.apply(scores, kernel, layers, worth)  # type: ignore[no-any-return]


def _interpolates(layers: list[_Layer], most: int, coefficients: float) -> bool:
    """Whether interpolation costs less than the pairs; never if scores are not finite."""
    if not coefficients <= _MOST_COEFFICIENTS:
        return False
    pairs = sum(sum(map(int.__mul__, each.num_items, each.num_others)) for each in layers)
    rows, n = layers[0].columns.shape
    products = (len(layers) + 1) * coefficients**2
    cost = _PAIRS_OF_ITEM * n + _PAIRS_OF_PLACE * most + _PAIRS_OF_PRODUCT * products
    return pairs > rows * cost


class _PairSum(torch.autograd.Function):
    """The differences of a block are computed again for the gradient: nothing cubic is kept."""

    @staticmethod
    def forward(
        ctx: Any,
        scores: Tensor,
        kernel: Kernel,
        layers: list[_Layer],
        worth: Tensor | None,
    ) -> Tensor:
        ctx.save_for_backward(scores, worth)
        ctx.kernel, ctx.layers = kernel, layers
        result = torch.zeros_like(scores)
        for layer in layers:
            ordered, worths = layer.order(scores), layer.order(worth)
            sums = torch.zeros_like(ordered)
            for block in layer.blocks():
                block.add(sums, block.items, _values(kernel, *block.pairs(ordered, worths)))
            layer.restore(result, sums)
        return result

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        scores, worth = ctx.saved_tensors
        with torch.no_grad(), torch.autocast(scores.device.type, enabled=False):
            result = torch.zeros_like(scores)
            for layer in ctx.layers:
                ordered, worths = layer.order(scores), layer.order(worth)
                weights = layer.order(grads[0])
                sums = torch.zeros_like(ordered)
                for block in layer.blocks():
                    weight = block.take(weights, block.items)
                    pairs = block.pairs(ordered, worths)
                    of_items, of_others = _gradients(ctx.kernel, weight, *pairs)
                    block.add(sums, block.items, of_items)
                    block.add(sums, block.others, of_others)
                layer.restore(result, sums)
        # Only where a second derivative is prepared (create_graph=True).
        if torch.is_grad_enabled():
            result = OnlyOnce.apply(result, scores)
        return result, None, None, None


def _values(
    kernel: Kernel, items: Tensor, others: Tensor, factors: tuple[Tensor | None, ...]
) -> Tensor:
    """`[r, items]` the sums over j; of scores `[r, items]` and `[r, others]`."""
    values = kernel.value(others.unsqueeze(1) - items.unsqueeze(2))
    return _weighted(values, *factors).sum(2)


def _gradients(
    kernel: Kernel,
    weight: Tensor,
    items: Tensor,
    others: Tensor,
    factors: tuple[Tensor | None, ...],
) -> tuple[Tensor, Tensor]:
    """Gradients `[r, items]` and `[r, others]`, of sums that count `weight [r, items]` each."""
    slope = _weighted(kernel.slope(others.unsqueeze(1) - items.unsqueeze(2)), *factors)
    return -weight * slope.sum(2), torch.bmm(weight.unsqueeze(1), slope).squeeze(1)


def _weighted(
    values: Tensor, real: Tensor | None, worths: Tensor | None, worths_of_others: Tensor | None
) -> Tensor:
    if worths is not None and worths_of_others is not None:
        return values.mul_(torch.minimum(worths_of_others.unsqueeze(1), worths.unsqueeze(2)))
    return values if real is None else values.mul_(real.unsqueeze(1))


@dataclass
class _Side:
    """Some items of each row, padded: `at [r, m]`, and `real [r, m]`, or None if all are."""

    at: Tensor
    real: Tensor | None


@dataclass
class _Block:
    """Some rows (queries) with their items k and the others j that each k is compared with."""

    rows: slice
    items: _Side
    others: _Side

    def take(self, values: Tensor, side: _Side) -> Tensor:
        taken = values[self.rows].gather(1, side.at)
        return taken if side.real is None else taken * side.real

    def add(self, target: Tensor, side: _Side, values: Tensor) -> None:
        if side.real is not None:
            values = values * side.real
        target[self.rows].scatter_add_(1, side.at, values)

    def pairs(
        self, scores: Tensor, worth: Tensor | None
    ) -> tuple[Tensor, Tensor, tuple[Tensor | None, ...]]:
        """Scores of the items and of the others, and what pairs are multiplied by."""
        items, others = self.take(scores, self.items), self.take(scores, self.others)
        if worth is None:
            return items, others, (self.others.real, None, None)
        return items, others, (None, self.take(worth, self.items), self.take(worth, self.others))


@dataclass
class _Layer:
    """The items k of one place, and the others j: both are ranges of each row, once it is ordered.

    Args:
        rows: `[b]` the queries, those with the most pairs first, so that rows side by side have
            about equally many and little is wasted on padding.
        columns: `[b, n]` of each such row, the items by falling place.
        items: first and last (exclusive) item k of each row.
        others: first and last (exclusive) item j of each row.
        num_items, num_others: their numbers in each row, on the host.
    """

    rows: Tensor
    columns: Tensor
    items: tuple[Tensor, Tensor]
    others: tuple[Tensor, Tensor]
    num_items: list[int]
    num_others: list[int]

    @overload
    def order(self, values: Tensor) -> Tensor: ...
    @overload
    def order(self, values: None) -> None: ...
    def order(self, values: Tensor | None) -> Tensor | None:
        return None if values is None else values[self.rows].gather(1, self.columns)

    def restore(self, target: Tensor, ordered: Tensor) -> None:
        """Adds values in this layer's order to where they belong."""
        target[self.rows] += torch.zeros_like(ordered).scatter_(1, self.columns, ordered)

    def blocks(self) -> Iterator[_Block]:
        """Blocks of at most so many pairs, a row at least."""
        budget = _PAIRS_CPU if self.rows.device.type == "cpu" else _PAIRS_GPU
        num_items, num_others = self.num_items, self.num_others
        start = 0
        while start < len(num_items):
            longest, widest, stop = num_items[start], num_others[start], start + 1
            while stop < len(num_items):
                most = max(longest, num_items[stop]), max(widest, num_others[stop])
                if (stop + 1 - start) * most[0] * most[1] > budget:
                    break
                (longest, widest), stop = most, stop + 1
            rows = slice(start, stop)
            start = stop
            if longest == 0 or widest == 0:
                continue
            others = self._side(self.others, rows, 0, widest, min(num_others[rows]))
            step = max(1, budget // widest)
            for begin in range(0, longest, step):
                width = min(step, longest - begin)
                least = min(num_items[rows])
                yield _Block(rows, self._side(self.items, rows, begin, width, least), others)

    def _side(
        self, bounds: tuple[Tensor, Tensor], rows: slice, begin: int, width: int, least: int
    ) -> _Side:
        first, last = bounds[0][rows, None], bounds[1][rows, None]
        at = first + torch.arange(begin, begin + width, device=first.device)
        real = at < last
        at = at.clamp(max=self.columns.shape[1] - 1)
        return _Side(at, None if begin + width <= least else real)


def _layers(
    scores: Tensor, place: Tensor, relation: Relation, top: int
) -> tuple[list[_Layer], tuple[float, float], int]:
    """One layer for each place above 0, and `bounds` and `most` of `interpolated_sum`.

    By falling place, the items of one place, and all those above or below, are neighbours. The
    blocks depend on how many there are: reading these numbers is the only wait for the device.
    """
    columns = place.argsort(dim=1, descending=True, stable=True)
    counts = torch.stack([(place == p).sum(1) for p in range(top + 1)], dim=1)
    ends = counts.flip(1).cumsum(1).flip(1)  # column p: items of place p or more
    found = []
    for p in range(1, top + 1):
        first, last = ends[:, p] - counts[:, p], ends[:, p]
        low, high = {
            "less": (last, torch.full_like(last, place.shape[1])),
            "same": (first, last),
            "more": (torch.zeros_like(first), first),
        }[relation]
        rows = ((last - first) * (high - low)).argsort(descending=True, stable=True)
        found.append((rows, (first[rows], last[rows]), (low[rows], high[rows])))
    sizes = [last - first for _, *sides in found for first, last in sides]
    # Read at once, as numbers of one type: those of items are exact in it.
    number = torch.float32 if scores.device.type == "mps" else torch.float64
    slots = counts.to(number) @ compared_places(relation, top, place.device).to(number).sum(1)
    bounds = torch.stack([slots.amax(), *scores.detach().to(number).aminmax()])
    *read, most, low, high = torch.cat([*sizes, bounds]).tolist()
    b = len(place)
    of_side = [list(map(int, read[i * b : (i + 1) * b])) for i in range(len(sizes))]
    layers = [
        _Layer(rows, columns[rows], items, others, *of_side[2 * i : 2 * i + 2])
        for i, (rows, items, others) in enumerate(found)
    ]
    return layers, (low, high), int(most)
