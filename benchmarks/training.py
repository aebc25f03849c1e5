"""Heads on frozen vectors, loss against loss: `python -m benchmarks.training --shared DIR`.

The 648 photographs of `grocery`, encoder `registry`, 60 % of the fine classes to train, the rest to
test, five seeds. Every recipe has the same head, start, optimiser, schedule, nominal batch, steps
and tuning budget: its learning rate is the one of `RATES` with the best H-AP in cross-validation
over folds of the train classes, anew for every seed. Only loss and sampler differ. Printed are H-AP
and R@1 (finest level) of the test images against each other, by seed, with paired differences.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from strata_labels.embedding import VectorStore, embed_images, load_encoder
from strata_labels.retrieval import evaluate_embeddings
from strata_labels.training import load_recipe, train_head
from torch import Tensor

SEEDS = range(5)
RATES = (1e-4, 3e-4, 1e-3, 3e-3)
FOLDS = 3
TRAIN_SHARE = 0.6
METRICS = {"H-AP": "hap", "R@1": "recall_at_1_level0"}
Scores = dict[str, float]


def scores(embeddings: Tensor, labels: Tensor) -> Scores:
    """H-AP and R@1 of a set against itself."""
    means = evaluate_embeddings(torch.nn.functional.normalize(embeddings, dim=1), labels).means
    return {shown: means[name] for shown, name in METRICS.items()}


def trained(
    name: str, rate: float, vectors: Tensor, labels: Tensor, train: Tensor, seed: int
) -> Scores:
    """Scores of the images that are not in `train [n]` after training on those that are."""
    recipe = load_recipe(name, "head", [f"head_lr={rate}", f"proxy_lr={rate}"])
    head = train_head(vectors[train], labels[train], recipe, seed)
    with torch.inference_mode():
        return scores(head(vectors[~train]), labels[~train])


def train_images(labels: Tensor, seed: int) -> Tensor:
    """`[n]` whether an image is of the train classes of a seed."""
    classes = labels[:, 0].unique()
    order = np.random.default_rng(seed).permutation(len(classes))
    return torch.isin(labels[:, 0], classes[order[: int(TRAIN_SHARE * len(classes))]])


def folds(labels: Tensor, seed: int) -> Tensor:
    """`[n]` the fold of each image; a fine class is in one fold."""
    classes, number = labels[:, 0].unique(return_inverse=True)
    order = np.random.default_rng([seed, 1]).permutation(len(classes))
    return torch.from_numpy(np.argsort(order) % FOLDS)[number]


def tuned(name: str, vectors: Tensor, labels: Tensor, seed: int) -> float:
    """The rate with the best mean H-AP over folds of the fine classes; all images are train's."""
    fold = folds(labels, seed)
    found = {
        rate: statistics.mean(
            trained(name, rate, vectors, labels, fold != number, seed)["H-AP"]
            for number in range(FOLDS)
        )
        for rate in RATES
    }
    return max(found, key=found.__getitem__)


def grocery(shared: Path, store: Path) -> tuple[Tensor, Tensor]:
    """Vectors `[648, d]` and labels `[648, 3]`."""
    folder = shared / "grocery"
    table = pd.read_csv(folder / "subset.csv")
    paths = [folder / "subset" / path for path in table.path]
    vectors, _ = embed_images(VectorStore(store), load_encoder("registry"), paths)
    top = table.top.astype("category").cat.codes
    labels = np.stack([table.fine_id, table.coarse_id, top], axis=1).astype(np.int64)
    return torch.from_numpy(vectors), torch.from_numpy(labels)


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shared", type=Path, required=True, help="folder of the real data")
    parser.add_argument("--recipes", nargs="+", default=["happier", "nsm"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--vectors", type=Path, help="where vectors are kept for the next run")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        vectors, labels = grocery(options.shared, options.vectors or Path(folder))
    rows: dict[str, list[Scores]] = {}
    for seed in SEEDS:
        train = train_images(labels, seed)
        test, test_labels = vectors[~train], labels[~train]
        rows.setdefault("frozen", []).append(scores(test, test_labels))
        start = test - vectors[train].mean(0)
        rows.setdefault("untrained head", []).append(scores(start, test_labels))
        for name in options.recipes:
            began = time.perf_counter()
            rate = tuned(name, vectors[train], labels[train], seed)
            tuning = time.perf_counter() - began
            rows.setdefault(name, []).append(trained(name, rate, vectors, labels, train, seed))
            seconds = time.perf_counter() - began - tuning
            shown = ", ".join(f"{key} {value:.4f}" for key, value in rows[name][-1].items())
            print(
                f"seed {seed}, {name}: {shown} (rate {rate:g}, tuned in {tuning:.0f} s, "
                f"trained and scored in {seconds:.0f} s)",
                flush=True,
            )
    for metric in METRICS:
        print(
            f"\n{metric:<16}" + "".join(f"{f'seed {s}':>9}" for s in SEEDS) + "     mean   spread"
        )
        for name, values in rows.items():
            print(_line(name, [value[metric] for value in values], ""))
        first = options.recipes[0]
        print(f"{first} less")
        for name in rows:
            if name != first:
                pairs = zip(rows[first], rows[name], strict=True)
                print(_line(f"  {name}", [a[metric] - b[metric] for a, b in pairs], "+"))


def _line(name: str, values: list[float], sign: str) -> str:
    """Values, their mean and standard deviation over seeds."""
    cells = "".join(f"{value:>{sign}9.4f}" for value in [*values, statistics.mean(values)])
    return f"{name:<16}{cells}{statistics.stdev(values):>9.4f}"


if __name__ == "__main__":
    main()
