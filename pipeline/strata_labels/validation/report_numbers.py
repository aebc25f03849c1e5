"""Computes the numbers of a validation report from embeddings and the items' paths."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from strata_labels.retrieval import Report, agreement, evaluate_embeddings, paired_test
from strata_labels.validation.item_paths import codes
from strata_labels.validation.moves import blocks
from strata_labels.validation.tree_comparison import by_item, finite, interval_of

#: Neighbours a retrieval sheet shows.
FIRST = 10


class Ranked:
    """Queries against their gallery: every query ranks all others where there is no gallery.

    Args:
        vectors: `[n, d]` of unit length.
        table: `level0 ...` and, where there are a query and a gallery split, `split`.
    """

    def __init__(self, vectors: Tensor, table: pd.DataFrame) -> None:
        self.table = table.reset_index(drop=True)
        self.levels = [name for name in table.columns if name.startswith("level")]
        columns = [codes(self.table[name])[0] for name in self.levels]
        self.labels = torch.from_numpy(np.stack(columns, axis=1))
        self.vectors = vectors
        in_gallery = np.zeros(len(table), bool)
        if "split" in table:
            in_gallery = (self.table["split"] == "gallery").to_numpy()
        self.alone = not in_gallery.any()
        self.queries = np.flatnonzero(~in_gallery)
        self.gallery = np.flatnonzero(in_gallery) if not self.alone else self.queries

    @property
    def query_labels(self) -> Tensor:
        """`[q, L]`."""
        return self.labels[self.queries]

    def report(self) -> Report:
        """All metrics, per query."""
        if self.alone:
            return evaluate_embeddings(self.vectors, self.labels)
        query, gallery = self.vectors[self.queries], self.vectors[self.gallery]
        return evaluate_embeddings(query, self.query_labels, gallery, self.labels[self.gallery])

    def neighbours(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """First neighbours and first errors.

        Returns:
            Rows of the `FIRST` nearest `[q, FIRST]` and their levels of agreement; and `[q]` the
            levels of agreement of the first neighbour that is not of the query's item, -1 where it
            comes only after all that are (or there is none).
        """
        rows, levels, errors = [], [], []
        top = self.labels.shape[1]
        gallery = self.vectors[self.gallery]
        labels = self.labels[self.gallery]
        for block in blocks(max(len(self.queries), len(gallery))):
            of = self.queries[block]
            if not len(of):
                break
            scores = self.vectors[of] @ gallery.T
            if self.alone:
                scores[torch.arange(len(of)), torch.from_numpy(of)] = -torch.inf
            order = scores.argsort(dim=1, descending=True, stable=True)
            if self.alone:
                order = order[:, :-1]
            found = agreement(self.labels[of], labels).gather(1, order)
            right = found == top
            wrong = (~right).int().argmax(dim=1)
            early = wrong < right.sum(dim=1)
            first = found.gather(1, wrong[:, None])[:, 0]
            errors.append(torch.where(early, first.long(), -1).numpy())
            rows.append(self.gallery[order[:, :FIRST].numpy()])
            levels.append(found[:, :FIRST].numpy())
        return np.concatenate(rows), np.concatenate(levels), np.concatenate(errors)


def report_numbers(
    frozen: Tensor, trained: Tensor, table: pd.DataFrame, names: dict[str, str]
) -> dict[str, Any]:
    """Everything a report shows as numbers.

    Args:
        frozen, trained: `[n, d]` of unit length, before and after training.
        table: `level0 ...` (text) of the same images, `split` where it matters.
        names: of nodes; a node without has its id.

    Returns:
        `metrics` (by name `frozen, trained`, their `interval`s and the paired `difference`),
        `nodes` (each node above the items: `queries, frozen, trained, interval`, the lowest
        first), `severity` (how many levels up the first wrong neighbour's common node is, `frozen`
        and `trained`), `num_queries`, `num_items`, `levels`.
    """
    before, after = Ranked(frozen, table), Ranked(trained, table)
    reports = {"frozen": before.report(), "trained": after.report()}
    labels = after.query_labels
    metrics = {}
    for name, values in reports["trained"].per_query.items():
        other = reports["frozen"].per_query[name]
        test = paired_test(by_item(other, labels), by_item(values, labels))
        metrics[name] = {
            "frozen": finite(float(other.nanmean())),
            "frozen_interval": [finite(v) for v in interval_of(other, labels)],
            "trained": finite(float(values.nanmean())),
            "interval": [finite(v) for v in interval_of(values, labels)],
            "difference": finite(test.difference),
            "difference_interval": [finite(test.low), finite(test.high)],
            "p_value": finite(test.p_value),
        }
    return {
        "num_queries": len(after.queries),
        "num_items": int(labels[:, 0].unique().numel()),
        "num_without_positives": reports["trained"].num_without_positives,
        "levels": len(after.levels),
        "metrics": metrics,
        "nodes": _nodes(after, reports, names),
        "severity": {
            "frozen": _severity(before.neighbours()[2], len(before.levels)),
            "trained": _severity(after.neighbours()[2], len(after.levels)),
        },
    }


def _nodes(
    ranked: Ranked, reports: dict[str, Report], names: dict[str, str]
) -> list[dict[str, Any]]:
    rows = []
    hap = {name: report.per_query["hap"] for name, report in reports.items()}
    recall = reports["trained"].per_query["recall_at_1_level0"]
    queries = ranked.table.iloc[ranked.queries].reset_index(drop=True)
    for level, column in enumerate(ranked.levels[1:], start=1):
        for node, at in queries.groupby(column, sort=True).indices.items():
            own = torch.from_numpy(np.array(at))
            low, high = interval_of(hap["trained"][own], ranked.query_labels[own])
            rows.append(
                {
                    "level": level,
                    "node": str(node),
                    "name": names.get(str(node), str(node)),
                    "queries": len(at),
                    "items": int(ranked.query_labels[own, 0].unique().numel()),
                    "frozen": finite(float(hap["frozen"][own].nanmean())),
                    "trained": finite(float(hap["trained"][own].nanmean())),
                    "interval": [finite(low), finite(high)],
                    "recall_at_1": finite(float(recall[own].nanmean())),
                }
            )
    return sorted(
        rows, key=lambda r: (-r["level"], r["trained"] is None, r["trained"] or 0.0, r["node"])
    )


def _severity(first_wrong: np.ndarray, num_levels: int) -> dict[str, Any]:
    """Queries by how far up the first wrong neighbour meets them: 1 is a sibling."""
    wrong = first_wrong[first_wrong >= 0]
    heights = num_levels - wrong
    return {
        "no_error": int((first_wrong < 0).sum()),
        "by_height": {str(h): int((heights == h).sum()) for h in range(1, num_levels + 1)},
        "mean_height": finite(float(heights.mean())) if len(heights) else None,
    }
