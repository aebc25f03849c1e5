"""Label issues: planted errors found among given labels, printed as tables.

    python -m benchmarks.label_issues names|grocery --shared DIR [--draws 0 10] [--peer PYTHON]
    python -m benchmarks.label_issues photographs --shared DIR [--level coarse_id]

5 % of the labels are replaced, at random or by the most likely other node of the model of the
unchanged labels. Constants were chosen on draws 100 to 104; report others. `photographs`: items
have four photographs each, some of them of another coarse class, and 10 % of the labels are
replaced at random. `--peer` names a Python that has cleanlab installed: its label-quality scores
are computed on the same probabilities.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import average_precision_score, roc_auc_score
from strata_labels.proposal import CentredVectors, Scorer, Signals, is_shared
from strata_labels.proposal.label_issues import issues_at_level

from benchmarks.proposal import image_vectors, read_sample, sample_scorer, truth_of
from benchmarks.strangers import mean_of_alike

SHARE = 0.05
PEER_SCORES = ("self_confidence", "normalized_margin", "confidence_weighted_entropy")
PEER = f"""
import sys
import numpy as np
from cleanlab.rank import get_label_quality_scores
data = np.load(sys.argv[1])
scores = [
    get_label_quality_scores(
        data["labels"], data["probabilities"], method=name, adjust_pred_probs=adjust
    )
    for name in {PEER_SCORES!r}
    for adjust in ((False, True) if name != "confidence_weighted_entropy" else (False,))
]
np.save(sys.argv[2], np.array(scores))
"""
PEER_NAMES = (
    "self confidence",
    "self confidence, adjusted",
    "normalized margin",
    "normalized margin, adjusted",
    "confidence-weighted entropy",
)


def grocery_scorer(shared: Path, cache: Path, level: str) -> tuple[Scorer, np.ndarray]:
    """The scorer over grocery's photographs alone, and the node of each at a level of the table."""
    folder = shared / "grocery"
    table = pd.read_csv(folder / "subset.csv")
    vectors = image_vectors([folder / "subset" / path for path in table["path"]], cache)
    vectors = vectors - vectors.mean(axis=0)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    nodes, truth = np.unique(table[level], return_inverse=True)
    blank = [""] * len(table)
    return Scorer(
        Signals(blank, blank, image=CentredVectors(vectors)), [str(node) for node in nodes]
    ), truth


def planted(
    truth: np.ndarray, num_nodes: int, seed: int, likely: np.ndarray | None, share: float = SHARE
) -> tuple[np.ndarray, np.ndarray]:
    """Labels with some replaced, and which; `likely` are the nodes to take, None: any other."""
    random = np.random.default_rng(seed)
    rows = random.choice(len(truth), round(share * len(truth)), replace=False)
    labels = truth.copy()
    other = (truth[rows] + random.integers(1, num_nodes, len(rows))) % num_nodes
    labels[rows] = other if likely is None else likely[rows]
    return labels, labels != truth


def figures(score: np.ndarray, bad: np.ndarray) -> dict[str, float]:
    """AUROC, average precision, and the share of bad labels among the lowest tenth."""
    first = np.argsort(score, kind="stable")[: round(0.1 * len(score))]
    return {
        "auroc": roc_auc_score(bad, -score),
        "ap": average_precision_score(bad, -score),
        "first_tenth": bad[first].sum() / bad.sum(),
    }


def peer_scores(python: str, probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Scores of the other library, run in its own environment, `[S, n]`."""
    with tempfile.TemporaryDirectory() as folder:
        given, found = Path(folder) / "given.npz", Path(folder) / "found.npy"
        np.savez(given, labels=labels, probabilities=probabilities.astype(np.float64))
        subprocess.run([python, "-c", PEER, str(given), str(found)], check=True)
        return np.load(found)


def photographs(shared: Path, cache: Path, level: str, draws: range) -> None:
    """Two items of four photographs of each fine class: with and without a look at each of them."""
    folder = shared / "grocery"
    table = pd.read_csv(folder / "subset.csv")
    vectors = image_vectors([folder / "subset" / path for path in table["path"]], cache)
    of_class = np.stack(list(table.groupby("fine_id").groups.values()))
    coarse, label = table["coarse_id"].to_numpy(), table[level].to_numpy()
    results = []
    for strangers in (0.0, 0.2, 0.4):
        for seed in draws:
            random = np.random.default_rng(seed)
            mixed = [random.permutation(own).reshape(2, -1) for own in of_class]
            shown = np.concatenate(mixed)
            truth = np.unique(label[shown[:, 0]], return_inverse=True)[1]
            for item, at in np.argwhere(random.random(shown.shape) < strangers):
                others = np.flatnonzero(coarse != coarse[shown[item, 0]])
                shown[item, at] = random.choice(others)
            num_nodes = int(truth.max()) + 1
            labels, bad = planted(truth, num_nodes, seed, None, 0.1)
            blank, nodes = [""] * len(labels), [str(node) for node in range(num_nodes)]
            scorer = Scorer(
                Signals(blank, blank, image=CentredVectors(mean_of_alike(vectors[shown]))), nodes
            )
            left_out = scorer.fit(labels).left_out
            by_image = scorer.left_out_by_image(np.arange(len(labels)), vectors[shown])
            judged = is_shared(labels[:, None])[:, 0]
            for name, found, worth in (
                ("before", left_out, None),
                ("labels with company", left_out, judged),
                ("and by photograph", by_image, judged),
            ):
                issues = issues_at_level(found.astype(np.float64), labels, judged=worth)
                counts = {"opened": issues.opened.sum(), "wrong": bad[issues.opened].sum()}
                counts["expected"] = issues.expected_wrong
                result = {"strangers": strangers, "method": name}
                results.append(result | figures(issues.score, bad) | counts)
    groups = pd.DataFrame(results).groupby(["strangers", "method"], sort=False)
    print(groups.mean().assign(ap_deviation=groups["ap"].std()).round(3).to_string())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", choices=["names", "grocery", "photographs"])
    parser.add_argument("--level", default="fine_id", help="photographs: fine_id, coarse_id or top")
    parser.add_argument("--shared", type=Path, required=True, help="folder of the real data")
    parser.add_argument("--cache", type=Path, default=Path(".bench"), help="folder for vectors")
    parser.add_argument("--draws", type=int, nargs=2, default=(0, 10), metavar=("FIRST", "END"))
    parser.add_argument("--peer", help="a Python that has cleanlab")
    chosen = parser.parse_args()
    if chosen.data == "photographs":
        photographs(chosen.shared, chosen.cache, chosen.level, range(*chosen.draws))
        return
    if chosen.data == "names":
        table = read_sample(chosen.shared)
        scorer = sample_scorer(table, chosen.cache)
        node = truth_of(table, scorer.nodes)
    else:
        scorer, node = grocery_scorer(chosen.shared, chosen.cache, chosen.level)
    rows = np.flatnonzero(node >= 0)
    truth = node[rows]

    def left_out(labels: np.ndarray) -> np.ndarray:
        known = node.copy()
        known[rows] = labels
        return scorer.fit(known).left_out.astype(np.float64)

    unchanged = left_out(truth)
    issues = issues_at_level(unchanged, truth)
    print(f"unchanged: {issues.opened.sum()} opened, {issues.expected_wrong:.0f} expected wrong")
    unchanged[np.arange(len(truth)), truth] = -1.0
    for kind, likely in (("random", None), ("confusable", unchanged.argmax(axis=1))):
        results, opened = [], []
        for seed in range(*chosen.draws):
            labels, bad = planted(truth, len(scorer.nodes), seed, likely)
            probabilities = left_out(labels)
            issues = issues_at_level(probabilities, labels)
            own = probabilities[np.arange(len(labels)), labels]
            scores = {"label_issues score": issues.score, "1 - wrong": 1 - issues.wrong}
            scores["probability of the label"] = own
            if chosen.peer:
                found = peer_scores(chosen.peer, probabilities, labels)
                scores |= {f"peer: {name}": s for name, s in zip(PEER_NAMES, found, strict=True)}
            results += [{"method": name} | figures(s, bad) for name, s in scores.items()]
            opened.append(
                {
                    "planted": bad.sum(),
                    "opened": issues.opened.sum(),
                    "expected wrong": issues.expected_wrong,
                    "planted among opened": bad[issues.opened].sum(),
                    "suggestion right": (issues.suggestion == truth)[bad].mean(),
                }
            )
        print(kind, f"draws {chosen.draws[0]} to {chosen.draws[1] - 1}")
        shown = pd.DataFrame(results).groupby("method", sort=False).agg(["mean", "std"])
        print(shown.round(4).to_string())
        print(pd.DataFrame(opened).agg(["mean", "std"]).round(2).to_string(), flush=True)


if __name__ == "__main__":
    main()
