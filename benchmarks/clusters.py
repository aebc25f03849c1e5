"""Clusters of a table of one's own, built by the command with `--clusters`, printed as a table.

    python -m benchmarks.clusters --shared DIR [--seeds 0 5] [--clusters 43]

Grocery's photographs, encoder `registry`: once as `id, image` alone, and for each seed with the
coarse labels of half of the items. `purity` is the share of items that have the commonest true
coarse label of their node. `right` is the share of accepted unlabelled items whose true label is
the one that the node was accepted for. Constants were chosen on seeds 100 to 119; report others.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from typer.testing import CliRunner


def build(shared: Path, folder: Path, items: pd.DataFrame, clusters: int) -> Path:
    """The workspace of one build."""
    from strata_labels.cli import app

    workspace, store = folder / "ws", folder / "store"
    shutil.rmtree(workspace, ignore_errors=True)
    if store.is_dir():
        shutil.copytree(store, workspace / "vectors" / "store")
    items.to_csv(folder / "items.csv", index=False)
    command = ["build", "table", str(workspace), "--items", str(folder / "items.csv")]
    command += ["--images", str(shared / "grocery"), "--encoder", "registry"]
    result = CliRunner().invoke(app, [*command, "--clusters", str(clusters)])
    if result.exit_code != 3:
        raise SystemExit(result.output)
    if not store.is_dir():
        shutil.copytree(workspace / "vectors" / "store", store)
    return workspace


def measure(workspace: Path, truth: pd.Series, given: pd.Series) -> dict[str, float]:
    """Purity, and what was accepted."""
    from strata_labels.tables import load

    found = load(workspace, "assignments")
    found = found.set_index(found["item_id"].str.rpartition("/")[2]).reindex(truth.index)
    table = pd.crosstab(found["level1_id"], truth)
    asked = (found["accepted"] & (given == "")).to_numpy()
    proposals = load(workspace, "proposals").set_index("subject")
    evidence = proposals.loc[found["item_id"][asked], "evidence"]
    said = [next(piece.text for piece in some if piece.kind == "purity") for some in evidence]
    return {
        "nodes": len(table),
        "purity": table.max(axis=1).sum() / len(found),
        "accepted": asked.sum() / (given == "").sum(),
        "num_accepted": int(asked.sum()),
        "num_right": int((truth[asked] == said).sum()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, required=True, help="folder of the real data")
    parser.add_argument("--seeds", type=int, nargs=2, default=(0, 5), metavar=("FIRST", "END"))
    parser.add_argument("--clusters", type=int, default=43)
    chosen = parser.parse_args()
    table = pd.read_csv(chosen.shared / "grocery" / "subset.csv", dtype=str)
    ids = pd.Index([f"g{n:04d}" for n in range(len(table))], name="id")
    truth = pd.Series(("c" + table["coarse_id"]).tolist(), ids)
    plain = pd.DataFrame({"id": ids, "image": "subset/" + table["path"]})
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        place = build(chosen.shared, folder, plain, chosen.clusters)
        rows.append({"labels": "none", **measure(place, truth, pd.Series("", ids))})
        for seed in range(*chosen.seeds):
            given = truth.copy()
            given.iloc[np.random.default_rng(seed).permutation(len(truth))[len(truth) // 2 :]] = ""
            items = plain.assign(coarse=given.tolist())
            place = build(chosen.shared, folder, items, chosen.clusters)
            rows.append({"labels": "half", **measure(place, truth, given)})
    found = pd.DataFrame(rows).groupby("labels", sort=False)
    shown = found[["nodes", "purity", "accepted"]].mean()
    shown["right"] = found["num_right"].sum() / found["num_accepted"].sum()
    print(shown.round(3).to_string())


if __name__ == "__main__":
    main()
