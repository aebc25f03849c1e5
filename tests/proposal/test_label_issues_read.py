"""The label issues that were read by hand: the file in benchmarks/ is well formed."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

FILE = Path(__file__).resolve().parents[2] / "benchmarks" / "label_issues_read.csv"


def test_each_label_issue_has_a_verdict_and_a_reason() -> None:
    table = pd.read_csv(FILE, keep_default_na=False)
    columns = ["item_id", "name", "given", "suggestion", "score", "verdict", "reason"]
    assert list(table.columns) == columns
    assert len(table) == 100 and table["item_id"].is_unique
    assert table["score"].is_monotonic_increasing and table["score"].between(0, 1).all()
    assert set(table["verdict"]) == {"error", "ambiguous", "ours"}
    assert (table["given"] != table["suggestion"]).all() and (table["reason"] != "").all()
    # A reason is written for its row: few rows share one.
    assert table["reason"].nunique() > 80
