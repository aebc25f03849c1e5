"""The ranks of a block's positives, as one flat list: all that exact metrics need of a ranking."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class Hits:
    """Positives of each query in ranked order, all queries one after the other.

    Args:
        ranks: `[p]` int64, 1 is best.
        levels: `[p]` int8, levels of agreement, >= `at_least`.
        offsets: `[q + 1]` int64, query i owns the entries `offsets[i]` to `offsets[i + 1]`.
        num_levels: L.
        num_ranked: the longest list's length.
    """

    ranks: Tensor
    levels: Tensor
    offsets: Tensor
    num_levels: int
    num_ranked: int

    @classmethod
    def of(cls, levels: Tensor, num_levels: int, at_least: int = 1) -> Hits:
        """Hits of ranked levels `[q, n]` (`rank_levels`) that agree on `at_least` levels."""
        is_hit = levels >= at_least
        counts = is_hit.sum(dim=1)
        flat = is_hit.flatten().nonzero().flatten()
        length = levels.shape[1]
        start = torch.arange(len(levels), device=levels.device) * length - 1
        return cls(
            ranks=flat - start.repeat_interleave(counts, output_size=len(flat)),
            levels=levels.flatten().index_select(0, flat),
            offsets=_offsets(counts),
            num_levels=num_levels,
            num_ranked=length,
        )

    @property
    def counts(self) -> Tensor:
        """`[q]` number of hits of each query."""
        return self.offsets.diff()

    def keep(self, mask: Tensor) -> Hits:
        """The hits where `mask [p]` is true, in the same order."""
        chosen = mask.nonzero().flatten()
        # Where each query's entries begin among the chosen ones.
        offsets = torch.searchsorted(chosen, self.offsets)
        # On a CPU `index_select` is several times faster than indexing with brackets.
        return Hits(
            self.ranks.index_select(0, chosen),
            self.levels.index_select(0, chosen),
            offsets,
            self.num_levels,
            self.num_ranked,
        )

    def first(self) -> Tensor:
        """`[q]` int64: the rank of each query's first hit; means nothing where it has none."""
        return torch.nn.functional.pad(self.ranks, (0, 1), value=1)[self.offsets[:-1]]

    def order(self) -> Tensor:
        """`[p]` int64: 1 for a query's first hit, 2 for its second, and so on."""
        index = torch.arange(1, len(self.ranks) + 1, device=self.ranks.device)
        return index - self.spread(self.offsets[:-1])

    def spread(self, values: Tensor) -> Tensor:
        """Repeats one value per query `[q]` for each of its hits: `[p]`."""
        return values.repeat_interleave(self.counts, output_size=len(self.ranks))

    def total(self, values: Tensor) -> Tensor:
        """Sums values `[p]` over the hits of each query: `[q]` float64."""
        return torch.segment_reduce(values.to(torch.float64), "sum", offsets=self.offsets)


def _offsets(counts: Tensor) -> Tensor:
    return torch.nn.functional.pad(counts.cumsum(0), (1, 0))
