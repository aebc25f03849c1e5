"""Errors of the published implementation that concern metrics do not occur here."""

from __future__ import annotations

import math

import torch
from strata_labels import retrieval as R


def levels(*rows: list[int]) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.int8)


def test_1_two_levels_of_equal_relevance_are_counted_once() -> None:
    # pop: one item on level 1 is worth 1/2 / 1, two items on level 2 are worth 1 / 2 each.
    ranked = levels([2, 2, 1, 0])
    relevance = R.Pop()(torch.tensor([[1, 1, 2]]))
    assert relevance[0, 1] == relevance[0, 2]
    assert R.hap(ranked, 2).item() == 1.0


def test_2_pop_is_not_monotone_and_map_is() -> None:
    counts = torch.tensor([[0, 5, 100]])  # 5 cousins, 100 siblings
    pop, uniform = R.Pop()(counts)[0], R.Map()(counts)[0]
    assert pop[2] < pop[1]
    assert uniform[2] > uniform[1]
    assert "monotone" in (R.Pop.__doc__ or "")
    # A non-monotone relevance is still computed exactly: cousins first is what it calls perfect.
    assert R.hap(levels([1] * 5 + [2] * 100), 2).item() == 1.0


def test_3_the_query_is_not_its_own_positive_unless_asked() -> None:
    embeddings = torch.nn.functional.normalize(
        torch.randn(30, 8, generator=torch.Generator().manual_seed(0)), dim=1
    )
    labels = torch.arange(30)[:, None] // torch.tensor([[3, 15]])
    plain = R.evaluate_embeddings(embeddings, labels)
    counted = R.evaluate_embeddings(embeddings, labels, relevance_counts_query=True)
    assert plain.means["hap"] != counted.means["hap"]
    assert plain.means["asi"] == counted.means["asi"]


def test_4_queries_without_positives_are_left_out_and_counted() -> None:
    embeddings = torch.eye(12)
    labels = torch.tensor([[0]] * 6 + [[1]] * 5 + [[2]])
    report = R.evaluate_embeddings(embeddings, labels)
    assert report.num_without_positives == 1
    assert all(math.isfinite(value) for value in report.means.values())
    assert report.per_query["ap_level0"].isnan().tolist() == [False] * 11 + [True]


def test_5_the_ideal_of_ndcg_at_k_is_that_of_the_whole_list() -> None:
    # Nothing better than level 1 is in the first two, yet level 2 exists.
    assert R.ndcg(levels([1, 1, 2]), 2, k=2).item() < 1


def test_6_the_query_is_left_out_by_index_not_by_rank() -> None:
    # All embeddings equal: the query ties with everything, so rank 1 is not always itself.
    embeddings = torch.ones(12, 4) / 2
    labels = torch.tensor([[0]] * 6 + [[1]] * 6)
    report = R.evaluate_embeddings(embeddings, labels, extra={"first": lambda x: x[:, 0].double()})
    # By index the first of the others is item 0 for all but item 0, which sees item 1.
    assert report.per_query["first"].tolist() == [1.0] * 6 + [0.0] * 6


def test_8_labels_may_be_numbered_in_any_way() -> None:
    generator = torch.Generator().manual_seed(1)
    embeddings = torch.nn.functional.normalize(torch.randn(40, 8, generator=generator), dim=1)
    labels = torch.arange(40)[:, None] // torch.tensor([[4, 20]])
    renumbered = (labels * 7919 - 50) * -(2**40)
    one, two = (R.evaluate_embeddings(embeddings, each) for each in (labels, renumbered))
    assert one.means == two.means
