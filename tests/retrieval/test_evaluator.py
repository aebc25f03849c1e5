"""The streaming evaluator: blocks, junk, self, similarities, precision, and bad input."""

from __future__ import annotations

import math

import plain_metric_loops as trees
import pytest
import torch
from strata_labels import retrieval as R


def unit(n: int, d: int = 16, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    vectors = torch.randn(n, d, generator=generator, dtype=torch.float64)
    return torch.nn.functional.normalize(vectors, dim=1)


def test_blocks_change_nothing() -> None:
    x, labels = unit(60), trees.random_labels(60, 3, seed=1)
    seen: list[int] = []
    small = R.evaluate_embeddings(x, labels, block_size=7, progress=seen.append)
    whole = R.evaluate_embeddings(x, labels, block_size=1000)
    assert seen == [7] * 8 + [4]
    for name, values in whole.per_query.items():
        torch.testing.assert_close(small.per_query[name], values, equal_nan=True)


def test_self_id_in_a_gallery_is_leave_one_out() -> None:
    x, labels = unit(50), trees.random_labels(50, 4, seed=2)
    shuffled = torch.randperm(50, generator=torch.Generator().manual_seed(3))
    alone = R.evaluate_embeddings(x, labels)
    gallery = R.evaluate_embeddings(
        x, labels, x[shuffled], labels[shuffled], self_id=shuffled.argsort()
    )
    assert gallery.means == pytest.approx(alone.means)
    with_self = R.evaluate_embeddings(x, labels, x, labels, self_id=torch.full((50,), -1))
    assert with_self.means["recall_at_1_level0"] == 1.0


def test_ignored_items_are_as_if_absent() -> None:
    x, labels = unit(60), trees.random_labels(60, 2, seed=4)
    junk = [5, 17, 40]
    kept = torch.tensor([i for i in range(20, 60) if i not in junk])
    ignored = R.evaluate_embeddings(x[:10], labels[:10], x[20:], labels[20:], ignore=[[20]] * 10)
    assert ignored.means["hap"] == pytest.approx(
        R.evaluate_embeddings(x[:10], labels[:10], x[kept], labels[kept]).means["hap"]
    )


def test_similarities() -> None:
    x, labels = unit(40), trees.random_labels(40, 3, seed=5)
    cosine = R.evaluate_embeddings(x, labels).means
    assert R.evaluate_embeddings(x * 3, labels, similarity="dot").means == cosine
    # Unit vectors: Euclidean distance orders as cosine, wherever the origin is.
    far = R.evaluate_embeddings(x + 100, labels, similarity="euclidean").means
    assert far == pytest.approx(cosine)
    stretched = x * torch.linspace(1, 3, 40, dtype=torch.float64)[:, None]
    found = R.evaluate_embeddings(
        stretched,
        labels,
        similarity="euclidean",
        extra={"first": lambda levels: levels[:, 0].double()},
    )
    distances = torch.cdist(stretched, stretched).fill_diagonal_(math.inf)
    nearest = distances.argmin(1)
    expected = [trees.agreement(labels[i], labels[nearest[i]]) for i in range(40)]
    assert found.per_query["first"].tolist() == expected


def test_precisions_agree() -> None:
    x, labels = unit(300, 32), trees.random_labels(300, 3, seed=6)
    double = R.evaluate_embeddings(x, labels).means
    single = R.evaluate_embeddings(x.float(), labels).means
    half = R.evaluate_embeddings(x, labels, dtype=torch.bfloat16).means
    assert single == pytest.approx(double, abs=1e-3)
    for name in ("hap", "asi", "ndcg"):
        assert half[name] == pytest.approx(double[name], abs=1e-2)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_a_gpu_gives_the_same(dtype: torch.dtype) -> None:
    x, labels = unit(300, 32), trees.random_labels(300, 4, seed=7)
    cpu = R.evaluate_embeddings(x, labels, dtype=dtype).means
    gpu = R.evaluate_embeddings(x, labels, dtype=dtype, device="cuda").means
    assert gpu == pytest.approx(cpu, abs=1e-6 if dtype == torch.float64 else 1e-3)


X, Y = unit(20), torch.arange(20)[:, None] // torch.tensor([[5, 10]])


def with_nan() -> torch.Tensor:
    broken = X.clone()
    broken[3, 2] = math.nan
    return broken


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((X[:19], Y), "query and query_labels must have the same length, got 19 and 20"),
        ((X, Y, X[:0], Y[:0]), "gallery must not be empty"),
        ((X.sum(), Y), "query must have the shape"),
        ((X, Y, X.sum(), Y), "gallery must have the shape"),
        ((X, Y, X[:9], Y[:9]), "k = 10 is larger than the gallery: 9 items"),
        ((X, Y, unit(20, 4), Y), "same dimension, got 16 and 4"),
        ((X, Y, X, Y[:, :1]), "same levels, got 2 and 1"),
        ((X, Y, X, None), "given together"),
        ((X, Y.float()), "query_labels must be integers, got torch.float32"),
        ((X, Y[None]), "query_labels must have the shape"),
        (
            (X, torch.full((20, 1), 2**63, dtype=torch.uint64)),
            "overflow .* largest 9223372036854775808",
        ),
        ((with_nan(), Y), "query must be finite, got nan in row 3"),
        ((X * 2, Y), "query must have rows of length 1 for cosine .* got length 2 in row 0"),
        ((X.round().long(), Y), "query must be floating point"),
        ((X.to(torch.float8_e5m2), Y), "floating point of 16 to 64 bits, got torch.float8_e5m2"),
        ((X.numpy(), Y), "query must be a tensor, got ndarray; torch.as_tensor makes one"),
        ((X, Y.tolist()), "query_labels must be a tensor, got list"),
        ((X, Y, X.tolist(), Y), "gallery must be a tensor, got list"),
        ((X.to_sparse(), Y), "query must be dense, got torch.sparse_coo"),
        ((X, Y.T), "query and query_labels must have the same length, got 20 and 2"),
        (
            (X, torch.tensor([[0, 0]] * 19 + [[0, 5]])),
            "class 0 of level 0 lies under classes 0 and 5 of level 1",
        ),
    ],
)
def test_bad_input_is_named_with_its_value(arguments: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        R.evaluate_embeddings(*arguments)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"similarity": "manhattan"}, "similarity must be one of .* got 'manhattan'"),
        ({"dtype": torch.float16}, "dtype must be"),
        ({"block_size": 0}, "block_size must be >= 1, got 0"),
        ({"recall_ks": (1, 2.5)}, "recall_ks must be whole numbers >= 1, got 2.5"),
        ({"recall_ks": (math.inf,)}, "recall_ks must be whole numbers >= 1, got inf"),
        ({"recall_ks": (math.nan,)}, "recall_ks must be whole numbers >= 1, got nan"),
        ({"recall_ks": (-2.0,)}, "recall_ks must be whole numbers >= 1, got -2.0"),
        ({"ignore": [[99]] * 20}, "positions in 0 ... 19, got 99 for query 0"),
        ({"ignore": [[1]]}, "ignore must have 20 entries, got 1"),
        ({"self_id": torch.arange(20)}, "self_id needs a gallery"),
    ],
)
def test_bad_options_are_named_with_their_value(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        R.evaluate_embeddings(X, Y, **options)


def test_bootstrap_covers_and_repeats() -> None:
    values = torch.rand(400, generator=torch.Generator().manual_seed(0))
    low, high = R.bootstrap_interval(values, 500)
    assert low < values.mean() < high
    assert high - low == pytest.approx(2 * 1.96 * float(values.std()) / 20, rel=0.2)
    assert (low, high) == R.bootstrap_interval(values, 500)
    assert all(math.isnan(bound) for bound in R.bootstrap_interval(torch.full((3,), math.nan)))


def test_paired_test_tells_a_difference_from_noise() -> None:
    generator = torch.Generator().manual_seed(0)
    this = torch.rand(200, generator=generator)
    noise = 0.01 * torch.randn(200, generator=generator)
    better = R.paired_test(this, this + noise + 0.005)
    same = R.paired_test(this, this + noise - noise.mean())
    assert better.p_value < 0.01 and better.low > 0
    assert same.p_value > 0.5 and same.low < 0 < same.high
    assert R.paired_test(this, this).p_value == 1.0
    this[0] = math.nan
    assert R.paired_test(this, this).num_queries == 199
    with pytest.raises(ValueError, match="resamples must be >= 1, got 0"):
        R.bootstrap_interval(this, 0)


def test_recall_at_the_papers_k_and_mrr() -> None:
    generator = torch.Generator().manual_seed(4)
    x = torch.nn.functional.normalize(torch.randn(60, 4, generator=generator), dim=1)
    labels = torch.arange(60)[:, None] // torch.tensor([3, 30])
    labels[-1] = torch.tensor([99, 99])  # without a positive
    report = R.evaluate_embeddings(x, labels, recall_ks=(1, 4, 16, 32))
    scores = (x @ x.T).fill_diagonal_(-2)
    order = scores.argsort(dim=1, descending=True)[:, :-1]
    for column in (0, 1):
        positive = labels[order, column] == labels[:, column, None]
        has = positive.any(1)
        first = positive.int().argmax(1) + 1
        for k in (1, 4, 5, 10, 16, 32):
            expected = torch.where(has, (first <= k).double(), torch.nan)
            found = report.per_query[f"recall_at_{k}_level{column}"]
            torch.testing.assert_close(found, expected, equal_nan=True)
        expected = torch.where(has, 1 / first.double(), torch.nan)
        torch.testing.assert_close(report.per_query[f"mrr_level{column}"], expected, equal_nan=True)
    with pytest.raises(ValueError, match="k = 60 is larger than the gallery: 59 items"):
        R.evaluate_embeddings(x, labels, recall_ks=(60,))


def test_unknown_labels_are_refused() -> None:
    labels = torch.arange(20)[:, None] // torch.tensor([2, 10])
    labels[3, 1] = -1
    with pytest.raises(ValueError, match="query_labels must be known, got -1 in row 3, level 1"):
        R.evaluate_embeddings(torch.eye(20), labels)


def test_autocast_changes_no_score() -> None:
    generator = torch.Generator().manual_seed(4)
    x = torch.nn.functional.normalize(torch.randn(200, 16, generator=generator), dim=1)
    labels = torch.arange(200)[:, None] // torch.tensor([4, 40])
    expected = R.evaluate_embeddings(x, labels).per_query
    with torch.autocast("cpu", torch.bfloat16):
        found = R.evaluate_embeddings(x, labels).per_query
    assert all(torch.equal(found[name], expected[name]) for name in expected)
