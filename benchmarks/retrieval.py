"""Time of the metrics, as a ratio to the plain reference: `python -m benchmarks.retrieval`.

The whole report on n x n (default 20,000), 512-d, by `strata_labels.retrieval`; one batch of 256
queries by `benchmarks.plain_metrics`, multiplied up. Prints times, ratios and peak memory. Only the
ratios of one run mean anything on a shared machine; `--repeat` shows how far they scatter, and
`--processor-time --threads 1` leaves out what other programs took.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import time

import torch
from strata_labels.retrieval import evaluate_embeddings

from benchmarks import data, plain_metrics


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=20_000)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--processor-time", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    clock = time.process_time if options.processor_time else time.perf_counter
    n, batch = options.n, options.batch
    trees = {"3 levels": data.TREES[3], "7 levels": data.TREES[7], "half positive": data.HALF}
    inputs = {}
    for name, classes in trees.items():
        labels = data.labels(n, classes)
        inputs[name] = (data.embeddings(labels, options.dim), labels)
    ours: dict[str, list[float]] = {name: [] for name in trees}
    plain: dict[str, list[float]] = {name: [] for name in trees}
    memory = 0.0
    # Ours first: the peak memory of the process is then ours.
    for _ in range(options.repeat):
        for name, (embeddings, labels) in inputs.items():
            began = clock()
            report = evaluate_embeddings(embeddings, labels)
            ours[name].append(clock() - began)
            shown = ", ".join(f"{key} {report.means[key]:.4f}" for key in ("hap", "asi", "ndcg"))
            print(f"ours, {name}: {ours[name][-1]:.1f} s ({shown})", flush=True)
            memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    for _ in range(options.repeat):
        for name, (embeddings, labels) in inputs.items():
            began = clock()
            plain_metrics.report(embeddings[:batch], labels[:batch], embeddings, labels)
            plain[name].append((clock() - began) * n / batch)
            print(f"plain, {name}: {plain[name][-1]:.0f} s (from one batch)", flush=True)
    both = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"\npeak memory: ours {memory:.2f} GiB, with the plain reference {both:.2f} GiB")
    for name in trees:
        own, other = statistics.median(ours[name]), statistics.median(plain[name])
        print(f"{name}: {own:.1f} s, plain {other:.0f} s: {other / own:.1f} x faster (medians)")
    ratios = [b / a for a, b in zip(ours["3 levels"], ours["7 levels"], strict=True)]
    print("7 levels / 3 levels:", ", ".join(f"{ratio:.2f}" for ratio in ratios))


if __name__ == "__main__":
    main()
