"""Metrics beside those of two public libraries: `python -m benchmarks.peers`.

Wants torchmetrics and pytorch-metric-learning, in an environment of their own:

    python -m venv PEERS && PEERS/bin/pip install . torchmetrics pytorch-metric-learning

Random data with ties, queries without positives, classes of one item and half precision; values are
compared query by query. Neither library says how it orders ties, so both are given the order that
Strata documents (the gallery's), as scores without ties.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator
from typing import Any

import torch
from strata_labels.retrieval import evaluate_embeddings
from torch import Tensor

QUERIES, GALLERY, DIM, LEVELS = 24, 60, 8, 3
TOLERANCE = 1e-6
CASES = ("plain", "ties", "queries without positives", "classes of one item", "half precision")
Values = dict[str, Tensor]


def data(case: str, seed: int) -> tuple[Tensor, Tensor]:
    """Embeddings `[QUERIES + GALLERY, DIM]` and their labels `[..., LEVELS]`."""
    generator = torch.Generator().manual_seed(seed)
    number = QUERIES + GALLERY
    embeddings = torch.randn(number, DIM, generator=generator)
    if case == "ties":  # eight directions
        embeddings = torch.eye(DIM)[torch.randint(DIM, (number,), generator=generator)]
    embeddings = torch.nn.functional.normalize(embeddings, dim=1)
    if case == "half precision":
        embeddings = embeddings.half()
    classes = 200 if case == "classes of one item" else 12
    fine = torch.randint(classes, (number,), generator=generator)
    if case == "queries without positives":
        fine[: QUERIES // 3] += 6 * classes
    return embeddings, torch.stack([fine // divisor for divisor in (1, 3, 6)], dim=1)


def torchmetrics_values(scores: Tensor, agreement: Tensor) -> Iterator[tuple[str, float]]:
    """Values of one query by our names, from scores and levels of agreement `[n]`."""
    from torchmetrics.functional import retrieval as peer

    for level in range(LEVELS):
        hit = agreement >= LEVELS - level
        yield f"ap_level{level}", float(peer.retrieval_average_precision(scores, hit))
        yield f"mrr_level{level}", float(peer.retrieval_reciprocal_rank(scores, hit))
        for k in (1, 5, 10):
            found = float(peer.retrieval_hit_rate(scores, hit, top_k=k))
            yield f"recall_at_{k}_level{level}", found
        # Theirs divides by the positives found among the first 10, ours by min(positives, 10).
        found = float(peer.retrieval_average_precision(scores, hit, top_k=10))
        shown = int(hit[scores.argsort(descending=True)[:10]].sum())
        yield f"ap_at_10_level{level}", found * shown / max(1, min(int(hit.sum()), 10))
    # Theirs is linear in the target, ours has the gain 2^l - 1.
    yield "ndcg", float(peer.retrieval_normalized_dcg(scores, 2**agreement - 1))


def metric_learning_values(scores: Tensor, agreement: Tensor) -> Iterator[tuple[str, float]]:
    """The same of pytorch-metric-learning."""
    from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator

    order = scores.argsort(descending=True)[None]

    def neighbours(query: Tensor, k: int, *_: Any) -> tuple[Tensor, Tensor]:
        return -scores[order[:, :k]], order[:, :k]

    names = {
        "mean_average_precision": "ap",
        "mean_average_precision_at_r": "map_at_r",
        "mean_reciprocal_rank": "mrr",
        "precision_at_1": "recall_at_1",
    }
    calculator = AccuracyCalculator(
        include=tuple(names),
        knn_func=neighbours,
        kmeans_func=neighbours,
        device=torch.device("cpu"),
    )
    for level in range(LEVELS):
        hit = (agreement >= LEVELS - level).long()
        points = torch.zeros(len(hit), 1)
        found = calculator.get_accuracy(points[:1], torch.ones(1), points, hit.float())
        yield from ((f"{ours}_level{level}", found[name]) for name, ours in names.items())


def main() -> None:
    """Compares and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    seeds = range(parser.parse_args().seeds)
    peers = {
        "torchmetrics": torchmetrics_values,
        "pytorch-metric-learning": metric_learning_values,
    }
    print("| data | library | values compared | differ by more than 1e-6 | largest difference |")
    print("|---|---|---|---|---|")
    for case in CASES:
        counts: Counter[tuple[str, bool]] = Counter()
        largest = dict.fromkeys(peers, 0.0)
        for seed in seeds:
            embeddings, labels = data(case, seed)
            query, gallery = embeddings[:QUERIES], embeddings[QUERIES:]
            own = evaluate_embeddings(query, labels[:QUERIES], gallery, labels[QUERIES:])
            agreement = (labels[:QUERIES, None] == labels[None, QUERIES:]).sum(2)
            order = (query.float() @ gallery.float().T).sort(dim=1, descending=True, stable=True)[1]
            places = torch.arange(len(gallery), 0.0, -1).expand_as(order)
            scores = torch.zeros(order.shape).scatter(1, order, places)
            for row in range(QUERIES):
                for name, values_of in peers.items():
                    for metric, value in values_of(scores[row], agreement[row]):
                        ours = float(own.per_query[metric][row])
                        level = int(metric[-1]) if metric[-1].isdigit() else LEVELS - 1
                        if not (agreement[row] >= LEVELS - level).any():
                            # No positives: not defined here, 0 or not defined there.
                            assert ours != ours and (value != value or value == 0), metric
                            continue
                        gap = abs(ours - value)
                        counts[name, gap > TOLERANCE] += 1
                        largest[name] = max(largest[name], gap)
        for name in peers:
            differ, same = counts[name, True], counts[name, False]
            print(f"| {case} | {name} | {differ + same:,} | {differ} | {largest[name]:.1e} |")


if __name__ == "__main__":
    main()
