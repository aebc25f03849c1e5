"""Simulated review of the real sample: decisions until agreement, printed and drawn.

    python -m benchmarks.review --shared DIR [--figure PNG] [--share 1.0 --seed 0]
    python -m benchmarks.review --shared DIR --share 0.6 --first 100 [--seeds 0 5]

Names and the registry encoder's text vectors; truth is the published label. Grids of at most ten
look-alikes, then one row at a time. `--share` takes a part of the labelled rows, by `--seed`.
`--first` stops after so many decisions and prints the calibration error of the open rows. The last
panel is the recorded Wikidata classes: items that one decision on a class settles.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from strata_labels.build import simulate, simulate_review

TARGETS = [0.95, 0.99]
# Building, architectural structure and geographic feature: what a landmark can be.
ROOTS = ("Q41176", "Q811979", "Q618123")
FIGURE = Path(__file__).parent / "review.png"


def landmark_classes(shared: Path) -> Counter[str]:
    """Items by class, of the recorded items below `ROOTS` (an item with several: the first)."""
    folder = shared / "wikidata"
    ends: dict[str, Any] = {"sep": "\t", "dtype": str, "usecols": ["node1", "node2"]}
    above = pd.read_csv(folder / "derived.P279star.tsv.gz", **ends)
    inside = {*above.loc[above["node2"].isin(ROOTS), "node1"], *ROOTS}
    items = pd.read_csv(folder / "derived.P31.tsv.gz", **ends)
    items = items[items["node2"].isin(inside)].sort_values(["node1", "node2"])
    items = items.drop_duplicates("node1")
    return Counter(items["node2"])


def draw(curves: dict[str, dict[str, Any]], classes: list[int], path: Path) -> None:
    """Agreement against decisions, and items settled against decisions on classes."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for name, result in curves.items():
        points = result["curve"]
        left.plot(
            [p["decisions_per_1000"] for p in points], [p["agreement"] for p in points], label=name
        )
    for target in TARGETS:
        left.axhline(target, color="0.8", linewidth=0.8, zorder=0)
    left.set(xlabel="decisions per 1,000 landmarks", ylabel="agreement with the published label")
    left.legend(frameon=False)
    total = sum(classes)
    settled = np.concatenate([[0], np.cumsum(classes)]) / total
    right.plot(np.arange(len(settled))[1:], settled[1:], label="class first")
    asked = np.geomspace(1, total, 200)
    right.plot(asked, asked / total, label="item by item")
    right.axhline(0.9, color="0.8", linewidth=0.8, zorder=0)
    right.set(xscale="log", xlabel="decisions", ylabel="share of the items settled")
    right.legend(frameon=False)
    figure.savefig(path, dpi=120, metadata={"Software": None})
    plt.close(figure)


def part_of(truth: Path, share: float, seed: int, folder: Path) -> Path:
    """A file of a part of the labelled rows."""
    table = pd.read_csv(truth, dtype=str)
    table = table[table["hierarchical_label"].notna()]
    table = table.sample(frac=share, random_state=seed).sort_index()
    path = folder / str(seed) / truth.name
    path.parent.mkdir()
    table.to_csv(path, index=False)
    return path


def first_calibration(
    truth: Path, encoder: str, share: float, first: int, seeds: range, store: Path | None
) -> None:
    """Calibration error after the first decisions on parts of the sample, by grids of ten."""
    simulate.MEASURE_AFTER = first
    errors = []
    with tempfile.TemporaryDirectory() as spare:
        kept = store or Path(spare) / "store"
        for seed in seeds:
            file = part_of(truth, share, seed, Path(spare))
            own = file.parent / "ws" / "vectors" / "store"
            if kept.is_dir():  # a name is encoded once
                shutil.copytree(kept, own)
            # Agreement that is reached soon after the decisions that are asked for.
            found = simulate_review(file, file.parent / "ws", "gldv2-h", encoder, [0.8])
            if store is None:
                shutil.copytree(own, kept, dirs_exist_ok=True)
            print(seed, found["num_items"], found["calibration"], flush=True)
            errors.append(found["calibration"]["error"])
    print(f"mean {np.mean(errors):.3f}, deviation {np.std(errors, ddof=1):.3f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, required=True, help="folder of the real data")
    parser.add_argument("--figure", type=Path, default=FIGURE)
    parser.add_argument("--share", type=float, default=1.0, help="part of the labelled rows")
    parser.add_argument("--seed", type=int, default=0, help="which part")
    parser.add_argument("--encoder", default="registry")
    parser.add_argument("--first", type=int, help="calibration after so many decisions alone")
    parser.add_argument("--store", type=Path, help="vectors/store of a build of the sample")
    parser.add_argument("--seeds", type=int, nargs=2, default=(0, 5), metavar=("FIRST", "END"))
    chosen = parser.parse_args()
    truth = chosen.shared / "gldv2" / "train_label_to_hierarchical.sample.csv"
    if chosen.first:
        seeds = range(*chosen.seeds)
        store = chosen.store
        first_calibration(truth, chosen.encoder, chosen.share, chosen.first, seeds, store)
        return
    curves: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as spare:
        if chosen.share < 1:
            truth = part_of(truth, chosen.share, chosen.seed, Path(spare))
        for kind, size in (("grids of ten", 10), ("row by row", 1)):
            out = Path(spare) / str(size)
            result = simulate_review(truth, out, "gldv2-h", chosen.encoder, TARGETS, size)
            curves[kind] = result
            print(kind, result["num_items"], "items", result["decisions_per_1000"])
            for name in ("rows_per_1000", "minutes_per_1000", "minutes_row_by_row_per_1000"):
                print(" ", name, result[name])
            print("  calibration of open rows", result["calibration"], flush=True)
    classes = sorted(landmark_classes(chosen.shared).values(), reverse=True)
    total = sum(classes)
    needed = int(np.searchsorted(np.cumsum(classes), 0.9 * total)) + 1
    print(f"{total:,} items in {len(classes):,} classes: one decision settles")
    print(f"  {total / len(classes):.1f} items in the mean, {classes[0]:,} the largest class;")
    print(f"  90 % after {needed:,} decisions on classes, {round(0.9 * total):,} item by item")
    draw(curves, classes, chosen.figure)


if __name__ == "__main__":
    main()
