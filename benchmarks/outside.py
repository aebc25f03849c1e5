"""Open set: nodes left out, and how well their items are told from the others, printed as a table.

    python -m benchmarks.outside names|grocery --shared DIR [--draws 0 10]

A fifth of the nodes is left out: their items are there without a label, and the vocabulary lacks
them. Half of the other items are labelled. Constants were chosen on draws 100 to 109 of grocery
and 100 to 102 of names; report others.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy.linalg import solve_triangular
from scipy.special import logsumexp
from sklearn.metrics import roc_auc_score
from strata_labels.proposal import Lexicon, Prompts, Scorer, Signals
from strata_labels.proposal.learners import ExactRidge, Targets, answers_of, kernel
from strata_labels.proposal.outside import outside_score, tolerance_limit
from strata_labels.proposal.signals import Features, features

from benchmarks.label_issues import grocery_scorer
from benchmarks.proposal import ASSETS, read_sample, sample_evidence, truth_of

RIDGE = 0.15
# Of the corrected energy. Set by hand; on draws 100 to 102 of grocery, three ways were tried.
WIDTH, LEARNING_RATE, STEPS, BATCH, WALK, STRIDE, PULL = 256, 1e-3, 300, 64, 20, 0.1, 0.01


def distances(
    vectors: np.ndarray, known: np.ndarray, num_nodes: int, dimensions: int = 128
) -> dict[str, np.ndarray]:
    """Class means with one shared covariance: Mahalanobis, relative Mahalanobis, mixture energy.

    Lee et al. 2018; Ren et al. 2021; the third is the density that HEAT (Lafon et al. 2023)
    corrects, the fourth with its learnt correction. The residual is what the principal space leaves
    (Wang et al., ViM, 2022).
    """
    rows = np.flatnonzero(known >= 0)
    centred = vectors - vectors[rows].mean(axis=0)
    axes = np.linalg.svd(centred[rows], full_matrices=False)[2][:dimensions].T
    inside = centred @ axes
    residual = np.linalg.norm(centred - inside @ axes.T, axis=1)
    labels = known[rows]
    sums = np.zeros((num_nodes, inside.shape[1]))
    np.add.at(sums, labels, inside[rows])
    counts = np.bincount(labels, minlength=num_nodes)
    seen = counts > 0
    means = sums[seen] / counts[seen, None]
    position = np.cumsum(seen) - 1
    within = _whitened(inside, inside[rows] - means[position[labels]])
    centres = _whitened(means, inside[rows] - means[position[labels]])
    squared = np.square(within).sum(axis=1)[:, None] - 2 * within @ centres.T
    squared += np.square(centres).sum(axis=1)
    everything = np.square(_whitened(inside, inside[rows])).sum(axis=1)
    prior = np.log(counts[seen] / counts.sum())
    return {
        "Mahalanobis": squared.min(axis=1),
        "relative Mahalanobis": squared.min(axis=1) - everything,
        "mixture energy": -logsumexp(-squared / 2 + prior, axis=1),
        "mixture energy, corrected": corrected_energy(within, centres, prior, rows),
        "residual": residual,
    }


def corrected_energy(
    vectors: np.ndarray, centres: np.ndarray, prior: np.ndarray, rows: np.ndarray
) -> np.ndarray:
    """The energy of a Gaussian mixture and a small network that is learnt from what it misses.

    By contrastive divergence: the energy of labelled rows is lowered against samples that Langevin
    dynamics draws from the corrected density, starting from the mixture (Lafon et al., ICML 2023).

    Args:
        vectors: whitened, `[n, d]`.
        centres: of the components, unit covariance, `[C, d]`.
        prior: logarithm of the share of each, `[C]`.
        rows: labelled ones.
    """
    torch.manual_seed(0)
    all_rows, means, shares = (
        torch.tensor(a, dtype=torch.float32) for a in (vectors, centres, prior)
    )
    network = torch.nn.Sequential(
        torch.nn.Linear(vectors.shape[1], WIDTH), torch.nn.SiLU(), torch.nn.Linear(WIDTH, 1)
    )
    optimizer = torch.optim.AdamW(network.parameters(), LEARNING_RATE)

    def mixture(some: torch.Tensor) -> torch.Tensor:
        return -torch.logsumexp(shares - torch.cdist(some, means).square() / 2, dim=1)

    given = all_rows[torch.tensor(rows)]
    for _ in range(STEPS):
        real = given[torch.randint(len(given), (BATCH,))]
        start = torch.multinomial(shares.exp(), BATCH, replacement=True)
        drawn = means[start] + torch.randn(BATCH, means.shape[1])
        for _ in range(WALK):
            drawn.requires_grad_()
            energy = mixture(drawn) + network(drawn)[:, 0]
            (slope,) = torch.autograd.grad(energy.sum(), drawn)
            drawn = (drawn - STRIDE * slope / 2 + STRIDE**0.5 * torch.randn_like(drawn)).detach()
        of_real, of_drawn = network(real), network(drawn)
        loss = (of_real - of_drawn).mean() + PULL * (of_real.square() + of_drawn.square()).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        return (mixture(all_rows) + network(all_rows)[:, 0]).numpy()


def _whitened(vectors: np.ndarray, sample: np.ndarray, shrink: float = 0.1) -> np.ndarray:
    covariance = sample.T @ sample / len(sample)
    level = np.trace(covariance) / len(covariance)
    covariance = (1 - shrink) * covariance + shrink * level * np.eye(len(covariance))
    return vectors @ np.linalg.cholesky(np.linalg.inv(covariance))


def statistics(
    scorer: Scorer, parts: Features, known: np.ndarray, vectors: np.ndarray
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Every method's score of the open items (larger: farther outside), and which ours sets aside.

    The last is `[2, r]`: with the labelled share, and without it.
    """
    rows, rest = np.flatnonzero(known >= 0), np.flatnonzero(known < 0)
    num_nodes = len(scorer.nodes)
    targets = Targets(rows, known[rows], num_nodes, answers_of(np.full(len(rows), -1)))
    ridge = ExactRidge(parts, targets, RIDGE).scores(np.arange(len(known)))
    share = scorer.labelled_share(known >= 0)
    scores = scorer.fit(known)
    best = scores.top_probability[:, 0]
    ours, alone = outside_score(best, known >= 0, share), outside_score(best, known >= 0)
    alike = kernel(parts, rest, rows)
    lower = np.linalg.cholesky(kernel(parts, rows, rows) + RIDGE * np.eye(len(rows)))
    spread = 1 - np.square(solve_triangular(lower, alike.T, lower=True)).sum(axis=0)
    found = {
        "probability and labelled share": ours[rest],
        "largest ridge score": -ridge[rest].max(axis=1),
        "labelled share": -share[rest],
        "largest probability": -best[rest],
        "posterior variance": spread,
        "three nearest": -np.sort(alike, axis=1)[:, -3:].mean(axis=1),
    }
    for name, values in distances(vectors, known, len(scorer.nodes)).items():
        found[name] = values[rest]
    aside = [score[rest] > tolerance_limit(score[known >= 0]) for score in (ours, alone)]
    return found, np.stack(aside) & ~scores.accepted[rest]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", choices=["names", "grocery"])
    parser.add_argument("--shared", type=Path, required=True, help="folder of the real data")
    parser.add_argument("--cache", type=Path, default=Path(".bench"), help="folder for vectors")
    parser.add_argument("--draws", type=int, nargs=2, default=(0, 10), metavar=("FIRST", "END"))
    chosen = parser.parse_args()
    if chosen.data == "names":
        table = read_sample(chosen.shared)
        text, prompts = sample_evidence(table, chosen.cache)
        vocabulary = pd.read_csv(ASSETS / "vocabulary.csv").dropna(subset="parent")
        all_nodes = vocabulary["node"].tolist()
        terms = pd.read_csv(ASSETS / "lexicon.csv", dtype=str, keep_default_na=False)
        truth = truth_of(table, all_nodes)
        rows = truth >= 0
        truth, vectors = truth[rows], text[rows]
        names, qualifiers = (table.loc[rows, column].tolist() for column in ("name", "qualifier"))
        signals = Signals(names, qualifiers, text=vectors)
    else:
        whole, truth = grocery_scorer(chosen.shared, chosen.cache, "coarse_id")
        signals, all_nodes = whole.signals, whole.nodes
        assert signals.image is not None
        vectors = signals.image.items
    results = []
    for seed in range(*chosen.draws):
        random = np.random.default_rng(seed)
        left_out = random.choice(len(all_nodes), round(len(all_nodes) / 5), replace=False)
        kept = np.setdiff1d(np.arange(len(all_nodes)), left_out)
        nodes = [all_nodes[n] for n in kept]
        is_outside = np.isin(truth, left_out)
        others = random.permutation(np.flatnonzero(~is_outside))
        known = np.full(len(truth), -1)
        given = others[: len(others) // 2]
        known[given] = np.searchsorted(kept, truth[given])
        if chosen.data == "names":
            mine = np.isin(prompts.node, kept)
            lexicon = Lexicon(terms[terms["node"].isin(nodes)], nodes)
            phrases = Prompts(prompts.vectors[mine], np.searchsorted(kept, prompts.node[mine]))
            scorer = Scorer(signals, nodes, lexicon, phrases)
        else:
            scorer = Scorer(signals, nodes)
        parts = features(signals, scorer.node_scores, len(nodes))
        found, aside = statistics(scorer, parts, known, vectors)
        out = is_outside[known < 0]
        figures = {name: roc_auc_score(out, values) for name, values in found.items()}
        for name, rows_aside in zip(("", ", probability only"), aside, strict=True):
            figures[f"set aside of those that belong{name}"] = rows_aside[~out].mean()
            figures[f"set aside of those left out{name}"] = rows_aside[out].mean()
        results.append(figures)
    print(f"{chosen.data}, draws {chosen.draws[0]} to {chosen.draws[1] - 1}")
    print(pd.DataFrame(results).agg(["mean", "std"]).T.round(4).to_string(), flush=True)


if __name__ == "__main__":
    main()
