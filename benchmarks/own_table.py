"""A table of one's own with missing labels, built by the command, printed as a table.

    python -m benchmarks.own_table --shared DIR [--seeds 0 5] [--coarse]

Grocery's photographs as `id, image, fine, coarse, top`; half of the items have no label (with
`--coarse`: no fine label). Encoder `registry`. The vectors are computed once. Constants were chosen
on seeds 100 to 109; report others.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from strata_labels.proposal import calibration_error
from typer.testing import CliRunner

LEVELS = ("fine", "coarse", "top")


def build(shared: Path, folder: Path, seed: int, coarse: bool) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The assignments of the items that lacked a label, and their true labels."""
    from strata_labels.cli import app

    table = pd.read_csv(shared / "grocery" / "subset.csv", dtype=str)
    items = pd.DataFrame(
        {
            "id": [f"g{n:04d}" for n in range(len(table))],
            "image": "subset/" + table["path"],
            "fine": "f" + table["fine_id"],
            "coarse": "c" + table["coarse_id"],
            "top": table["top"],
        }
    )
    truth = items[list(LEVELS)].copy()
    rest = np.random.default_rng(seed).permutation(len(items))[len(items) // 2 :]
    items.loc[rest, LEVELS[:1] if coarse else LEVELS] = ""
    file = folder / f"items-{seed}.csv"
    items.to_csv(file, index=False)
    workspace, store = folder / f"ws-{seed}", folder / "store"
    if store.is_dir():
        shutil.copytree(store, workspace / "vectors" / "store")
    command = ["build", "table", str(workspace), "--items", str(file)]
    command += ["--images", str(shared / "grocery"), "--encoder", "registry"]
    result = CliRunner().invoke(app, command)
    if result.exit_code not in (0, 3):
        raise SystemExit(result.output)
    if not store.is_dir() and (workspace / "vectors" / "store").is_dir():
        shutil.copytree(workspace / "vectors" / "store", store)
    found = pd.read_parquet(workspace / "tables" / "assignments.parquet")
    own = found["item_id"].str.rsplit("/", n=1).str[-1]
    order = pd.Index(own).get_indexer(pd.Index(items["id"]))[rest]
    return found.iloc[order].reset_index(drop=True), truth.iloc[rest].reset_index(drop=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, required=True, help="folder of the real data")
    parser.add_argument("--seeds", type=int, nargs=2, default=(0, 5), metavar=("FIRST", "END"))
    parser.add_argument("--coarse", action="store_true", help="coarse labels are given")
    chosen = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(*chosen.seeds):
            found, truth = build(chosen.shared, Path(folder), seed, chosen.coarse)
            for n, level in enumerate(LEVELS, start=1):
                right = (found[f"level{n}_name"] == truth[level]).to_numpy()
                accepted = (found["accepted_level"].astype(float) <= n).to_numpy()
                confidence = found[f"level{n}_confidence"].to_numpy(dtype=float)
                rows.append(
                    {
                        "level": level,
                        "seed": seed,
                        "right": right.mean(),
                        "ece": calibration_error(confidence, right),
                        "accepted": accepted.mean(),
                        "accepted_right": right[accepted].sum(),
                        "num_accepted": accepted.sum(),
                        "outside": (found["status"] == "outside").mean(),
                    }
                )
    table = pd.DataFrame(rows).groupby("level", sort=False)
    shown = table[["right", "ece", "accepted", "outside"]].mean()
    shown["right, deviation"] = table["right"].std()
    shown["right of accepted"] = table["accepted_right"].sum() / table["num_accepted"].sum()
    print(shown.round(4).to_string())


if __name__ == "__main__":
    main()
