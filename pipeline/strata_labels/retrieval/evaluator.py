"""Streaming evaluation of embeddings: blocks of queries, memory O(block x gallery)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from strata_labels.label_tensors import agreement, check_labels, check_nested, check_tensor
from strata_labels.retrieval import metrics
from strata_labels.retrieval.hits import Hits
from strata_labels.retrieval.ranked_levels import rank_levels
from strata_labels.retrieval.relevance import Pop, Relevance
from strata_labels.retrieval.similarity import Similarity, prepare

RECALL_KS = (1, 5, 10)
AP_K = 10
# Pairs of query and gallery item in flight; each takes at most about 60 bytes.
_PAIRS_CPU = 1 << 20
_PAIRS_GPU = 1 << 26


@dataclass
class Report:
    """Metrics of one evaluation.

    Args:
        per_query: `[q]` float64 by metric name, on the CPU, NaN where a query has no positive.
        num_queries: q.
        num_without_positives: queries without a positive at any level.
    """

    per_query: dict[str, Tensor]
    num_queries: int
    num_without_positives: int
    means: dict[str, float] = field(init=False)

    def __post_init__(self) -> None:
        self.means = {name: float(values.nanmean()) for name, values in self.per_query.items()}


def evaluate_embeddings(
    query: Tensor,
    query_labels: Tensor,
    gallery: Tensor | None = None,
    gallery_labels: Tensor | None = None,
    *,
    similarity: Similarity = "cosine",
    relevance: Relevance | None = None,
    relevance_counts_query: bool = False,
    recall_ks: Sequence[int] = RECALL_KS,
    self_id: Tensor | None = None,
    ignore: Sequence[Sequence[int] | Tensor] | None = None,
    extra: Mapping[str, Callable[[Tensor], Tensor]] | None = None,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
    block_size: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> Report:
    """Ranks a gallery for every query and computes all hierarchical and per-level metrics.

    The names are `hap`, `asi`, `ndcg` and, for each column c of the labels (0 the finest),
    `ap_level{c}`, `map_at_r_level{c}`, `recall_at_{1,5,10}_level{c}` (hit rate),
    `ap_at_10_level{c}` and `mrr_level{c}` (1 / rank of the first positive).

    Args:
        query: `[q, d]` embeddings.
        query_labels: `[q, L]` integers, nested, column 0 the finest level.
        gallery: `[n, d]` embeddings; None: each query ranks all the other queries.
        gallery_labels: `[n, L]`.
        similarity: "cosine" (of unit vectors), "dot" or "euclidean".
        relevance: relevance by level for H-AP; `Pop()` if None.
        relevance_counts_query: see `hap`.
        recall_ks: k of the hit rates; SOP's papers have 1, 10, 100, 1000, iNaturalist's 1, 4, 16,
            32. 1, 5 and 10 are reported besides.
        self_id: `[q]` gallery position of each query itself, -1 where it is not in the gallery.
            That item is not ranked. Only with a gallery; without one it is known.
        ignore: for each query, gallery positions that are not ranked (junk images).
        extra: more metrics by name: functions of ranked levels `[b, n]` that give `[b]`, such as
            `lambda levels: precision_at_k(levels, 5, at_least=2)`.
        dtype: precision of the scores: float64, float32 or bfloat16 (embeddings are rounded to
            bfloat16, products are summed in single precision). None: float64 for float64
            embeddings, float32 for all others.
        device: where to compute; the queries' device if None.
        block_size: queries at a time; chosen from the gallery's size if None.
        progress: called after each block with the number of queries just done.

    Raises:
        ValueError: with the argument and the value: shapes that do not match, labels that are not
            nested, embeddings that are not finite or, for cosine, not of unit length, a gallery
            that is empty or has fewer than 10 items.
    """
    check_tensor(query, "query")
    device = torch.device(device) if device is not None else query.device
    alone = gallery is None
    if alone != (gallery_labels is None):
        raise ValueError("gallery and gallery_labels must be given together")
    if alone and self_id is not None:
        raise ValueError("self_id needs a gallery: without one each query leaves itself out")
    query_labels = check_labels(query_labels, "query_labels")
    _check_lengths("query", query, query_labels)
    labels = query_labels
    if gallery is not None and gallery_labels is not None:
        check_tensor(gallery, "gallery")
        gallery_labels = check_labels(gallery_labels, "gallery_labels")
        _check_lengths("gallery", gallery, gallery_labels)
        if gallery_labels.shape[1] != query_labels.shape[1]:
            raise ValueError(
                f"query_labels and gallery_labels must have the same levels, got "
                f"{query_labels.shape[1]} and {gallery_labels.shape[1]}"
            )
        labels = torch.cat([query_labels, gallery_labels.to(query_labels.device)])
    check_nested(labels)
    if dtype is None:
        dtype = torch.float64 if query.dtype == torch.float64 else torch.float32
    left, right = prepare(query, gallery, similarity, dtype, device)
    labels = _compact(labels).to(device)
    query_labels, gallery_labels = labels[: len(left)], labels[-len(right) :]
    if alone:
        self_id = torch.arange(len(left))
    rows, columns = _not_ranked(len(left), len(right), self_id, ignore)
    smallest = len(right) - (1 if alone else 0)
    # `not >=` and not `<`: for NaN both are false. Infinity has no remainder.
    if wrong := [k for k in recall_ks if not k >= 1 or k % 1 != 0]:
        raise ValueError(f"recall_ks must be whole numbers >= 1, got {wrong[0]}")
    ks = sorted({*RECALL_KS, *map(int, recall_ks)})
    largest_k = max(*ks, AP_K)
    if smallest < largest_k:
        raise ValueError(f"k = {largest_k} is larger than the gallery: {smallest} items to rank")

    parts: list[dict[str, Tensor]] = []
    for start, stop in _blocks(len(left), len(right), block_size, device):
        levels = agreement(query_labels[start:stop], gallery_labels)
        first, last = torch.searchsorted(rows, torch.tensor([start, stop])).tolist()
        levels[rows[first:last].to(device) - start, columns[first:last].to(device)] = -1
        # Under autocast the scores would be half precision: R@1 changes by tenths of a point.
        with torch.autocast(device.type, enabled=False):
            ranked = rank_levels(right.scores(left[start:stop]), levels)
            del levels
            values = _all_metrics(
                ranked, labels.shape[1], relevance or Pop(), relevance_counts_query, ks
            )
        for name, function in (extra or {}).items():
            values[name] = function(ranked)
        parts.append({name: value.to("cpu", torch.float64) for name, value in values.items()})
        if progress is not None:
            progress(stop - start)
    per_query = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    return Report(per_query, len(left), int(per_query["asi"].isnan().sum()))


def _all_metrics(
    ranked: Tensor,
    num_levels: int,
    relevance: Relevance,
    relevance_counts_query: bool,
    recall_ks: Sequence[int],
) -> dict[str, Tensor]:
    """Every metric of one block, from one list of hits."""
    nested = metrics.positives(Hits.of(ranked, num_levels))
    whole, early = zip(*(metrics.precision_sums(hits) for hits in nested), strict=True)
    values = {
        "hap": metrics.hap_of(nested, relevance, relevance_counts_query, torch.stack(whole, 1)),
        "asi": metrics.asi_of(nested),
        "ndcg": metrics.ndcg_of(nested),
    }
    for column in range(num_levels):
        at_least = num_levels - column
        counts = nested[at_least - 1].counts.double()
        counts = torch.where(counts > 0, counts, torch.nan)
        values[f"ap_level{column}"] = whole[at_least - 1] / counts
        values[f"map_at_r_level{column}"] = early[at_least - 1] / counts
        first = nested[at_least - 1].first()
        values[f"mrr_level{column}"] = torch.where(counts > 0, 1 / first.double(), torch.nan)
        for k in recall_ks:
            values[f"recall_at_{k}_level{column}"] = torch.where(
                counts > 0, (first <= k).double(), torch.nan
            )
        top = ranked[:, :AP_K] >= at_least
        found = top.cumsum(1)
        precision = found / torch.arange(1, AP_K + 1, device=top.device, dtype=torch.float64)
        values[f"ap_at_{AP_K}_level{column}"] = (precision * top).sum(1) / counts.clamp(max=AP_K)
    return values


def _compact(labels: Tensor) -> Tensor:
    """Renumbers each column to 0, 1, ... in 32 bits: compared faster, equal where equal before."""
    columns = [column.unique(return_inverse=True)[1] for column in labels.T]
    return torch.stack(columns, dim=1).to(torch.int32)


def _not_ranked(
    num_queries: int,
    num_gallery: int,
    self_id: Tensor | None,
    ignore: Sequence[Sequence[int] | Tensor] | None,
) -> tuple[Tensor, Tensor]:
    """Pairs (query, gallery position) to leave out, sorted by query."""
    rows, columns = [], []
    if self_id is not None:
        if self_id.shape != (num_queries,):
            raise ValueError(
                f"self_id must have shape ({num_queries},), got {tuple(self_id.shape)}"
            )
        self_id = self_id.to("cpu", torch.int64)
        known = (self_id != -1).nonzero().flatten()
        rows.append(known)
        columns.append(self_id[known])
    if ignore is not None:
        if len(ignore) != num_queries:
            raise ValueError(f"ignore must have {num_queries} entries, got {len(ignore)}")
        lists = [torch.as_tensor(junk, dtype=torch.int64).flatten().cpu() for junk in ignore]
        lengths = torch.tensor([len(junk) for junk in lists])
        rows.append(torch.arange(num_queries).repeat_interleave(lengths))
        columns.append(torch.cat(lists))
    if not rows:
        return torch.zeros(0, dtype=torch.int64), torch.zeros(0, dtype=torch.int64)
    row, column = torch.cat(rows), torch.cat(columns)
    wrong = (column < 0) | (column >= num_gallery)
    if bool(wrong.any()):
        at = int(wrong.nonzero()[0])
        raise ValueError(
            f"self_id and ignore must be gallery positions in 0 ... {num_gallery - 1}, "
            f"got {column[at].item()} for query {row[at].item()}"
        )
    row, order = row.sort(stable=True)
    return row, column[order]


def _check_lengths(name: str, embeddings: Tensor, labels: Tensor) -> None:
    if embeddings.ndim and len(embeddings) != len(labels):
        raise ValueError(
            f"{name} and {name}_labels must have the same length, got {len(embeddings)} "
            f"and {len(labels)}"
        )


def _blocks(
    num_queries: int, num_gallery: int, block_size: int | None, device: torch.device
) -> Iterator[tuple[int, int]]:
    if block_size is None:
        pairs = _PAIRS_CPU if device.type == "cpu" else _PAIRS_GPU
        block_size = max(1, pairs // num_gallery)
    if block_size < 1:
        raise ValueError(f"block_size must be >= 1, got {block_size}")
    for start in range(0, num_queries, block_size):
        yield start, min(start + block_size, num_queries)
