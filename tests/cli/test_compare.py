"""`strata compare` as a command."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import validation_data as data
from building import run_strata


def test_two_trees(tmp_path: Path) -> None:
    frame = data.table(kinds=3, items=3, images=3)
    frame.to_csv(tmp_path / "a.csv", index=False)
    np.save(tmp_path / "v.npy", data.vectors(frame).numpy())
    moved = frame[frame.level0 != "i122"].copy()  # and one item is in tree a alone
    moved.loc[moved.level0 == "i000", ["level1", "level2"]] = ["k12", "t1"]
    moved.to_csv(tmp_path / "b.csv", index=False)
    vectors = ["--vectors", tmp_path / "v.npy", "--items", tmp_path / "a.csv"]
    out = ["--json", tmp_path / "out.json"]
    heads = ["--recipe", "happier", "--set", "epochs=1", "--seeds", 2]
    run = run_strata("compare", tmp_path / "a.csv", tmp_path / "b.csv", *vectors, *out, *heads)
    assert run.returncode == 0, run.stderr
    result = json.loads((tmp_path / "out.json").read_text())
    assert result["left_out"] == 3 and result["difference"]["hap"]["difference"] < 0
    assert set(result["trained"]["seeds"][0]["trained_on"]) == {"a", "b", "shuffled"}
    assert "k00 → k12" in run.stdout


def test_every_problem_is_listed_and_nothing_written(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("level0,level2\nx,t\n")
    (tmp_path / "b.csv").write_text("level1\na\n")
    np.save(tmp_path / "v.npy", np.zeros((2, 3), np.int64))
    out = tmp_path / "out.json"
    run = run_strata(
        *("compare", tmp_path / "a.csv", tmp_path / "b.csv", "--vectors", tmp_path / "v.npy"),
        *("--json", out, "--recipe", "nothing"),
    )
    assert run.returncode == 2
    for part in ("a.csv", "b.csv", "--items", "int64", "nothing"):
        assert part in run.stderr
    assert not out.exists()
