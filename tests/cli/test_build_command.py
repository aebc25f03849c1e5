"""`strata build` in a process of its own: files, repeated and killed runs, refusals."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
from building import Strata, data_files, strata_environment

Build = tuple[Path, subprocess.CompletedProcess[str]]


def test_the_sample_is_built_and_its_files_are_listed(sample_build: Build) -> None:
    workspace, run = sample_build
    assert run.returncode == 3, run.stderr  # done and written, review rows open
    for name in ("tree.html", "tree.png", "card.md", "review.csv", "run.json"):
        assert (workspace / name).stat().st_size > 0
    for name in ("tree.html", "card.md", "review.csv"):
        assert name in run.stdout
    items = pd.read_parquet(workspace / "tables" / "items.parquet")
    assignments = pd.read_parquet(workspace / "tables" / "assignments.parquet")
    assert sorted(assignments.item_id) == sorted(items.item_id)  # nothing dropped in silence
    labelled = assignments.level1_id.notna()
    assert labelled.mean() > 0.5
    assert (assignments.loc[~labelled, "status"] != "").all()


def test_a_second_run_does_no_stage_again(
    sample_build: Build, strata: Strata, sample_words: list[str], tmp_path: Path
) -> None:
    workspace = tmp_path / "ws"
    shutil.copytree(sample_build[0], workspace)
    first = strata("build", "gldv2-h", workspace, *sample_words)  # another folder: other paths
    before = {path: path.stat().st_mtime_ns for path in workspace.glob("tables/*.parquet")}
    second = strata("build", "gldv2-h", workspace, *sample_words)
    assert first.returncode == second.returncode == 3, second.stderr
    assert before == {path: path.stat().st_mtime_ns for path in before}
    record = json.loads((workspace / "run.json").read_text())
    assert "..." not in second.stdout.split("GLDv2-H")[0], second.stdout
    assert [stage["stage"] for stage in record["stages"]][-1] == "export"


def test_a_deleted_table_is_made_again(
    sample_build: Build, strata: Strata, sample_words: list[str], tmp_path: Path
) -> None:
    workspace = tmp_path / "ws"
    shutil.copytree(sample_build[0], workspace)
    (workspace / "tables" / "nodes.parquet").unlink()
    run = strata("build", "gldv2-h", workspace, *sample_words)
    assert run.returncode == 3, run.stderr
    assert data_files(workspace) == data_files(sample_build[0])


def test_killed_anywhere_then_run_again_gives_the_same_bytes(
    sample_build: Build, strata: Strata, sample_words: list[str], home: Path, tmp_path: Path
) -> None:
    workspace = tmp_path / "ws"
    words = [sys.executable, "-m", "strata_labels.cli", "build", "gldv2-h", str(workspace)]
    for stage in ("embed", "settle"):
        process = subprocess.Popen(
            [*words, *sample_words],
            stdout=subprocess.PIPE,
            text=True,
            cwd=home,
            env=strata_environment(home),
            start_new_session=True,
        )
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith(f"{stage} ..."):
                time.sleep(0.05)
                break
        os.killpg(process.pid, signal.SIGKILL)  # its temporary server too
        process.wait()
    run = strata("build", "gldv2-h", workspace, *sample_words)
    assert run.returncode == 3, run.stderr
    assert data_files(workspace) == data_files(sample_build[0])


def test_every_problem_of_wrong_input_is_listed_and_nothing_is_written(
    strata: Strata, tmp_path: Path
) -> None:
    metadata = tmp_path / "metadata"
    metadata.mkdir()
    (metadata / "train_label_to_category.csv").write_text(
        "landmark_id,category\n"
        "1,http://commons.wikimedia.org/wiki/Category:A\n"
        "1,http://commons.wikimedia.org/wiki/Category:B\n"
        "x,http://commons.wikimedia.org/wiki/Category:C\n"
        "4,http://example.org/D\n"
    )
    workspace = tmp_path / "ws"
    run = strata("build", "gldv2-h", workspace, "--metadata", metadata, "--encoder", "registry")
    assert run.returncode == 2
    assert "row 3" in run.stderr and "row 4" in run.stderr and "row 5" in run.stderr
    assert "Traceback" not in run.stderr
    assert not workspace.exists()


def test_a_tree_that_is_not_there(strata: Strata, tmp_path: Path) -> None:
    run = strata("build", "gldv3", tmp_path / "ws", "--metadata", tmp_path)
    assert run.returncode == 2
    assert "gldv2-h" in run.stderr  # says which there are
    assert not (tmp_path / "ws").exists()
