"""Sums over pairs of items, value and gradient block by block: memory O(B^2), never O(B^3)."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, Protocol, overload

import torch
from torch import Tensor

# Pairs in flight. On a CPU a block should stay in the cache, on a GPU it should fill the device.
_PAIRS_CPU = 1 << 18
_PAIRS_GPU = 1 << 25
# From so many pairs on, a GPU's steps are compiled into one kernel each: some ten passes over the
# device's memory become one or two. It takes seconds once in a process, so it must pay.
_PAIRS_FUSED = 1 << 31

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
    layers = _layers(place, relation, top)
    pairs = sum(sum(map(int.__mul__, each.num_items, each.num_others)) for each in layers)
    fused = _fuses(scores.device, pairs)
    return _PairSum.apply(scores, kernel, layers, worth, fused)  # type: ignore[no-any-return]


def _fuses(device: torch.device, pairs: int) -> bool:
    return device.type == "cuda" and pairs >= _PAIRS_FUSED


@functools.cache
def _compiled(compute: Callable[..., Any]) -> Callable[..., Any]:
    """Of any shapes; where there is nothing to compile with, torch warns and runs it as it is."""
    fast = torch.compile(compute, dynamic=True)

    def run(*values: Any) -> Any:
        with torch._dynamo.config.patch(suppress_errors=True):  # type: ignore[attr-defined]
            return fast(*values)

    return run


class _PairSum(torch.autograd.Function):
    """The differences of a block are computed again for the gradient: nothing cubic is kept."""

    @staticmethod
    def forward(
        ctx: Any,
        scores: Tensor,
        kernel: Kernel,
        layers: list[_Layer],
        worth: Tensor | None,
        fused: bool,
    ) -> Tensor:
        ctx.save_for_backward(scores, worth)
        ctx.kernel, ctx.layers, ctx.fused = kernel, layers, fused
        compute = _compiled(_values) if fused else _values
        result = torch.zeros_like(scores)
        for layer in layers:
            ordered, worths = layer.order(scores), layer.order(worth)
            sums = torch.zeros_like(ordered)
            for block in layer.blocks():
                block.add(sums, block.items, compute(kernel, *block.pairs(ordered, worths)))
            layer.restore(result, sums)
        return result

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None, None]:
        scores, worth = ctx.saved_tensors
        compute = _compiled(_gradients) if ctx.fused else _gradients
        with torch.no_grad(), torch.autocast(scores.device.type, enabled=False):
            result = torch.zeros_like(scores)
            for layer in ctx.layers:
                ordered, worths = layer.order(scores), layer.order(worth)
                weights = layer.order(grads[0])
                sums = torch.zeros_like(ordered)
                for block in layer.blocks():
                    weight = block.take(weights, block.items)
                    of_items, of_others = compute(ctx.kernel, weight, *block.pairs(ordered, worths))
                    block.add(sums, block.items, of_items)
                    block.add(sums, block.others, of_others)
                layer.restore(result, sums)
        # Only where a second derivative is prepared (create_graph=True).
        if torch.is_grad_enabled():
            result = _OnlyOnce.apply(result, scores)
        return result, None, None, None, None


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


class _OnlyOnce(torch.autograd.Function):
    """A gradient as it is; deriving it again raises instead of giving 0."""

    @staticmethod
    def forward(ctx: Any, gradient: Tensor, scores: Tensor) -> Tensor:
        return gradient.view_as(gradient)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        raise RuntimeError("rank losses have no second derivative")


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


def _layers(place: Tensor, relation: Relation, top: int) -> list[_Layer]:
    """One layer for each place above 0.

    By falling place, the items of one place, and all those above or below, are neighbours. The
    blocks depend on how many there are: reading that is the only wait for the device.
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
    sizes = torch.stack(
        [torch.stack([last - first, high - low]) for _, (first, last), (low, high) in found]
    ).tolist()
    return [
        _Layer(rows, columns[rows], items, others, *numbers)
        for (rows, items, others), numbers in zip(found, sizes, strict=True)
    ]
