"""Planted label errors on the review page: answers until 90 % of them are mended, as a table.

    python -m benchmarks.review_issues --shared DIR [--draws 0 3]

The sample's names with their published labels as a table of one's own, 5 % of the labels replaced
at random, built by the command with the fifth of the labels that look worst opened. A curator who
knows the labels answers what the page's desk asks, in grids of at most ten, then row by row.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from strata_labels.build import Workspace
from strata_labels.build.simulate import SimulatedCurator, Work
from strata_labels.cli.review import review_setup
from strata_labels.review.page import Desk
from strata_labels.tables import load
from typer.testing import CliRunner

from benchmarks.label_issues import planted
from benchmarks.proposal import read_sample

OPENED, MENDED = 0.2, 0.9


def build(table: pd.DataFrame, folder: Path, seed: int) -> Workspace:
    """A workspace of the table, whose vectors are computed once."""
    from strata_labels.cli import app

    file, folder_of_seed = folder / f"items-{seed}.csv", folder / f"ws-{seed}"
    table.to_csv(file, index=False)
    store = folder / "store"
    if store.is_dir():
        shutil.copytree(store, folder_of_seed / "vectors" / "store")
    command = ["build", "table", str(folder_of_seed), "--items", str(file), "--encoder", "registry"]
    command += ["--label-issues", str(round(OPENED * len(table)))]
    result = CliRunner().invoke(app, command)
    if result.exit_code not in (0, 3):
        raise SystemExit(result.output)
    if not store.is_dir():
        shutil.copytree(folder_of_seed / "vectors" / "store", store)
    return Workspace(folder_of_seed)


def review(workspace: Workspace, truth: dict[str, str], bad: set[str], group_size: int) -> Work:
    """Answers what is asked until enough of the bad labels are mended.

    Args:
        workspace: built; its ledger is removed first.
        truth: the true node of each item, by row id.
        bad: row ids of the planted errors.
        group_size: rows in a grid, at most.
    """
    workspace.ledger.unlink(missing_ok=True)
    desk = Desk(replace(review_setup(workspace), group_size=group_size), "simulated curator")
    work = Work()
    curator = SimulatedCurator(desk, truth, work)
    while len(bad & curator.answered) < MENDED * len(bad):
        rows = desk.ask()
        if not rows:
            raise SystemExit("not enough of the errors were opened")
        curator.answer(rows)
    return work


def main() -> None:
    """Prints the means over draws."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, required=True, help="folder of the real data")
    parser.add_argument("--draws", type=int, nargs=2, default=(0, 3), metavar=("FIRST", "END"))
    chosen = parser.parse_args()
    sample = read_sample(chosen.shared)
    sample = sample[sample["label"].notna()].reset_index(drop=True)
    nodes, label = np.unique(sample["label"], return_inverse=True)
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(*chosen.draws):
            given, bad = planted(label, len(nodes), seed, None)
            ids = [f"n{n:05d}" for n in range(len(sample))]
            table = pd.DataFrame({"id": ids, "name": sample["full"], "kind": nodes[given]})
            workspace = build(table, Path(folder), seed)
            known = load(workspace.folder, "vocabulary")
            node_of = dict(zip(known["name"], known["node_id"], strict=True))
            items = load(workspace.folder, "items")["item_id"]
            number = items.str.rsplit("/", n=1).str[-1].str[1:].astype(int)
            truth = {
                f"1:{item}": node_of[nodes[label[n]]] for item, n in zip(items, number, strict=True)
            }
            wrong = {f"1:{item}" for item, n in zip(items, number, strict=True) if bad[n]}
            for kind, size in (("grids of ten", 10), ("row by row", 1)):
                work = review(workspace, truth, wrong, size)
                row = {"by": kind, "planted": len(wrong), "decisions": work.decisions}
                found.append(row | work.per_1000(len(items)))
                print(seed, found[-1], flush=True)
    print(pd.DataFrame(found).groupby("by", sort=False).mean().round(1).to_string())


if __name__ == "__main__":
    main()
