"""Time of SupHAP, as a ratio to the plain reference, and memory of losses with many proxies.

`python -m benchmarks.losses`; `--classes 100000` measures the memory alone.

Forward and backward, 512-d, 3 levels, single precision, by `strata_labels.losses` and by
`benchmarks.plain_losses`, in turn. Only the ratios of one run mean anything on a shared machine;
`--processor-time --threads 1` leaves out what other programs took.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import time
from collections.abc import Callable

import torch
from strata_labels.losses import ClusterLoss, CSLLoss, SupHAPLoss
from torch import Tensor

from benchmarks import data, plain_losses


def timed(
    loss: Callable[[Tensor, Tensor], Tensor],
    embeddings: Tensor,
    labels: Tensor,
    clock: Callable[[], float],
) -> float:
    """Seconds of one forward and backward."""
    embeddings = embeddings.clone().requires_grad_()
    began = clock()
    loss(embeddings, labels).backward()
    return clock() - began


def peak() -> float:
    """Peak memory of this process so far, GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def proxy_memory(name: str, classes: int) -> None:
    """Prints what a step of 256 embeddings takes above the proxies, their gradient included."""
    fine = torch.arange(classes)
    paths = torch.stack([fine, fine // 10, fine // 1000], dim=1)
    loss: ClusterLoss | CSLLoss = ClusterLoss(classes, 512)
    if name == "csl":
        loss = CSLLoss(paths, 512, (0.25, 0.35, 0.45))
    labels = paths[torch.randint(classes, (256,))]
    embeddings = torch.nn.functional.normalize(torch.randn(256, 512), dim=1).requires_grad_()
    before = peak()
    loss(embeddings, labels).backward()
    size = loss.proxies.nbytes / 2**30
    print(f"{name}, {classes:,} classes: {peak() - before:.2f} GiB above {size:.2f} GiB of proxies")


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batches", type=int, nargs="+", default=[256, 384])
    parser.add_argument("--large", type=int, nargs="*", default=[1024, 2048])
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--processor-time", action="store_true")
    parser.add_argument("--classes", type=int, help="measure a proxy loss's memory alone")
    parser.add_argument("--proxy-loss", choices=["cluster", "csl"], default="cluster")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.classes:
        return proxy_memory(options.proxy_loss, options.classes)
    clock = time.process_time if options.processor_time else time.perf_counter
    loss = SupHAPLoss()
    before = peak()
    for size in options.large:
        labels = data.labels(size, (size // 4, 12, 2))
        embeddings = data.embeddings(labels, 512)
        seconds = timed(loss, embeddings, labels, clock)
        print(
            f"batch {size}: {seconds:.2f} s, peak {peak():.2f} GiB ({before:.2f} before)",
            flush=True,
        )
    for size in options.batches:
        labels = data.labels(size, (size // 4, 12, 2))
        embeddings = data.embeddings(labels, 512)
        own, other = [], []
        for _ in range(options.repeat):
            own.append(timed(loss, embeddings, labels, clock))
            other.append(timed(plain_losses.sup_hap_loss, embeddings, labels, clock))
        ratios = sorted(b / a for a, b in zip(own, other, strict=True))
        print(
            f"batch {size}: {statistics.median(own):.3f} s, "
            f"plain {statistics.median(other):.2f} s: "
            f"{statistics.median(ratios):.1f} x faster (median; {ratios[0]:.1f} to "
            f"{ratios[-1]:.1f}); peak with the plain one {peak():.2f} GiB",
            flush=True,
        )


if __name__ == "__main__":
    main()
