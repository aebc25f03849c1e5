"""Losses against recordings of the published code, plain loops, numerical gradients, bad input."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import plain_loss_loops as plain
import pytest
import torch
from recordings import for_each_recording
from strata_labels import losses as T
from strata_labels.losses import Batch, pairwise, ranks
from subprocesses import run_checked
from torch import Tensor, nn

SOP = {"tau": 0.01, "rho": 100.0, "delta": 0.05, "start": 0.5, "offset": 1.44}
INAT = SOP | {"start": 0.0, "offset": 1.0}
H_RANK = SOP | {"beta": 25.0, "gamma": 0.5, "leak": 10.0}


def with_proxies(loss: torch.nn.Module, proxies: np.ndarray) -> torch.nn.Module:
    loss = loss.double()
    loss.proxies.data = torch.from_numpy(proxies)
    return loss


@pytest.mark.shared
@for_each_recording("losses")
def test_recorded_values_and_gradients_of_the_published_code(path: Path) -> None:
    record = dict(np.load(path))
    labels = torch.from_numpy(record["labels"])
    dim = record["embeddings"].shape[1]
    cluster = with_proxies(T.ClusterLoss(len(record["proxies"]), dim), record["proxies"])
    csl = T.CSLLoss(
        torch.from_numpy(record["csl_proxy_labels"]), dim, record["csl_margins"].tolist()
    )
    modules = {
        "suphap_sop": T.SupHAPLoss(**SOP),
        "suphap_inat": T.SupHAPLoss(**INAT),
        "suphap_hrank": T.SupHAPLoss(**H_RANK),
        "supap_level0": T.SupAPLoss(level=0, **SOP),
        "smoothap_level0": T.SmoothAPLoss(level=0, tau=0.01),
        "supndcg": T.SupNDCGLoss(**SOP),
        "suprecall_level0": T.SupRecallLoss(level=0, ks=(1, 2, 4, 8, 16), **SOP),
        "calibration_level0": T.CalibrationLoss(0, positive_margin=0.9, negative_margin=0.6),
        "cluster": cluster,
        "csl": with_proxies(csl, record["csl_proxies"]),
    }
    assert {f"expect_{key}" for key in modules} == {k for k in record if k.startswith("expect_")}
    for key, module in modules.items():
        embeddings = torch.from_numpy(record["embeddings"]).requires_grad_()
        value = module(embeddings, labels)
        value.backward()
        assert value.item() == pytest.approx(float(record[f"expect_{key}"]), rel=1e-6), key
        expected = record[f"grad_{key}"]
        np.testing.assert_allclose(
            embeddings.grad, expected, rtol=1e-6, atol=1e-6 * np.abs(expected).max(), err_msg=key
        )
    np.testing.assert_allclose(
        cluster.proxies.grad, record["grad_cluster_proxies"], rtol=1e-6, atol=1e-9
    )


def random_labels(n: int, num_levels: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    columns = [torch.randint(0, 2, (n,), generator=generator)]
    for _ in range(num_levels - 1):
        child = (torch.rand(n, generator=generator).square() * 3).long()
        columns.append(columns[-1] * 3 + child)
    columns[-1][-1] = columns[-1].max() + 1
    return torch.stack(columns[::-1], dim=1) * -1_000_003 + 17


def levels_of(labels: Tensor, references: Tensor) -> list[list[int]]:
    return (labels[:, None] == references[None]).sum(2).tolist()


def mean_loss(
    scores: Tensor, levels: list[list[int]], one: Callable[[Tensor, list[int]], Tensor | None]
) -> Tensor:
    values = [one(row, own) for row, own in zip(scores, levels, strict=True)]
    valid = [value for value in values if value is not None]
    return 1 - torch.stack(valid).mean() if valid else scores.sum() * 0


CASES: dict[str, tuple[torch.nn.Module, Callable]] = {
    "suphap": (
        T.SupHAPLoss(**SOP),
        lambda s, lv, n: plain.sup_hap(s, lv, n, SOP),
    ),
    "suphap_no_offset": (
        T.SupHAPLoss(tau=0.1, rho=3, delta=0.02, start=0.2, offset=None),
        lambda s, lv, n: plain.sup_hap(
            s, lv, n, {"tau": 0.1, "rho": 3, "delta": 0.02, "start": 0.2, "offset": None}
        ),
    ),
    "suphap_hrank": (T.SupHAPLoss(**H_RANK), lambda s, lv, n: plain.sup_hap(s, lv, n, H_RANK)),
    "supap": (T.SupAPLoss(0, **SOP), lambda s, lv, n: plain.sup_ap(s, [x == n for x in lv], SOP)),
    "smoothap": (
        T.SmoothAPLoss(0, tau=0.02),
        lambda s, lv, n: plain.smooth_ap(s, [x == n for x in lv], 0.02),
    ),
    "supndcg": (T.SupNDCGLoss(**INAT), lambda s, lv, n: plain.sup_ndcg(s, lv, INAT)),
    "suprecall": (
        T.SupRecallLoss(0, ks=(1, 3), temperature=2.0, **SOP),
        lambda s, lv, n: plain.sup_recall(s, [x == n for x in lv], (1, 3), 2.0, SOP),
    ),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("num_levels", range(1, 9))
def test_against_plain_loops(num_levels: int, case: str) -> None:
    module, one = CASES[case]
    generator = torch.Generator().manual_seed(num_levels)
    for references in (None, 14):
        x = torch.randn(10, 6, generator=generator, dtype=torch.float64) * 0.3
        x[3] = x[4]  # ties
        tree = random_labels(24, num_levels, seed=num_levels)
        labels = tree[:10]
        bank, bank_labels = x, labels
        if references:
            bank = torch.randn(references, 6, generator=generator, dtype=torch.float64) * 0.3
            bank_labels = tree[10:]
            bank[2] = x[5]
        ours, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
        bank_ours, bank_theirs = bank.clone().requires_grad_(), bank.clone().requires_grad_()
        if references:
            value = module(ours, labels, bank_ours, bank_labels)
            scores = theirs @ bank_theirs.T
        else:
            value = module(ours, labels)
            scores = theirs @ theirs.T
        levels = levels_of(labels, bank_labels)
        expected = mean_loss(scores, levels, lambda s, lv: one(s, lv, num_levels))
        value.backward()
        expected.backward()
        torch.testing.assert_close(value, expected, rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-8, atol=1e-10)
        if references:
            torch.testing.assert_close(bank_ours.grad, bank_theirs.grad, rtol=1e-8, atol=1e-10)


SMOOTH = {
    "suphap": T.SupHAPLoss(tau=0.3, rho=2.0, delta=5.0, start=0.0, offset=None),
    "suphap_linear": T.SupHAPLoss(**SOP),
    "suphap_hrank": T.SupHAPLoss(**H_RANK),
    "supap": T.SupAPLoss(tau=0.3, delta=5.0, start=0.0, offset=None),
    "smoothap": T.SmoothAPLoss(tau=0.3),
    "supndcg": T.SupNDCGLoss(**SOP),
    "suprecall": T.SupRecallLoss(tau=0.3, delta=5.0, start=0.0, offset=None),
    "calibration": T.CalibrationLoss(),
    "triplet": T.TripletLoss(margin=0.5),
}


@pytest.mark.parametrize("name", SMOOTH)
def test_gradcheck(name: str) -> None:
    generator = torch.Generator().manual_seed(3)
    # Spread out, so that no finite difference crosses a jump or a kink.
    x = torch.randn(12, 5, generator=generator, dtype=torch.float64).requires_grad_()
    labels = random_labels(12, 3, seed=1)
    assert torch.autograd.gradcheck(lambda e: SMOOTH[name](e, labels), (x,), eps=1e-7, atol=1e-4)


@pytest.mark.parametrize("name", ["suphap", "suphap_hrank", "smoothap"])
def test_small_blocks_give_the_same(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    labels = random_labels(30, 3, seed=5)
    x = torch.randn(30, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    results = []
    for budget in (1 << 20, 37, 1):
        monkeypatch.setattr(pairwise, "_PAIRS_CPU", budget)
        each = x.clone().requires_grad_()
        value = SMOOTH[name](each, labels)
        value.backward()
        results.append((value.detach(), each.grad))
    for value, grad in results[1:]:
        torch.testing.assert_close(value, results[0][0])
        torch.testing.assert_close(grad, results[0][1])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_lower_precision_is_near_double(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.nn.functional.normalize(torch.randn(64, 32, generator=generator), dim=1).double()
    labels = random_labels(64, 3, seed=2)
    double = T.SupHAPLoss()(x, labels)
    low = T.SupHAPLoss()(x.to(dtype).requires_grad_(), labels)
    assert low.item() == pytest.approx(double.item(), abs=1e-2)


def everything(dim: int, classes: int, num_levels: int) -> dict[str, torch.nn.Module]:
    chain = torch.arange(classes)[:, None] // 2 ** torch.arange(num_levels)
    return SMOOTH | {
        "cluster": T.ClusterLoss(classes, dim),
        "csl": T.CSLLoss(chain, dim, [0.25] * num_levels),
    }


@pytest.mark.parametrize("labels", [[[0, 0]], [[0, 0], [1, 0], [2, 1]], [[0], [0], [3]], [2]])
def test_batches_of_one_singletons_and_single_levels_are_fine(labels: list) -> None:
    target = torch.tensor(labels)
    num_levels = target.shape[1] if target.ndim == 2 else 1
    for name, module in everything(4, 4, num_levels).items():
        x = torch.randn(len(target), 4, generator=torch.Generator().manual_seed(1)).requires_grad_()
        value = module(x, target)
        value.backward()
        assert torch.isfinite(value) and torch.isfinite(x.grad).all(), name


@pytest.mark.parametrize("loss", [T.SupHAPLoss(), T.SupAPLoss(), T.SupNDCGLoss()])
def test_sums_that_overflow_for_padding_change_nothing(loss: T.SupHAPLoss) -> None:
    """Queries with fewer positives than others are padded with items of others."""
    labels = torch.tensor([[0, 0]] * 9 + [[1, 0]] * 2 + [[2, 1]] * 29)
    x = torch.randn(40, 8, generator=torch.Generator().manual_seed(2))
    x = (nn.functional.normalize(x, dim=1) * 1e18).requires_grad_()
    value = loss(x, labels)
    value.backward()
    assert 0 < float(value.detach()) < 1 and x.grad is not None and bool(x.grad.isfinite().all())


def test_trap_4_queries_without_positives_are_left_out() -> None:
    x = torch.eye(3, 4)
    labels = torch.tensor([[0, 0], [1, 0], [9, 9]])
    bank, bank_labels = torch.eye(4), torch.tensor([[0, 0], [1, 0], [2, 1], [3, 1]])
    for name in ("suphap", "supap", "smoothap", "supndcg", "suprecall"):
        with_third = SMOOTH[name](x, labels, bank, bank_labels)
        assert with_third.item() == SMOOTH[name](x[:2], labels[:2], bank, bank_labels).item()
        alone = SMOOTH[name](x[2:].requires_grad_(), labels[2:], bank, bank_labels)
        assert alone.item() == 0 and alone.requires_grad


def test_trap_1_levels_of_equal_relevance_are_counted_once() -> None:
    # One item on level 1 (1/2 / 1) and two on level 2 (1/2 each): a perfect list loses nothing.
    x = torch.tensor([[1.0, 0.0]])
    bank = torch.tensor([[0.9, 0.0], [0.8, 0.0], [0.4, 0.0], [-0.9, 0.0]])
    bank_labels = torch.tensor([[0, 0], [0, 0], [1, 0], [2, 1]])
    loss = T.SupHAPLoss()(x, torch.tensor([[0, 0]]), bank, bank_labels)
    assert loss.item() == pytest.approx(0, abs=1e-6)


def test_trap_2_a_sibling_ranks_before_a_cousin_of_higher_pop_relevance() -> None:
    # Nine siblings and one cousin: a sibling's relevance is below the cousin's, yet the loss
    # rises with a cousin ranked first, through the rank of the siblings.
    labels = torch.tensor([[0, 0]] * 9 + [[1, 0], [2, 1]])
    x = torch.tensor([[1.0, 0.0]])
    siblings_first = torch.linspace(0.9, -0.9, 11)[:, None] * torch.tensor([[1.0, 0.0]])
    scores = siblings_first.clone()
    scores[9] = 0.95
    scores.requires_grad_()
    T.SupHAPLoss()(x, torch.tensor([[0, 0]]), scores, labels).backward()
    assert scores.grad[9, 0] > 0 and (scores.grad[:9, 0] < 0).all()


def test_trap_8_labels_may_be_numbered_in_any_way() -> None:
    labels = random_labels(20, 3, seed=8)
    x = torch.randn(20, 6, generator=torch.Generator().manual_seed(2))
    for name, module in SMOOTH.items():
        assert torch.equal(module(x, labels), module(x, labels * -(2**35) + 3)), name


def test_trap_9_classes_with_few_images_count() -> None:
    labels = torch.tensor([[0], [0], [0], [0], [0], [1], [1], [2]])
    x = torch.randn(8, 4, generator=torch.Generator().manual_seed(4)).requires_grad_()
    T.SupAPLoss(tau=0.5)(x, labels).backward()
    assert (x.grad.abs().sum(1) > 0).all()


def test_references_may_be_gathered_batches() -> None:
    labels = random_labels(24, 3, seed=9)
    x = torch.randn(24, 6, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    for name in ("suphap", "suphap_hrank", "supndcg"):
        whole = SMOOTH[name](x, labels)
        halves = [
            SMOOTH[name](x[part], labels[part], x, labels) for part in (slice(0, 12), slice(12, 24))
        ]
        torch.testing.assert_close(torch.stack(halves).mean(), whole)


def test_triplet_takes_the_hardest() -> None:
    x = torch.tensor([[1.0, 0.0], [0.5, 0.0], [0.9, 0.0], [0.2, 0.0]])
    loss = T.TripletLoss(margin=0.1)(x[:1], torch.tensor([[0]]), x[1:], torch.tensor([0, 1, 0]))
    assert loss.item() == pytest.approx(0.1 + 0.9 - 0.2)


def test_sum_is_weighted() -> None:
    x, labels = torch.randn(6, 4), torch.tensor([[0], [0], [1], [1], [2], [2]])
    cluster, rank = T.ClusterLoss(3, 4), T.SupHAPLoss()
    both = T.Sum([rank, cluster], weights=[0.9, 0.1])
    expected = 0.9 * rank(x, labels) + 0.1 * cluster(x, labels)
    torch.testing.assert_close(both(x, labels), expected)
    assert "losses.1.proxies" in dict(both.named_parameters())


X, Y = torch.ones(4, 3), torch.tensor([[0, 0], [1, 0], [2, 1], [3, 1]])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: T.SupHAPLoss()(X, Y[:3]), r"labels must have the shape \[4, L\], got \(3, 2\)"),
        (lambda: T.SupHAPLoss()(X, Y.float()), "labels must be integers, got torch.float32"),
        (lambda: T.SupHAPLoss()(X.long(), Y), "embeddings must be floating point"),
        (lambda: T.SupHAPLoss()(X[:0], Y[:0]), "not be empty"),
        (lambda: T.TripletLoss()(X.tolist(), Y), "embeddings must be a tensor, got list"),
        (lambda: T.CalibrationLoss()(X, Y.numpy()), "labels must be a tensor, got ndarray"),
        (lambda: T.SupAPLoss()(X, Y, X.numpy(), Y), "reference_embeddings must be a tensor"),
        (lambda: T.SupNDCGLoss()(X.to(torch.float8_e4m3fn), Y), "of 16 to 64 bits, got .*float8"),
        (lambda: T.SupHAPLoss()(X * math.nan, Y), "embeddings must be finite, .* in row 0"),
        (lambda: T.SupHAPLoss()(X, Y, X), "must be given together"),
        (lambda: T.SupHAPLoss()(X, Y, X[:, :2], Y), "same dimension .* .3., got 2"),
        (lambda: T.SupHAPLoss()(X, Y, X, Y[:, :1]), "same number of levels .* .2., got 1"),
        (
            lambda: T.SupHAPLoss()(X, Y.clamp(max=1).flip(1)),
            "class 0 of level 0 lies under classes 0 and 1 of level 1",
        ),
        (lambda: T.SupAPLoss(level=2)(X, Y), "level must be in 0 ... 1, got 2"),
        (lambda: T.SupHAPLoss(tau=0), "tau must be finite and > 0, got 0"),
        (lambda: T.SupHAPLoss(rho=-1), "rho must be finite and >= 0, got -1"),
        (lambda: T.SupHAPLoss(beta=1), "beta, gamma and leak go together"),
        (lambda: T.SupRecallLoss(ks=(0,)), "ks must be one or more numbers >= 1"),
        (lambda: T.ClusterLoss(3, 3)(X, Y), "class indices in 0 ... 2 here, .* got 3"),
        (lambda: T.CSLLoss(Y[:3], 3, [0.1, 0.2])(X, Y), "proxy for every .* got class 3 in row 3"),
        (lambda: T.CSLLoss(Y, 3, [0.1]), "one entry per level .2., got 1"),
        (lambda: T.Sum([T.SupHAPLoss()], []), "one length >= 1, got 1 and 0"),
    ],
)
def test_bad_input_is_named_with_its_value(call: Callable, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_the_rooms_need_only_torch() -> None:
    code = (
        "import sys, torch\n"
        "before = set(sys.modules)\n"
        "import strata_labels.retrieval, strata_labels.losses\n"
        "new = {name.split('.')[0] for name in set(sys.modules) - before}\n"
        "other = {name for name in new if name not in sys.stdlib_module_names}\n"
        "assert other <= {'strata_labels', 'torch'}, other\n"
        "assert not {name for name in sys.modules if name.startswith('strata_labels.')\n"
        "    and name.split('.')[1] not in ('retrieval', 'losses', 'label_tensors')}\n"
    )
    run_checked([sys.executable, "-c", code], cwd=Path(__file__).resolve().parents[2])


def test_semi_hard_triplets_are_those_of_the_metric_learning_library() -> None:
    miners = pytest.importorskip("pytorch_metric_learning.miners")
    from pytorch_metric_learning import distances, losses

    generator = torch.Generator().manual_seed(2)
    raw = torch.randn(40, 5, generator=generator, dtype=torch.float64).requires_grad_()
    embeddings = torch.nn.functional.normalize(raw, dim=1)
    labels = torch.arange(40) % 11
    labels[-1] = 99  # without a positive
    theirs = losses.TripletMarginLoss(margin=0.05, distance=distances.DotProductSimilarity())
    expected = theirs(embeddings, labels, miners.BatchEasyHardMiner()(embeddings, labels))
    value = T.TripletLoss(margin=0.05, mining="semi-hard")(embeddings, labels)
    torch.testing.assert_close(value, expected)
    gradients = [torch.autograd.grad(each, raw, retain_graph=True)[0] for each in (value, expected)]
    torch.testing.assert_close(*gradients)

    # With labels that are not the same tensor, each query is among its own positives there.
    margin = 0.9
    theirs = losses.TripletMarginLoss(margin=margin, distance=distances.DotProductSimilarity())
    batch = (embeddings, labels, embeddings, labels.clone())
    mined = miners.BatchEasyHardMiner()(*batch)
    expected = theirs(embeddings, labels, mined, *batch[2:])
    published = T.TripletLoss(margin=margin, mining="published")(embeddings, labels)
    assert expected > 0.1 and published != value
    torch.testing.assert_close(published, expected)
    each_gradient = (
        torch.autograd.grad(each, raw, retain_graph=True)[0] for each in (published, expected)
    )
    torch.testing.assert_close(*each_gradient)
    with pytest.raises(ValueError, match="mining must be"):
        T.TripletLoss(mining="easy")  # type: ignore[arg-type]


def test_published_triplets_take_each_query_for_its_own_positive() -> None:
    generator = torch.Generator().manual_seed(3)
    raw = 2 + torch.randn(24, 5, generator=generator, dtype=torch.float64)
    embeddings = torch.nn.functional.normalize(raw, dim=1)
    labels = torch.arange(24) // 3
    negatives = (embeddings @ embeddings.T).masked_fill(labels[:, None] == labels, -1)
    terms = (negatives.amax(1) - 1 + 0.05).relu()
    assert 0 < (terms > 0).sum() < 24
    loss = T.TripletLoss(margin=0.05, mining="published")
    torch.testing.assert_close(loss(embeddings, labels), terms[terms > 0].mean())
    assert loss(torch.eye(24), labels) == 0


def test_places_are_counted_from_labels_alone() -> None:
    labels, bank = random_labels(40, 4, seed=3).split([25, 15])
    x, references = torch.zeros(25, 2), torch.zeros(15, 2)
    for batch in (Batch(x, labels, x, labels, True), Batch(x, labels, references, bank, False)):
        for places in (batch.levels(), batch.positives(0), batch.positives(2)):
            counted = torch.stack([(places.at == p).sum(1) for p in range(places.top + 1)], 1)
            assert torch.equal(places.counts, counted)


@pytest.mark.parametrize("alpha", [0, 0.5, 1, 2, 130, 1100, 1e6])
@pytest.mark.parametrize("num_levels", [1, 2, 7])
def test_any_alpha_gives_relevances_and_finite_losses(alpha: float, num_levels: int) -> None:
    found = ranks._pop(torch.ones(1, num_levels + 1, dtype=torch.int64), alpha)[0].double()
    expected = [0.0] + [(level / num_levels) ** alpha for level in range(1, num_levels + 1)]
    scaled = found / found[-1]
    torch.testing.assert_close(
        scaled, torch.tensor(expected, dtype=torch.float64), rtol=1e-5, atol=1e-37
    )

    labels = torch.stack(
        [torch.arange(12) // 2 ** min(level + 1, 4) for level in range(num_levels)], 1
    )
    raw = torch.randn(12, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()
    loss = T.SupHAPLoss(alpha=alpha)(torch.nn.functional.normalize(raw, dim=1), labels)
    (gradient,) = torch.autograd.grad(loss, raw)
    assert 0 <= float(loss.detach()) < 1 and bool(gradient.isfinite().all())


def test_relevances_and_ideals_are_rounded_as_published() -> None:
    """Else a training in double precision leaves the recorded one after some epochs: a step of
    H-rank falls where two scores change places, a little earlier or later."""
    counts = torch.tensor([[1, 2, 1, 6]])
    expected = torch.tensor([level / 2 for level in range(4)]) / counts
    assert torch.equal(ranks._pop(counts, 1.0), expected)

    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        assert torch.equal(ranks._pop(counts, 1.0), expected)
    finally:
        torch.set_default_dtype(default)
    for number in range(1, 40):
        one = torch.ones(1, number + 1, dtype=torch.int64)
        share = torch.tensor([level / max(1, number - 1) for level in range(number + 1)])
        assert torch.equal(ranks._pop(one, 1.0)[0], share)

    # In perfect order, far apart: each rank is that of the ideal.
    scores = torch.linspace(1, -1, 10, dtype=torch.float64)[:, None]
    labels = torch.tensor([[3, 1, 1]] * 4 + [[4, 1, 1]] * 3 + [[9, 9, 9]] * 3)
    loss = T.SupNDCGLoss(tau=1e-3, start=0, rho=0, offset=0)
    value = loss(torch.ones(1, 1, dtype=torch.float64), labels[:1], scores, labels)
    gain, rank = torch.tensor([7] * 4 + [3] * 3 + [0] * 3), torch.arange(1, 11)
    found = (gain / torch.log2(1 + rank.double())).sum()
    ideal = (gain / torch.log2(1 + rank.float())).sum()
    torch.testing.assert_close(value, 1 - found / ideal.double(), rtol=0, atol=1e-15)


CLASSES = torch.arange(6)[:, None] // torch.tensor([1, 2, 4])
EVERY = SMOOTH | {
    "semi_hard": T.TripletLoss(mining="semi-hard", margin=0.5),
    "published_triplet": T.TripletLoss(mining="published", margin=0.5),
    "cluster": T.ClusterLoss(6, 6),
    "csl": T.CSLLoss(CLASSES, 6, [0.1, 0.2, 0.3]),
}


@pytest.mark.parametrize("name", EVERY)
def test_second_derivatives_are_right_or_refused(name: str) -> None:
    loss = EVERY[name].double()
    generator = torch.Generator().manual_seed(5)
    x = torch.randn(12, 6, generator=generator, dtype=torch.float64) * 0.4
    labels = torch.arange(12)[:, None] // torch.tensor([2, 4, 8])
    vector = torch.randn(12, 6, generator=generator, dtype=torch.float64)

    def slope(at: Tensor, create: bool) -> tuple[Tensor, Tensor]:
        at = at.detach().requires_grad_()
        value = (torch.autograd.grad(loss(at, labels), at, create_graph=create)[0] * vector).sum()
        return value, at

    value, at = slope(x, True)
    step = 1e-6 * vector
    expected = float(slope(x + step, False)[0] - slope(x - step, False)[0]) / 2e-6
    if not value.requires_grad:  # linear where it is not 0
        assert abs(expected) < 1e-4
        return
    try:
        second = torch.autograd.grad(value, at)[0]
    except RuntimeError as error:
        assert "no second derivative" in str(error)
        return
    assert float((second * vector).sum()) == pytest.approx(expected, rel=1e-3, abs=1e-4)


@pytest.mark.parametrize("name", EVERY)
def test_autocast_changes_nothing(name: str) -> None:
    loss = EVERY[name].float()
    generator = torch.Generator().manual_seed(6)
    x = torch.nn.functional.normalize(torch.randn(12, 6, generator=generator), dim=1)
    labels = torch.arange(12)[:, None] // torch.tensor([2, 4, 8])
    results = []
    for enabled in (False, True):
        own = x.clone().requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            value = loss(own, labels)
        value.backward()
        results.append((value.detach(), own.grad))
    assert torch.equal(results[0][0], results[1][0]) and torch.equal(results[0][1], results[1][1])


def test_references_of_another_precision_are_refused() -> None:
    labels = torch.arange(4)[:, None] // 2
    with pytest.raises(ValueError, match=r"same precision as the queries \(torch.float32\), got"):
        T.SupAPLoss()(torch.eye(4), labels, torch.eye(4).double(), labels)
    T.SupAPLoss()(torch.eye(4), labels, torch.eye(4).half(), labels)
