"""`--json` of the commands that do one step: the file has the numbers that the command prints."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import typer
from archives import image_id, official, official_metadata
from building import Strata
from publishing import Site, serve
from strata_labels.cli import app

Build = tuple[Path, subprocess.CompletedProcess[str]]


@pytest.fixture
def workspace(sample_build: Build, tmp_path: Path) -> Path:
    """A copy of the built sample."""
    return Path(shutil.copytree(sample_build[0], tmp_path / "ws"))


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def test_fetch_writes_files_with_sums_and_counts_of_images(strata: Strata, tmp_path: Path) -> None:
    site = Site(official_metadata() | official([[4, 5]]))
    server = serve(site)
    out = tmp_path / "out.json"
    words = ("fetch", "gldv2", tmp_path / "ws", "--images", "train", "--base-url", site.url)
    planned = strata(*words, "--dry-run", "--json", out)
    assert planned.returncode == 0, planned.stderr
    plan = read(out)
    fetched = strata(*words, "--json", out)
    server.shutdown()
    server.server_close()
    assert fetched.returncode == 0, fetched.stderr
    sizes = {file["name"]: file["bytes"] for file in plan["files"] if file["bytes"]}
    assert plan["bytes_to_fetch"] == sum(sizes.values()) and plan["archives"]["found"] == 1
    numbers = read(out)
    assert {file["name"]: file["bytes"] for file in numbers["files"]} == sizes
    assert all(len(file["sha256"]) == 64 and not file["kept"] for file in numbers["files"])
    assert numbers["archives"]["images_in_archives"] == 2
    assert len(list((tmp_path / "ws/images").rglob(f"{image_id(4)}.jpg"))) == 1


def test_embed_and_propose_write_their_counts(
    workspace: Path, strata: Strata, tmp_path: Path
) -> None:
    record = {stage["stage"]: stage["counts"] for stage in read(workspace / "run.json")["stages"]}
    out = tmp_path / "out.json"
    run = strata("embed", workspace, "--json", out)
    assert run.returncode == 0, run.stderr
    assert read(out) == {"embed": record["embed"]} and record["embed"]
    run = strata("propose", workspace, "--json", out)
    assert run.returncode == 0, run.stderr
    assert read(out) == record["propose"] and record["propose"]


def test_explain_writes_evidence_and_confidences(
    workspace: Path, strata: Strata, tmp_path: Path
) -> None:
    out = tmp_path / "out.json"
    item = "gldv2/train/1"
    run = strata("explain", item, workspace, "--json", out)
    assert run.returncode == 0, run.stderr
    found = read(out)
    assert found["item"]["item_id"] == found["assignment"]["item_id"] == item
    for piece in found["proposal"]["evidence"]:
        assert {"kind", "node", "value", "ids"} <= piece.keys()
    classes = found["classes"]
    assert set(classes["labels"]) == set(classes["entity"]["class_qids"])
    assert all({"from_qid", "to_qid", "reason", "detail"} == set(cut) for cut in classes["cuts"])
    assert found["levels"][1] == "supercategory"
    assert set(found["what_if"]) == {"alone", "without", "similar"}
    assert "NaN" not in out.read_text()


def test_a_dry_run_of_apply_writes_what_would_move(
    workspace: Path, strata: Strata, tmp_path: Path
) -> None:
    sheet, out = workspace / "review.csv", tmp_path / "out.json"
    rows = pd.read_csv(sheet, dtype=str, keep_default_na=False)
    rows.loc[0, "decision"] = "exclude"
    rows.to_csv(sheet, index=False)
    run = strata("apply", workspace, "--reviewer", "ann", "--dry-run", "--json", out)
    assert run.returncode == 0, run.stderr
    numbers = read(out)
    assert numbers["decisions"] == 1 and numbers["not_applied"] == []
    assert {"items", "moves", "nodes"} <= numbers.keys()
    moved = sum(row["items"] for row in numbers["moves"])
    assert moved == sum(numbers["items"].values())
    assert not (workspace / "decisions.csv").exists()


def test_a_dry_run_of_a_build_has_no_numbers(
    strata: Strata, sample_words: list[str], tmp_path: Path
) -> None:
    words = ("build", "gldv2-h", tmp_path / "ws", *sample_words, "--dry-run")
    run = strata(*words, "--json", tmp_path / "out.json")
    assert run.returncode == 2 and "--json" in run.stderr
    assert not list(tmp_path.iterdir())


def test_every_command_but_list_writes_numbers_to_a_file_and_refuses_a_folder(
    strata: Strata, tmp_path: Path
) -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    with_json = {
        name
        for name, command in commands.items()
        if any("--json" in option.opts for option in command.params)
    }
    assert set(commands) - with_json == {"list"}
    for name in sorted(with_json):
        run = strata(name, "--json", tmp_path)
        assert run.returncode == 2 and "is a directory" in run.stderr, name
