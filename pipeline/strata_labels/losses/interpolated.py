"""Sums over pairs of items without the pairs: time in proportion to the items.

The scores are cut into boxes so narrow that within a box a kernel of s_j - s_k is a polynomial in
s_j and in s_k, as exactly as the arithmetic is. Of the items j in a box only the moments count; a
matrix product takes them to the polynomials of the items k (the black-box fast multipole method of
Fong and Darve, 2009, in one dimension and without its hierarchy). Where a kernel changes its form,
at a jump or where a linear branch begins, the items of that box are divided by their order. There,
scores that differ by less than 1e-15 of their range count as equal.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import torch
from torch import Tensor

# Coefficients for a box as wide as the kernel's scale, so that the error is below the rounding of
# scores of this precision. All is computed in double precision.
_TERMS = {torch.float32: 8, torch.float64: 14}
# Items at once. On a CPU they should stay in the cache, on a GPU they should fill the device.
_ITEMS_CPU = 1 << 16
_ITEMS_GPU = 1 << 21

Relation = Literal["less", "same", "more"]
Changes = tuple[tuple[float, Callable[[Tensor], Tensor]], ...]


@dataclass(frozen=True)
class Parts:
    """A kernel of t = s_j - s_k: `smooth(t)`, plus `change(t)` for all t > `at`.

    Args:
        scale: a box is at most so wide; tau for functions of sigma(t / tau), which polynomials
            approach by a digit with each coefficient.
        smooth: function of t, elementwise.
        changes: pairs `(at, change)`; each `at` is 0, or the same length > 0.
    """

    scale: float
    smooth: Callable[[Tensor], Tensor]
    changes: Changes = ()

    @property
    def width(self) -> float:
        """Of a box, so that each change is a whole number of boxes away."""
        last = max((at for at, _ in self.changes), default=0.0)
        return last / math.ceil(last / self.scale) if last else self.scale


def can_interpolate(scores: Tensor) -> bool:
    """Whether these scores can be interpolated: double precision is needed, which MPS lacks."""
    return scores.dtype in _TERMS and scores.device.type != "mps"


def num_coefficients(parts: Parts, dtype: torch.dtype, low: float, high: float) -> float:
    """Of all boxes over the scores `low ... high`; not a number if these are not."""
    return ((high - low) / parts.width + 3) * _TERMS[dtype]


def compared_places(relation: Relation, top: int, device: torch.device) -> Tensor:
    """`[top + 1, top + 1]` bool, of the places of k and j: whether k > 0 is compared with j."""
    place = torch.arange(top + 1, device=device)
    k, j = place[:, None], place
    return (k > 0) & {"less": j < k, "same": j == k, "more": j > k}[relation]


def interpolated_sum(
    scores: Tensor,
    place: Tensor,
    relation: Relation,
    top: int,
    parts: tuple[Parts, Parts],
    bounds: tuple[float, float],
    most: int,
) -> Tensor:
    """`[b, n]`: as `pairwise.pair_sum`, of the kernel whose value and slope are `parts`.

    Args:
        bounds: of the scores.
        most: greatest number, in any row, of pairs of an item k and a place that it is compared
            with.
    """
    line = _Line(parts[0].width, *bounds, top, _TERMS[scores.dtype], scores.device)
    pairs = compared_places(relation, top, scores.device)
    return _InterpolatedSum.apply(scores, place, line, parts, pairs, most)  # type: ignore[no-any-return]


class _InterpolatedSum(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        scores: Tensor,
        place: Tensor,
        line: _Line,
        parts: tuple[Parts, Parts],
        pairs: Tensor,
        most: int,
    ) -> Tensor:
        result, slopes = torch.zeros_like(scores), torch.zeros_like(scores)
        kernels = [line.kernel(each) for each in parts]
        for rows in line.chunks(scores, most):
            items = _Items(scores[rows], place[rows], None, line)
            slots = items.slots(pairs, most)
            result[rows] = items.sums(pairs, kernels[0], slots, parts[0].changes)
            if ctx.needs_input_grad[0]:
                slopes[rows] = items.sums(pairs, kernels[1], slots, parts[1].changes)
        ctx.save_for_backward(scores, place, slopes, kernels[1], pairs)
        ctx.rest = line, parts[1].changes, most
        return result

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        scores, place, slopes, kernel, pairs = ctx.saved_tensors
        line, changes, most = ctx.rest
        with torch.no_grad(), torch.autocast(scores.device.type, enabled=False):
            weights = grads[0] * (place > 0)
            result = -weights * slopes
            for rows in line.chunks(scores, most):
                items = _Items(scores[rows], place[rows], weights[rows], line)
                slots = items.slots(pairs, most)
                result[rows] += items.sums_of_others(pairs, kernel, slots, changes)
        # Only where a second derivative is prepared (create_graph=True).
        if torch.is_grad_enabled():
            result = OnlyOnce.apply(result, scores)
        return result, None, None, None, None, None


class OnlyOnce(torch.autograd.Function):
    """A gradient as it is; deriving it again raises instead of giving 0."""

    @staticmethod
    def forward(ctx: Any, gradient: Tensor, scores: Tensor) -> Tensor:
        return gradient.view_as(gradient)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        raise RuntimeError("rank losses have no second derivative")


class _Line:
    """Boxes over the scores `low ... high`, with an empty one at either end, for each place.

    The places lie one behind the other: an item's point is its score, from the first box of its
    place, and one order of all points has those of a place together, by their scores.
    """

    def __init__(
        self, width: float, low: float, high: float, top: int, terms: int, device: torch.device
    ) -> None:
        self.width, self.low, self.top, self.terms = width, low - width, top, terms
        self.device = device
        self.boxes = int((high - low) / width) + 3

    def chunks(self, scores: Tensor, most: int) -> list[slice]:
        b, n = scores.shape
        step = max(1, (_ITEMS_CPU if scores.device.type == "cpu" else _ITEMS_GPU) // max(n, most))
        return [slice(begin, begin + step) for begin in range(0, b, step)]

    def points(self, above: Tensor, place: Tensor) -> Tensor:
        """Of scores less `low`."""
        return above + place.double() * (self.boxes * self.width)

    @cached_property
    def nodes(self) -> tuple[Tensor, Tensor]:
        """`[c]` from a box's middle, and `[c, c]` from values there to Chebyshev coefficients."""
        degree = torch.arange(self.terms, device=self.device, dtype=torch.float64)
        angles = (degree + 0.5) * (math.pi / self.terms)
        fit = (degree[:, None] * angles).cos() * torch.where(degree > 0, 2.0, 1.0)[:, None]
        return angles.cos() * (self.width / 2), fit / self.terms

    def kernel(self, parts: Parts) -> Tensor:
        """`[boxes c, boxes c]`: from moments of the items j to coefficients for the items k."""
        nodes, fit = self.nodes
        apart = torch.arange(1 - self.boxes, self.boxes, device=self.device)
        t = apart.double()[:, None, None] * self.width + nodes[:, None] - nodes
        values = parts.smooth(t)  # [boxes apart, node of j, node of k]
        for at, change in parts.changes:
            beyond = apart > round(at / self.width)
            values += torch.where(beyond[:, None, None], change(t), 0.0)
        values = fit @ values @ fit.T
        box = torch.arange(self.boxes, device=self.device)
        found = values[box[:, None] - box + self.boxes - 1]  # [box of j, box of k, c, c]
        return found.transpose(1, 2).flatten(2).flatten(0, 1)


@dataclass
class _Slots:
    """`[r, m]` items k, each with one of the places that it is compared with.

    Args:
        item: column of k.
        weight: how often k counts; 0 where a row has fewer slots.
        source: the other place.
        box, above: of k; `above` is its score less the least one.
    """

    item: Tensor
    weight: Tensor
    source: Tensor
    box: Tensor
    above: Tensor


class _Items:
    """Some rows of items, `[r, n]`, by place and score; `weights`: how often each counts."""

    def __init__(self, scores: Tensor, place: Tensor, weights: Tensor | None, line: _Line) -> None:
        self.line, self.dtype = line, scores.dtype
        above = scores.double() - line.low
        # By place, then by score: points would tie where scores differ by less than their rounding.
        by_score = above.argsort(dim=1, stable=True)
        by_place = place.gather(1, by_score).argsort(dim=1, stable=True)
        self.order = by_score.gather(1, by_place)
        self.above, self.place = above.gather(1, self.order), place.gather(1, self.order)
        self.points = line.points(self.above, self.place)
        self.weights = None if weights is None else weights.double().gather(1, self.order)
        # An item has one box, whatever place it is compared with: rounding must not move it.
        at = self.above / line.width
        box = at.floor()
        self.box, u = box.long(), (at - box).mul_(2).sub_(1)
        terms, twice = [torch.ones_like(u), u], 2 * u
        for _ in range(line.terms - 2):
            terms.append((twice * terms[-1]).sub_(terms[-2]))
        self.terms = torch.stack(terms, dim=2)  # [r, n, c] Chebyshev polynomials
        self.at_place = self.place * line.boxes + self.box
        counted = self.terms if self.weights is None else self.terms * self.weights.unsqueeze(2)
        # `[r, n + 1, c]` moments of the first items, and `[r, boxes + 1]` where each box begins.
        self.upto = torch.nn.functional.pad(counted.cumsum(1), (0, 0, 1, 0))
        edges = torch.arange((line.top + 1) * line.boxes + 1, device=box.device)
        self.edges = torch.searchsorted(self.at_place, edges.expand(len(box), -1).contiguous())

    def slots(self, pairs: Tensor, most: int) -> _Slots:
        """All slots; `pairs [top + 1, top + 1]` says which places are compared."""
        line, number = self.line, pairs.sum(1)[self.place]
        ends = number.cumsum(1)
        slot = torch.arange(most, device=ends.device).expand(len(ends), -1).contiguous()
        item = torch.searchsorted(ends, slot, right=True)
        real = item < ends.shape[1]
        item.clamp_(max=ends.shape[1] - 1)
        own = self.place.gather(1, item)
        nth = slot - (ends - number).gather(1, item)
        source = (pairs.int().argmax(1)[own] + nth).clamp_(max=line.top)
        return _Slots(
            item,
            real.double() if self.weights is None else self.weights.gather(1, item) * real,
            source,
            self.box.gather(1, item),
            self.above.gather(1, item),
        )

    def sums(self, pairs: Tensor, kernel: Tensor, slots: _Slots, changes: Changes) -> Tensor:
        """`[r, n]` for each item k, the sums over j; a row in its own order."""
        result = self._smooth(pairs, kernel)
        for at, change in changes:
            first, end, fitted = self._divided(slots, at, change)
            beyond = _at(self.upto, end) - _at(self.upto, first)
            result.scatter_add_(1, slots.item, (beyond * fitted).sum(2))
        return self._restored(result)

    def sums_of_others(
        self, pairs: Tensor, kernel: Tensor, slots: _Slots, changes: Changes
    ) -> Tensor:
        """`[r, n]` for each item j, the sums over k, each of its weight."""
        result = self._smooth(pairs.T, kernel.T)
        for at, change in changes:
            first, end, fitted = self._divided(slots, at, change)
            # Each slot counts from its first item j to the last of the box.
            begun = torch.zeros_like(self.upto)
            for position, sign in ((first, 1), (end, -1)):
                columns = position.unsqueeze(2).expand_as(fitted)
                begun.scatter_add_(1, columns, fitted * sign)
            result += (begun.cumsum(1)[:, :-1] * self.terms).sum(2)
        return self._restored(result)

    def _smooth(self, pairs: Tensor, kernel: Tensor) -> Tensor:
        """The sums that no box is divided for, in the order of points."""
        moments = _at(self.upto, self.edges).diff(dim=1).unflatten(1, (len(pairs), -1))
        there = (pairs.double() @ moments.flatten(2)) @ kernel
        there = there.unflatten(2, (self.line.boxes, -1)).flatten(1, 2)
        return (_at(there, self.at_place) * self.terms).sum(2)

    def _divided(
        self, slots: _Slots, at: float, change: Callable[[Tensor], Tensor]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Of the box that a change divides: the first item beyond, the end, and for each slot its
        weight times the coefficients `[r, m, c]` of the change.
        """
        line = self.line
        # Beyond the last score there is an empty box.
        box = (slots.box + round(at / line.width)).clamp_(max=line.boxes - 1)
        begin = slots.source * line.boxes + box
        begin, end = self.edges.gather(1, begin), self.edges.gather(1, begin + 1)
        point = line.points(slots.above, slots.source) + at
        first = torch.searchsorted(self.points, point, right=True)
        first = torch.minimum(torch.maximum(first, begin), end)
        nodes, fit = line.nodes
        t = (box.double() + 0.5) * line.width - slots.above
        values = change(t.unsqueeze(2) + nodes) @ fit.T
        return first, end, values * slots.weight.unsqueeze(2)

    def _restored(self, result: Tensor) -> Tensor:
        return torch.empty_like(result).scatter_(1, self.order, result).to(self.dtype)


def _at(values: Tensor, positions: Tensor) -> Tensor:
    """`[r, m, c]` of `values [r, n, c]` those at `positions [r, m]`."""
    first = torch.arange(len(values), device=values.device)[:, None] * values.shape[1]
    return values.flatten(0, 1)[positions + first]
