"""Sums over pairs of items, value and gradient block by block: memory O(B^2), never O(B^3).

Few pairs are compared one by one. Where there are many for each item, `interpolated` gives the same
sums, to the rounding of the scores' precision, in time O(B^2) instead of O(B^3).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, Protocol, overload

import torch
from torch import Tensor

from strata_labels.label_tensors import send
from strata_labels.losses.batch import Places
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
# Part of these pairs that a block may waste on padding before another one is begun.
_WASTE = 1 / 32
# What interpolation costs, in pairs: for an item, for an item and a place that it is compared with,
# and for a product of two coefficients (on a CPU, batch 1,024). A kernel's matrix has at most
# 128 MiB.
_PAIRS_OF_ITEM = 60
_PAIRS_OF_PLACE = 40
_PAIRS_OF_PRODUCT = 1 / 50
_MOST_COEFFICIENTS = 4096


class Kernel(Protocol):
    """A function of a difference of scores t = s_j - s_k, elementwise, and its derivative.

    Both are 0 at minus infinity, unless the pairs have worths.
    """

    def value(self, t: Tensor) -> Tensor: ...

    def slope(self, t: Tensor) -> Tensor: ...

    def parts(self) -> tuple[Parts, Parts] | None:
        """Value and slope for `interpolated`; None if it does not serve this kernel."""


def pair_sum(
    scores: Tensor,
    places: Places,
    kernel: Kernel,
    relation: Relation,
    worth: Tensor | None = None,
) -> Tensor:
    """For each positive k of each query, the sum over j of kernel(s_j - s_k).

    Args:
        scores: `[b, n]`, differentiable.
        places: of the items in the order to learn, 0 for non-positives.
        kernel: what is summed.
        relation: which items j are summed: those of a lesser place than k's, of the same place
            (k itself among them), or of a greater one.
        worth: `[b, n]`; each pair then counts min(worth_j, worth_k) times.

    Returns:
        `[b, n]`, 0 where the place is 0. It has a first derivative; a second one is refused.
    """
    runs = _Runs.of(places, relation)
    parts = kernel.parts() if worth is None and can_interpolate(scores) else None
    if parts:
        compared = compared_places(relation, places.top, places.counts.device)
        most = int((places.counts @ compared.sum(1)).max())

        def pays(low: float, high: float) -> bool:
            coefficients = num_coefficients(parts[0], scores.dtype, low, high)
            return _interpolates(runs.num_pairs, places, most, coefficients)

        # The bounds are the only numbers read from the device, and only where they decide.
        if pays(0.0, 0.0):
            low, high = torch.stack(scores.detach().aminmax()).tolist()
            if pays(low, high):
                bounds = (low, high)
                return interpolated_sum(
                    scores, places.at, relation, places.top, parts, bounds, most
                )
    return _PairSum.apply(scores, kernel, places.order, runs, worth)  # type: ignore[no-any-return]


def pairs_in_flight(device: torch.device) -> int:
    """How many numbers to work on at once there."""
    return _PAIRS_CPU if device.type == "cpu" else _PAIRS_GPU


def _interpolates(pairs: int, places: Places, most: int, coefficients: float) -> bool:
    """Whether interpolation costs less than the pairs; never if scores are not finite."""
    if not coefficients <= _MOST_COEFFICIENTS:
        return False
    rows, n = places.at.shape
    products = (places.top + 1) * coefficients**2
    cost = _PAIRS_OF_ITEM * n + _PAIRS_OF_PLACE * most + _PAIRS_OF_PRODUCT * products
    return pairs > rows * cost


class _PairSum(torch.autograd.Function):
    """The differences of a block are computed again for the gradient: nothing cubic is kept."""

    @staticmethod
    def forward(
        ctx: Any,
        scores: Tensor,
        kernel: Kernel,
        order: Tensor,
        runs: _Runs,
        worth: Tensor | None,
    ) -> Tensor:
        ctx.save_for_backward(scores, order, worth)
        ctx.kernel, ctx.runs = kernel, runs
        ordered, worths = _ordered(scores, order), _ordered(worth, order)
        sums = torch.zeros_like(ordered)
        for block in runs.blocks():
            block.items.add(sums, _values(kernel, *block.pairs(ordered, worths)))
        return _restored(sums, order)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        scores, order, worth = ctx.saved_tensors
        with torch.no_grad(), torch.autocast(scores.device.type, enabled=False):
            ordered, worths = _ordered(scores, order), _ordered(worth, order)
            weights = _ordered(grads[0], order)
            sums = torch.zeros_like(ordered)
            for block in ctx.runs.blocks():
                weight = block.items.take(weights, 0.0)
                pairs = block.pairs(ordered, worths)
                of_items, of_others = _gradients(ctx.kernel, weight, *pairs)
                block.items.add(sums, of_items)
                block.others.add(sums, of_others)
            result = _restored(sums, order)
        # Only where a second derivative is prepared (create_graph=True).
        if torch.is_grad_enabled():
            result = OnlyOnce.apply(result, scores)
        return result, None, None, None, None


@overload
def _ordered(values: Tensor, order: Tensor) -> Tensor: ...
@overload
def _ordered(values: None, order: Tensor) -> None: ...
def _ordered(values: Tensor | None, order: Tensor) -> Tensor | None:
    """`[b n]` the values of each query by falling place, a query after the other."""
    return None if values is None else values.gather(1, order).flatten()


def _restored(ordered: Tensor, order: Tensor) -> Tensor:
    return torch.empty_like(ordered).view_as(order).scatter_(1, order, ordered.view_as(order))


def _values(
    kernel: Kernel, items: Tensor, others: Tensor, worths: tuple[Tensor, Tensor] | None
) -> Tensor:
    """`[r, items]` the sums over j; of scores `[r, items]` and `[r, others]`."""
    return _weighted(kernel.value(others.unsqueeze(1) - items.unsqueeze(2)), worths).sum(2)


def _gradients(
    kernel: Kernel,
    weight: Tensor,
    items: Tensor,
    others: Tensor,
    worths: tuple[Tensor, Tensor] | None,
) -> tuple[Tensor, Tensor]:
    """Gradients `[r, items]` and `[r, others]`, of sums that count `weight [r, items]` each."""
    slope = _weighted(kernel.slope(others.unsqueeze(1) - items.unsqueeze(2)), worths)
    return -weight * slope.sum(2), torch.bmm(weight.unsqueeze(1), slope).squeeze(1)


def _weighted(values: Tensor, worths: tuple[Tensor, Tensor] | None) -> Tensor:
    if worths is None:
        return values
    of_items, of_others = worths
    return values.mul_(torch.minimum(of_others.unsqueeze(1), of_items.unsqueeze(2)))


@dataclass
class _Side:
    """Some items of each run, padded: `at [r, m]` and `real [r, m]`, or None if all are real."""

    at: Tensor
    real: Tensor | None

    def take(self, ordered: Tensor, padding: float | None = None) -> Tensor:
        """Their values; where padded, of any item if `padding` is None."""
        taken = ordered[self.at]
        if self.real is None or padding is None:
            return taken
        return taken.where(self.real, padding)

    def add(self, ordered: Tensor, values: Tensor) -> None:
        if self.real is not None:
            values = values.where(self.real, 0.0)  # what is not real may have overflowed
        ordered.scatter_add_(0, self.at.flatten(), values.flatten())


@dataclass
class _Block:
    """Some runs with their items k and the others j that each k is compared with."""

    items: _Side
    others: _Side

    def pairs(
        self, scores: Tensor, worth: Tensor | None
    ) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor] | None]:
        """Scores of the items and of the others, and their worths."""
        if worth is None:
            # Kernels are 0 there, which saves a mask of the pairs.
            return self.items.take(scores), self.others.take(scores, -torch.inf), None
        worths = self.items.take(worth), self.others.take(worth, 0.0)
        return self.items.take(scores), self.others.take(scores), worths


class _Cut(NamedTuple):
    """A block before it is made: runs, and of the items and the others of each, which.

    `first_item` is counted from the run's first; `full` says that no run needs padding.
    """

    runs: slice
    first_item: int
    items: int
    items_full: bool
    others: int
    others_full: bool


@dataclass
class _Runs:
    """The items k of one place of one query, and the others j: both are ranges of `_ordered`.

    Of each place, those with the most pairs come first, so that runs side by side have about
    equally many and little is wasted on padding.

    Args:
        bounds: `[4, r]` on the host: where items begin, their number, where others begin, and their
            number.
        num_pairs: of all runs.
        rows, size: number of queries, and length of `_ordered`.
        device: of the scores.
    """

    bounds: Tensor
    num_pairs: int
    rows: int
    size: int
    device: torch.device

    @classmethod
    def of(cls, places: Places, relation: Relation) -> _Runs:
        """All runs that have pairs."""
        counts = places.counts
        upto = counts.flip(1).cumsum(1).flip(1)  # of a place or a higher one
        n = upto[:, :1]
        number, end = counts[:, 1:], upto[:, 1:]
        begin = end - number
        others, num_others = {
            "less": (end, n - end),
            "same": (begin, number),
            "more": (torch.zeros_like(begin), begin),
        }[relation]
        row = torch.arange(len(counts), device=counts.device)[:, None] * n
        pairs = (number * num_others).T
        bounds = torch.stack([row + begin, number, row + others, num_others]).transpose(1, 2)
        by_pairs = pairs.argsort(dim=1, descending=True, stable=True)
        bounds = bounds.gather(2, by_pairs.expand_as(bounds))
        bounds = bounds.flatten(1)[:, pairs.gather(1, by_pairs).flatten() > 0]
        size = places.at.numel()
        return cls(bounds, int(pairs.sum()), len(counts), size, places.at.device)

    def blocks(self) -> Iterator[_Block]:
        """All pairs, as many at once as may be in flight, a run at least."""
        bounds = send(self.bounds, self.device)
        columns = torch.arange(self.size // self.rows, device=self.device)
        for cut in self._cuts:
            begin, number, others, num_others = bounds[:, cut.runs, None]
            items = columns[cut.first_item : cut.first_item + cut.items]
            yield _Block(
                self._side(begin, number, items, cut.items_full),
                self._side(others, num_others, columns[: cut.others], cut.others_full),
            )

    def _side(self, begin: Tensor, number: Tensor, columns: Tensor, full: bool) -> _Side:
        if full:
            return _Side(begin + columns, None)
        return _Side((begin + columns).clamp_(max=self.size - 1), columns < number)

    @cached_property
    def _cuts(self) -> list[_Cut]:
        budget = pairs_in_flight(self.device)
        numbers, others = self.bounds[1].tolist(), self.bounds[3].tolist()
        cuts = []
        start = 0
        while start < len(numbers):
            longest = widest = pairs = 0
            stop = start
            while stop < len(numbers):
                most = max(longest, numbers[stop]), max(widest, others[stop])
                pairs += numbers[stop] * others[stop]
                padded = (stop + 1 - start) * most[0] * most[1]
                if stop > start and (padded > budget or padded - pairs > _WASTE * budget):
                    break
                (longest, widest), stop = most, stop + 1
            runs, start = slice(start, stop), stop
            shortest, narrowest = min(numbers[runs]), min(others[runs])
            step = max(1, budget // widest)
            for first in range(0, longest, step):
                width = min(step, longest - first)
                full = first + width <= shortest
                cuts.append(_Cut(runs, first, width, full, widest, narrowest == widest))
        return cuts
