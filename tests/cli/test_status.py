"""`strata status`, also on a workspace of version 0.1.0: numbers, and decisions cut short."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
from recorded_workspace import unpack
from strata_labels.cli import app
from strata_labels.review import append
from typer.testing import CliRunner

TORN = '"1:gldv2/train/115","gldv2/train'


def status(workspace: Path, numbers: Path) -> tuple[str, list[dict]]:
    """What it says on stderr, and the JSON's `cut_decisions`."""
    result = CliRunner().invoke(app, ["status", str(workspace), "--json", str(numbers)])
    assert result.exit_code == 3, result.output  # rows are open
    assert "12 rows are open" in result.stdout
    return result.stderr, json.loads(numbers.read_text())["cut_decisions"]


def test_status_reports_a_decision_cut_short_until_it_is_repeated(tmp_path):
    workspace = unpack(tmp_path)
    ledger, numbers = workspace / "decisions.csv", tmp_path / "numbers.json"
    assert status(workspace, numbers) == ("", [])
    with ledger.open("a") as file:
        file.write(TORN)
    row = ledger.read_text().count("\n") + 1
    output, cut = status(workspace, numbers)
    assert cut == [{"file": str(ledger), "row": row, "text": TORN}]
    assert f"{ledger}, row {row}" in output and "Decide it again" in output and TORN in output
    columns = ["subject", "level", "decision", "target", "reviewer"]
    other = ("gldv2/train/16", "1", "unsure", "", "eva")
    append(ledger, pd.DataFrame([other], columns=columns))  # puts the characters aside
    assert status(workspace, numbers)[1] == cut
    same = ("gldv2/train/115", "1", "unsure", "", "eva")
    append(ledger, pd.DataFrame([same], columns=columns))
    assert status(workspace, numbers) == ("", [])
