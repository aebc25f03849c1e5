"""Processor time of scoring again after decisions, at GLDv2's full size.

    python -m benchmarks.refit --shared DIR [--labels 5500] [--rows 203094]

The real sample is repeated with changed names and vectors up to `--rows` rows; `--labels` of them
are known. Threads as the environment says (`OMP_NUM_THREADS=1` for one).
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import pandas as pd
from strata_labels.proposal import Proposer

from benchmarks.proposal import ASSETS, read_sample, sample_evidence, scorer_over, truth_of


def repeat(table: pd.DataFrame, vectors: np.ndarray, rows: int) -> tuple[pd.DataFrame, np.ndarray]:
    """The sample again and again: a word more in each name, a little noise on each vector."""
    times = -(-rows // len(table))
    copies = [
        table.assign(name=table["name"] + f" {chr(97 + n % 26)}{n}" if n else table["name"])
        for n in range(times)
    ]
    noise = np.random.default_rng(0).standard_normal((rows, vectors.shape[1]), dtype=np.float32)
    noisy = np.concatenate([vectors] * times)[:rows] + 0.02 * noise
    noisy /= np.linalg.norm(noisy, axis=1, keepdims=True)
    return pd.concat(copies, ignore_index=True)[:rows], noisy


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, required=True, help="folder of the real data")
    parser.add_argument("--cache", type=Path, default=Path(".bench"), help="folder for vectors")
    parser.add_argument("--rows", type=int, default=203_094)
    parser.add_argument("--labels", type=int, default=5_500)
    chosen = parser.parse_args()
    table = read_sample(chosen.shared)
    text, phrases = sample_evidence(table, chosen.cache)
    table, text = repeat(table, text, chosen.rows)
    start, wall = time.process_time(), time.perf_counter()

    def lap(what: str) -> None:
        nonlocal start, wall
        now, clock = time.process_time(), time.perf_counter()
        print(f"{what:34} {now - start:6.1f} s of processor, {clock - wall:6.1f} s", flush=True)
        start, wall = time.process_time(), time.perf_counter()

    scorer = scorer_over(table, text, phrases)
    lap("evidence")
    truth = truth_of(table, scorer.nodes)
    labelled = np.flatnonzero(truth >= 0)
    for what in ("first fit, with n-grams", "refit"):
        picked = np.random.default_rng(len(what)).permutation(labelled)[: chosen.labels]
        known = np.full(len(table), -1)
        known[picked] = truth[picked]
        scores = scorer.fit(known)
        lap(what)
    items = pd.DataFrame(
        {
            "item_id": [f"gldv2/train/{number}" for number in range(len(table))],
            "name": table["name"],
            "title": table["name"],
            "split": "train",
            "qualifier": table["qualifier"],
        }
    )
    start, wall = time.process_time(), time.perf_counter()
    Proposer(items, scorer, pd.read_csv(ASSETS / "vocabulary.csv")).propose(scores)
    lap("table of proposals")


if __name__ == "__main__":
    main()
