"""Learning curve of the scorer's kernel: exact, from landmarks, and limited to 2,000 labels.

    python -m benchmarks.learning_curve --shared DIR [--folds 3] [--figure PNG]

Names of the real sample; kernel ridge alone, without the blend. A fifth of the labelled rows is
unseen, and more and more of the others are known.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.model_selection import KFold
from strata_labels.proposal.landmarks import RANK, LandmarkRidge, LandmarkSums, spread_over_nodes
from strata_labels.proposal.learners import ExactRidge, Targets, answers_of
from strata_labels.proposal.signals import features

from benchmarks.proposal import read_sample, sample_scorer, truth_of

SIZES = (250, 500, 1_000, 2_000, 4_000, 10_000)
FEW = 2_000
RIDGE = 0.15
FIGURE = Path(__file__).parent / "learning_curve.png"
KINDS = ("exact", f"{RANK:,} landmarks", "1,000 landmarks", f"exact, {FEW:,} labels at most")


def targets_of(rows: np.ndarray, truth: np.ndarray, num_nodes: int) -> Targets:
    """Labelled rows, each an answer of its own."""
    return Targets(rows, truth[rows], num_nodes, answers_of(np.full(len(rows), -1)))


def draw(table: pd.DataFrame, path: Path) -> None:
    """Agreement on unseen rows against known labels."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    for kind, style in zip(KINDS, ("-", "--", ":", "-."), strict=True):
        part = table[table["kind"] == kind].groupby("labels")["agreement"].mean()
        axes.plot(part.index, 100 * part, style, marker="o", markersize=3, label=kind)
    axes.set(xscale="log", xlabel="known labels", ylabel="agreement on unseen rows, %")
    axes.legend(frameon=False)
    figure.savefig(path, dpi=100, metadata={"Software": None})
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, required=True, help="folder of the real data")
    parser.add_argument("--cache", type=Path, default=Path(".bench"), help="folder for vectors")
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--figure", type=Path, default=FIGURE)
    chosen = parser.parse_args()
    table = read_sample(chosen.shared)
    scorer = sample_scorer(table, chosen.cache)
    num_nodes = len(scorer.nodes)
    parts = features(scorer.signals, scorer.node_scores, num_nodes)
    truth = truth_of(table, scorer.nodes)
    labelled = np.flatnonzero(truth >= 0)
    rows = []
    splits = list(KFold(5, shuffle=True, random_state=0).split(labelled))
    for train, test in splits[: chosen.folds]:
        order = np.random.default_rng(0).permutation(train)
        found: dict[tuple[int, int], float] = {}
        for size in SIZES:
            some = np.sort(labelled[order[:size]])
            ranks = dict(zip(KINDS, (len(some), RANK, 1_000, len(some)), strict=True))
            for kind, rank in ranks.items():
                key = (min(len(some), FEW if kind == KINDS[3] else len(some)), min(rank, len(some)))
                if kind == KINDS[3]:
                    key = (key[0], key[0])
                if key not in found:
                    landmarks = some[spread_over_nodes(truth[some], key[1])]
                    ridge: ExactRidge | LandmarkRidge
                    if key[0] == key[1]:
                        ridge = ExactRidge(parts, targets_of(landmarks, truth, num_nodes), RIDGE)
                    else:
                        targets = targets_of(some, truth, num_nodes)
                        ridge = LandmarkRidge(LandmarkSums(parts, targets, landmarks, RIDGE))
                    unseen = labelled[test]
                    guess = ridge.scores(unseen).argmax(axis=1)
                    found[key] = float((guess == truth[unseen]).mean())
                rows.append({"kind": kind, "labels": len(some), "agreement": found[key]})
                print(rows[-1], flush=True)
    results = pd.DataFrame(rows)
    print(results.pivot_table("agreement", "labels", "kind").round(4).to_string(), flush=True)
    draw(results, chosen.figure)


if __name__ == "__main__":
    main()
