"""Interpolated sums over pairs are the sums of the pairs, and are taken where that pays."""

from __future__ import annotations

import pytest
import torch
from strata_labels.losses import SupHAPLoss, interpolated, pairwise
from strata_labels.losses.batch import Places
from strata_labels.losses.surrogates import Sigmoid, SupRank

KERNELS = {
    "sop": SupRank(tau=0.01, rho=100.0, delta=0.05, start=0.5, offset=1.44),
    "inat": SupRank(tau=0.01, rho=100.0, delta=0.05, start=0.0, offset=1.0),
    "at zero": SupRank(tau=0.02, rho=3.0, delta=0.0, start=0.2),
    "smoothap": Sigmoid(0.01),
}


def places(at: torch.Tensor, top: int) -> Places:
    return Places(at, torch.stack([(at == place).sum(1) for place in range(top + 1)], dim=1))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("relation", ["less", "same", "more"])
@pytest.mark.parametrize("kernel", KERNELS)
def test_interpolated_sums_are_the_sums_of_pairs(
    kernel: str, relation: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = torch.Generator().manual_seed(1)
    scores = 0.1 * torch.randn(9, 200, generator=generator) - 0.3
    scores[:, 50:60] = scores[:, :10]  # ties
    scores[:, 60] = 0.7
    # Some queries without items of a place.
    place = torch.randint(4, (9, 200), generator=generator) * torch.arange(9)[:, None].clamp(max=1)
    weights = torch.randn(9, 200, generator=generator)
    monkeypatch.setattr(interpolated, "_ITEMS_CPU", 500)
    results = []
    for precision, through in ((torch.float64, False), (dtype, True)):
        monkeypatch.setattr(pairwise, "_interpolates", lambda *_, through=through: through)
        own = scores.to(precision).requires_grad_()
        sums = pairwise.pair_sum(own, places(place, 3), KERNELS[kernel], relation)
        (gradient,) = torch.autograd.grad(sums, own, weights.to(precision))
        results.append((sums.detach().double(), gradient.double()))
    # Single precision is held to what rounding its result costs.
    exact = 1e-12 if dtype == torch.float64 else 1e-6
    for found, expected in zip(results[1], results[0], strict=True):
        assert float((found - expected).abs().max() / expected.abs().max()) < exact
    assert not results[1][0][place == 0].any()


@pytest.mark.parametrize("relation", ["less", "same", "more"])
def test_scores_that_differ_by_rounding_keep_their_box(
    relation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = torch.Generator().manual_seed(1)
    # Orthogonal classes: 0, and 1 but for rounding, where two boxes meet.
    almost = 1 - 2.3e-16 * torch.randint(0, 4, (2, 1200), generator=generator).double()
    scores = torch.where(torch.rand(2, 1200, generator=generator) < 0.5, 1.0, almost)
    scores[:, 0] = 0.0
    place = torch.randint(0, 4, (2, 1200), generator=generator)
    weights = torch.rand(2, 1200, generator=generator, dtype=torch.float64)
    results = []
    for through in (False, True):
        monkeypatch.setattr(pairwise, "_interpolates", lambda *_, through=through: through)
        own = scores.clone().requires_grad_()
        sums = pairwise.pair_sum(own, places(place, 3), Sigmoid(0.05), relation)
        (gradient,) = torch.autograd.grad(sums, own, weights)
        results.append((sums.detach(), gradient))
    for found, expected in zip(results[1], results[0], strict=True):
        assert float((found - expected).abs().max() / expected.abs().max()) < 1e-12


def test_many_pairs_are_interpolated_where_it_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    real = pairwise.interpolated_sum
    monkeypatch.setattr(pairwise, "interpolated_sum", lambda *a: calls.append(a) or real(*a))
    labels = torch.arange(1500)[:, None] // torch.tensor([5, 125, 750])
    generator = torch.Generator().manual_seed(2)
    x = torch.nn.functional.normalize(torch.randn(1500, 64, generator=generator), dim=1)
    own = x[:40].clone().requires_grad_()
    value = SupHAPLoss()(own, labels[:40], x, labels)
    value.backward()
    assert len(calls) == 1
    monkeypatch.setattr(pairwise, "_interpolates", lambda *_: False)
    pairs = x[:40].clone().requires_grad_()
    expected = SupHAPLoss()(pairs, labels[:40], x, labels)
    expected.backward()
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(own.grad, pairs.grad)
    monkeypatch.undo()
    monkeypatch.setattr(pairwise, "interpolated_sum", lambda *a: calls.append(a) or real(*a))
    # Few pairs, many boxes, and a network that diverged.
    SupHAPLoss()(x[:99], labels[:99])
    SupHAPLoss()(x[:40] * 9, labels[:40], x * 9, labels)
    wrong = torch.full((2, 1500), torch.nan)
    pairwise.pair_sum(wrong, places(labels.T[:2] % 2, 1), KERNELS["sop"], "less")
    assert len(calls) == 1
