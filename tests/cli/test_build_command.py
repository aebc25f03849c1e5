"""`strata build` in a process of its own: files, repeated and killed runs, refusals."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import tarfile
import time
from pathlib import Path

import pandas as pd
import pytest
from building import Strata, data_files, strata_environment
from copies import started_command, wait_until
from strata_labels.build import STAGES
from strata_labels.hierarchy import load_hierarchy
from strata_labels.sources import draw_products

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
    words = ["build", "gldv2-h", str(workspace), *sample_words]
    does = {stage.name: stage.does for stage in STAGES}
    for stage in ("embed", "settle"):
        said = tmp_path / stage
        begun = f"{does[stage]} ..."
        with started_command(words, strata_environment(home), said) as copy:
            wait_until(copy, lambda said=said, begun=begun: begun in said.read_text())
            time.sleep(0.05)
        assert copy.exitcode == -signal.SIGKILL
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


def test_a_tree_is_built_without_vectors_where_its_own_weights_cannot_be_fetched(
    strata: Strata, sample_words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    words = sample_words[: sample_words.index("--encoder")]
    workspace = tmp_path / "ws"
    run = strata("build", "gldv2-h", workspace, *words)
    assert run.returncode == 3, run.stderr
    assert "warning: The weights of encoder ViT-L-14/" in run.stderr
    assert "goes on without vectors" in run.stderr
    assignments = pd.read_parquet(workspace / "tables" / "assignments.parquet")
    assert assignments.level1_id.notna().mean() > 0.5  # by classes and words of names
    before = data_files(workspace)
    again = strata("build", "gldv2-h", workspace, *words)
    assert again.returncode == 3 and "goes on without vectors" in again.stderr
    assert "Nothing changed" in again.stdout and data_files(workspace) == before
    assert strata("build", "gldv2-h", workspace, *words, "--encoder", "").stderr == ""
    with tarfile.open(tmp_path / "images_000.tar", "w"):
        pass
    for more in ((), ("--plan",)):
        run = strata("embed", workspace, "--shards", tmp_path, *more)
        assert run.returncode == 2 and "was built without an encoder" in run.stderr
    run = strata("build", "gldv2-h", workspace, *words, "--encoder", "ViT-B-32/laion2b_s34b_b79k")
    assert run.returncode == 1 and "goes on" not in run.stderr  # it was asked for
    # So is the tree's own where it is named, in that build and in those that repeat its options.
    own = load_hierarchy("gldv2-h").encoder
    run = strata("build", "gldv2-h", tmp_path / "own", *words, "--encoder", own)
    assert run.returncode == 1 and "goes on" not in run.stderr


def test_a_level_among_pictures_needs_an_encoder(strata: Strata, tmp_path: Path) -> None:
    draw_products(tmp_path / "products", supers=2, kinds=1, products=2)
    words = ("--metadata", tmp_path / "products", "--levels", "deep", "--encoder", "")
    run = strata("build", "sop-h", tmp_path / "ws", *words)
    assert run.returncode == 2 and "is found among vectors of images" in run.stderr
    assert not (tmp_path / "ws").exists()
