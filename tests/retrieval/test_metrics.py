"""Metrics against recordings of the published code, and against plain loops."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import plain_metric_loops as trees
import pytest
import torch
from recordings import for_each_recording
from strata_labels import retrieval as R


@pytest.mark.shared
@for_each_recording("metrics")
def test_recorded_values_of_the_published_code(path: Path) -> None:
    record = dict(np.load(path))
    query, labels = (torch.from_numpy(record[key]) for key in ("query", "query_labels"))
    gallery = gallery_labels = None
    if not record["same_set"]:
        gallery, gallery_labels = (
            torch.from_numpy(record[key]) for key in ("gallery", "gallery_labels")
        )

    def evaluate(**options: object) -> dict[str, torch.Tensor]:
        return R.evaluate_embeddings(query, labels, gallery, gallery_labels, **options).per_query

    ours = evaluate()
    ours["hap_map_weights_uniform"] = evaluate(relevance=R.Map())["hap"]
    ours["hap_relevance_counts_query"] = evaluate(relevance_counts_query=True)["hap"]
    compared = 0
    for key, expected in record.items():
        if not key.startswith("expect_") or key == "expect_valid_query" or "has_positive" in key:
            continue
        metric = key.removeprefix("expect_")
        valid = record["expect_valid_query"]
        if "_level" in metric:
            valid = record[f"expect_has_positive_level{metric.rsplit('_level')[1]}"]
            assert np.array_equal(np.isnan(ours[metric].numpy()), ~valid)
        np.testing.assert_allclose(ours[metric].numpy()[valid], expected, atol=1e-5, rtol=0)
        compared += 1
    assert compared == sum(key.startswith("expect_") for key in record) - 1 - labels.shape[1]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("num_levels", range(1, 9))
def test_against_plain_loops(num_levels: int, seed: int) -> None:
    n = 36
    labels = trees.random_labels(n, num_levels, seed)
    generator = torch.Generator().manual_seed(100 + seed)
    # Whole numbers tie often; -0.0 beside 0.0 must tie too.
    scores = torch.randint(-3, 4, (n, n), generator=generator).float()
    scores[scores == 0] *= -1.0
    levels = R.agreement(labels, labels)
    levels.fill_diagonal_(-1)
    ranked = R.rank_levels(scores, levels)
    double = R.rank_levels(scores.double(), levels)
    assert torch.equal(ranked, double)

    rows = [trees.ranked_levels(scores[i].tolist(), levels[i].tolist(), {i}) for i in range(n)]
    assert [row[:-1] for row in ranked.tolist()] == rows

    def check(ours: torch.Tensor, plain: list[float]) -> None:
        torch.testing.assert_close(
            ours, torch.tensor(plain, dtype=torch.float64), rtol=1e-9, atol=1e-12, equal_nan=True
        )

    L = num_levels
    check(R.hap(ranked, L), [trees.hap(row, L, trees.pop(row, L)) for row in rows])
    check(
        R.hap(ranked, L, relevance_counts_query=True),
        [trees.hap(row, L, trees.pop(row, L, extra=1)) for row in rows],
    )
    check(R.hap(ranked, L, R.Map()), [trees.hap(row, L, trees.uniform_map(row, L)) for row in rows])
    steps = [0.0] + [float((3 * level) % 5) for level in range(1, L + 1)]  # up and down, with ties
    check(
        R.hap(ranked, L, lambda counts: torch.tensor(steps).expand(len(counts), -1)),
        [trees.hap(row, L, dict(enumerate(steps))) for row in rows],
    )
    check(R.asi(ranked, L), [trees.asi(row, L) for row in rows])
    check(R.ndcg(ranked, L), [trees.ndcg(row) for row in rows])
    check(R.ndcg(ranked, L, k=7), [trees.ndcg(row, 7) for row in rows])
    for t in range(1, L + 1):
        check(R.average_precision(ranked, t), [trees.average_precision(row, t) for row in rows])
        check(
            R.average_precision(ranked, t, k=5),
            [trees.average_precision(row, t, 5) for row in rows],
        )
        check(R.map_at_r(ranked, t), [trees.map_at_r(row, t) for row in rows])
        found = [sum(level >= t for level in row[:5]) for row in rows]
        total = [sum(level >= t for level in row) or math.nan for row in rows]
        check(
            R.precision_at_k(ranked, 5, t),
            [f / 5 + 0 * r for f, r in zip(found, total, strict=True)],
        )
        check(R.recall_at_k(ranked, 5, t), [f / r for f, r in zip(found, total, strict=True)])
        check(
            R.hit_rate_at_k(ranked, 5, t),
            [min(f, 1) + 0 * r for f, r in zip(found, total, strict=True)],
        )


def test_ties_are_ranked_in_gallery_order_in_every_precision() -> None:
    levels = torch.tensor([[0, 3, 1, 2]], dtype=torch.int8)
    for dtype in (torch.float64, torch.float32, torch.bfloat16, torch.float16):
        for value in (0.5, -0.5, 0.0):
            scores = torch.full((1, 4), value, dtype=dtype)
            assert R.rank_levels(scores, levels).tolist() == [[0, 3, 1, 2]]


def test_keys_sort_the_same_without_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = torch.randn(7, 50, generator=torch.Generator().manual_seed(0)).round(decimals=1)
    levels = torch.randint(-1, 4, (7, 50), dtype=torch.int8)
    expected = R.rank_levels(scores, levels)

    def unavailable(self: torch.Tensor) -> None:
        raise RuntimeError("Numpy is not available")

    monkeypatch.setattr(torch.Tensor, "numpy", unavailable)
    assert torch.equal(R.rank_levels(scores, levels), expected)


def test_a_tree_of_many_levels_ranks() -> None:
    levels = torch.randint(-1, 127, (3, 40), dtype=torch.int8)
    scores = torch.randn(3, 40)
    assert torch.equal(R.rank_levels(scores, levels), R.rank_levels(scores.double(), levels))


def test_macro_average_weighs_classes_not_queries() -> None:
    values = torch.tensor([1.0, 1.0, 1.0, 0.0, math.nan])
    assert R.macro_average(values, torch.tensor([4, 4, 4, 9, 11])).item() == 0.5


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: R.hap(x, 1), "levels must be in -1 ... 1, got values from 0 to 2"),
        (lambda x: R.ndcg(x, 2, k=4), "k must be in 1 ... 3, .* got 4"),
        (lambda x: R.recall_at_k(x, 0), "k must be in 1 ... 3, .* got 0"),
        (lambda x: R.average_precision(x[0]), r"levels must have the shape \[q, n\], got \(3,\)"),
        (lambda x: R.map_at_r(x, at_least=0), "at_least must be >= 1, got 0"),
        (lambda x: R.hap(x, 2, lambda c: -c), "relevance must be finite and >= 0"),
        (lambda x: R.hap(x, 2, lambda c: c[:, :1]), "relevance must give the shape"),
        (lambda x: R.hap(x, 2, lambda c: c * 0 + 1), "relevance of level 0 .* must be 0"),
        (lambda x: R.hap(x, 2, R.Map([1.0])), "one entry per level .2., got 1"),
        (lambda x: R.Pop(alpha=-1), "alpha must be finite and >= 0, got -1"),
        (lambda x: R.rank_levels(x.float() * math.nan, x), "scores must be finite, got nan"),
        (lambda x: R.rank_levels(x.float()[:, :2], x), "must share one shape"),
    ],
)
def test_bad_arguments_are_named_with_their_value(call, message: str) -> None:
    levels = torch.tensor([[2, 0, 1]], dtype=torch.int8)
    with pytest.raises(ValueError, match=message):
        call(levels)
