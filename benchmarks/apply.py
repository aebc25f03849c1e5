"""Time of `strata apply` against the build that it follows, by the command, on the real names.

    python -m benchmarks.apply --shared DIR [--decisions 8] [--repeats 3]

The sample's landmarks from names alone, encoder `registry`. Each repetition builds a new workspace
whose vectors are in its store, fills in the sheet's first rows with `keep`, applies it, applies the
same file again, and builds again. Prints a line of JSON: medians of seconds, and their ratios.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd


def strata(*words: object) -> float:
    """Seconds that a command takes; it has to be done."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "strata_labels.cli", *map(str, words)]
    ended = subprocess.run(command, capture_output=True, text=True)
    if ended.returncode not in (0, 3):
        raise SystemExit(ended.stdout + ended.stderr)
    return time.perf_counter() - began


def fill_in(sheet: Path, target: Path, decisions: int) -> None:
    """A sheet with `keep` in its first rows of items that have a suggestion."""
    rows = pd.read_csv(sheet, dtype=str, keep_default_na=False)
    rows = rows[rows["row_id"].str.startswith("1:") & (rows["suggestion"] != "")].head(decisions)
    if len(rows) < decisions:
        raise SystemExit(f"{sheet}: only {len(rows)} open rows")
    rows.assign(decision="keep").to_csv(target, index=False)


def main() -> None:
    """Prints the medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, required=True, help="folder of the real data")
    parser.add_argument("--decisions", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    seconds: dict[str, list[float]] = {"build": [], "apply": [], "again": [], "idle_build": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        metadata = folder / "metadata"
        metadata.mkdir()
        sample = given.shared / "gldv2" / "train_label_to_hierarchical.sample.csv"
        landmarks = pd.read_csv(sample, dtype=str)[["landmark_id", "category"]]
        landmarks.to_csv(metadata / "train_label_to_category.csv", index=False)
        store = folder / "store"
        for number in range(given.repeats + 1):
            workspace, filled = folder / f"ws-{number}", folder / f"sheet-{number}.csv"
            if number:
                shutil.copytree(store, workspace / "vectors" / "store")
            words = ("build", "gldv2-h", workspace, "--metadata", metadata, "--encoder", "registry")
            built = strata(*words)
            if not number:  # fills the store
                shutil.copytree(workspace / "vectors" / "store", store)
                continue
            fill_in(workspace / "review.csv", filled, given.decisions)
            seconds["build"].append(built)
            seconds["apply"].append(strata("apply", workspace, filled, "--reviewer", "benchmark"))
            seconds["again"].append(strata("apply", workspace, filled, "--reviewer", "benchmark"))
            seconds["idle_build"].append(strata(*words))
    medians = {name: round(statistics.median(of), 2) for name, of in seconds.items()}
    shares = {f"{name}/build": round(medians[name] / medians["build"], 3) for name in seconds}
    shares.pop("build/build")
    rows = {"landmarks": len(landmarks), "decisions": given.decisions, "repeats": given.repeats}
    print(json.dumps({**rows, **medians, **shares}))


if __name__ == "__main__":
    main()
