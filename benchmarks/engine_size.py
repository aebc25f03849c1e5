"""Time and memory of one fit of the scorer at full size, or of the whole command, printed.

    python -m benchmarks.engine_size names|table|many_nodes
    python -m benchmarks.engine_size table|many_nodes --command

`names`: 203,094 made names with 384-d text vectors and 78 nodes, 110,000 of them labelled. `table`:
200,000 items with 256-d image vectors and 1,000 nodes, half of them labelled. `many_nodes`: 50,000
items and 10,000 nodes. With `--command`, `strata build table` is given these items as a CSV and
their vectors, and then `strata apply` 50 answers.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from strata_labels.proposal import CentredVectors, Scorer, Signals

WORDS = 20_000


def names(random: np.random.Generator) -> tuple[Scorer, np.ndarray, int]:
    """Made names whose last word tells the node in two of three cases; vectors tell a little."""
    size, nodes, labelled = 203_094, 78, 110_000
    truth = random.integers(0, nodes, size)
    letters = np.array(list("abcdefghijklmnoprstuvwz"))
    words = ["".join(random.choice(letters, length)) for length in random.integers(3, 10, WORDS)]
    last = np.where(random.random(size) < 0.67, truth * 9, random.integers(0, WORDS, size))
    last = (last + random.integers(0, 9, size)) % WORDS
    first = random.integers(0, WORDS, size)
    texts = [f"{words[a]} {words[b]}" for a, b in zip(first, last, strict=True)]
    vectors = random.standard_normal((size, 384)).astype(np.float32)
    vectors += 0.1 * random.standard_normal((nodes, 384)).astype(np.float32)[truth]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    signals = Signals(texts, [""] * size, text=vectors)
    return (
        Scorer(signals, [str(n) for n in range(nodes)], above=[np.arange(nodes) % 2]),
        truth,
        (labelled),
    )


def pictures(random: np.random.Generator, size: int, nodes: int) -> tuple[Scorer, np.ndarray, int]:
    """Made image vectors round a centre for each node, half of the items labelled."""
    truth = random.integers(0, nodes, size)
    vectors = random.standard_normal((size, 256)).astype(np.float32)
    vectors += 1.5 * random.standard_normal((nodes, 256)).astype(np.float32)[truth]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    blank = [""] * size
    signals = Signals(blank, blank, image=CentredVectors(vectors))
    above = [np.arange(nodes) % max(nodes // 20, 1)]
    return Scorer(signals, [str(n) for n in range(nodes)], above=above), truth, size // 2


def by_command(scorer: Scorer, truth: np.ndarray, labelled: int) -> None:
    """Builds a workspace of the items by command, and applies 50 answers."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        ids = [f"i{n}" for n in range(len(truth))]
        np.save(folder / "vectors.npy", np.asarray(scorer.signals.image))
        pd.DataFrame({"item_id": ids}).to_parquet(folder / "items.parquet")
        known = np.arange(len(truth)) < labelled
        levels = {"fine": truth, "coarse": scorer.levels.above[1][truth]}
        labels = {
            level: [
                f"{level} {node}" if has else "" for node, has in zip(nodes, known, strict=True)
            ]
            for level, nodes in levels.items()
        }
        table = pd.DataFrame({"id": ids, "image": [f"{name}.jpg" for name in ids], **labels})
        table.to_csv(folder / "items.csv", index=False)
        inputs = ["--items", "items.csv", "--vectors", "."]
        _run("build", "table", "ws", *inputs, "--encoder", "", at=folder)
        seen = np.flatnonzero(~known & np.isin(truth, truth[known]))[:50]
        answers = pd.DataFrame(
            {
                "row_id": [f"1:table/train/i{n}" for n in seen],
                "decision": "move",
                "target": [f"fine {node}" for node in truth[seen]],
            }
        )
        answers.to_csv(folder / "answers.csv", index=False)
        _run("apply", "ws", "answers.csv", "--reviewer", "curator", at=folder)


def _run(*words: str, at: Path) -> None:
    """Runs the command, and prints its wall time and the highest peak of those so far."""
    start = time.perf_counter()
    strata = Path(sys.executable).with_name("strata")
    done = subprocess.run([strata, *words], cwd=at, stdout=subprocess.DEVNULL)
    assert done.returncode in (0, 3), done.returncode
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    print(f"{words[0]}: {time.perf_counter() - start:.0f} s, peak {peak:.2f} GiB", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["names", "table", "many_nodes"])
    parser.add_argument("--command", action="store_true")
    chosen = parser.parse_args()
    if chosen.command and chosen.what == "names":
        parser.error("--command is for table and many_nodes")
    random = np.random.default_rng(0)
    if chosen.what == "names":
        scorer, truth, labelled = names(random)
    else:
        size, nodes = (200_000, 1_000) if chosen.what == "table" else (50_000, 10_000)
        scorer, truth, labelled = pictures(random, size, nodes)
    if chosen.command:
        by_command(scorer, truth, labelled)
        return
    known = np.full(len(truth), -1)
    known[:labelled] = truth[:labelled]
    given = known.copy()
    scores = None
    for turn in ("fit", "fit after 50 answers more"):
        del scores  # as `strata build` does, before others take memory
        start, used = time.perf_counter(), time.process_time()
        scores = scorer.fit(known, given=given)
        seconds, cpu = time.perf_counter() - start, time.process_time() - used
        rest = known < 0
        right = (scores.node == truth)[rest].mean()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(
            f"{chosen.what}, {turn}: {seconds:.0f} s, {cpu:.0f} s CPU, peak {peak:.2f} GiB, "
            f"right {right:.3f}, accepted {scores.accepted[rest].mean():.3f}",
            flush=True,
        )
        known[labelled : labelled + 50] = truth[labelled : labelled + 50]


if __name__ == "__main__":
    main()
