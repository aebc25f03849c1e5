"""`strata build` and `strata export` on SOP, iNaturalist and a table: exit statuses, refusals."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pandas as pd
import pytest
from building import Strata

ROOT = Path(__file__).resolve().parents[2]
HEADER = "image_id class_id super_class_id path\n"
RANKS = {"family": "F", "order": "O", "class": "C", "phylum": "P", "kingdom": "K"}


def write_sop(folder: Path, train: str, test: str) -> Path:
    folder.mkdir()
    (folder / "Ebay_train.txt").write_text(HEADER + train)
    (folder / "Ebay_test.txt").write_text(HEADER + test)
    return folder


@pytest.fixture
def sop(tmp_path: Path) -> Path:
    train = "1 1 1 mug_final/1_0.JPG\n2 1 1 mug_final/1_1.JPG\n"
    return write_sop(tmp_path / "sop", train, "3 2 2 lamp_final/2_0.JPG\n")


def test_sop_is_built_exported_and_built_from_its_export(
    strata: Strata, sop: Path, tmp_path: Path
) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    run = strata("build", "sop-h", one, "--metadata", sop, "--json", tmp_path / "out.json")
    assert run.returncode == 0, run.stderr  # nothing is in doubt
    assert json.loads((tmp_path / "out.json").read_text())["numbers"]["labelled"] == 2
    assert json.loads((one / "run.json").read_text())["inputs"]
    again = strata("build", "sop-h", two, "--metadata", one / "export" / "sop")
    assert again.returncode == 0, again.stderr
    nodes = [pd.read_parquet(place / "tables" / "nodes.parquet") for place in (one, two)]
    assert nodes[0].equals(nodes[1])
    # Every wrong format is named, and none of the right ones is written.
    mine = one / "export" / "huggingface" / "mine.txt"
    mine.parent.mkdir()
    mine.write_text("kept")
    formats = ("newick", "gldv2", "nope", "huggingface")
    refused = strata("export", one, *(word for name in formats for word in ("--format", name)))
    assert refused.returncode == 2
    for part in ("Formats that can:", "'nope'", "mine.txt"):
        assert part in refused.stderr
    assert mine.read_text() == "kept" and not (one / "export" / "newick").exists()


def test_every_problem_of_the_lists_is_shown(strata: Strata, tmp_path: Path) -> None:
    folder = write_sop(
        tmp_path / "bad",
        "1 1 1 mug_final/1_0.JPG\n2 1 2 mug_final/1_1.JPG\n",
        "3 2 2 mug_final/1_0.JPG\n",
    )
    run = strata("build", "sop-h", tmp_path / "ws", "--metadata", folder)
    assert run.returncode == 2
    assert "appears in both splits" in run.stderr and "under two super-classes" in run.stderr
    gaps = write_sop(tmp_path / "gaps", "1 1 1 a_final/1.JPG\n", "4 3 1 a_final/3.JPG\n")
    run = strata("build", "sop-h", tmp_path / "ws", "--metadata", gaps)
    assert run.returncode == 2 and "missing: '2 to 3'" in run.stderr
    assert not (tmp_path / "ws").exists()


def test_a_category_without_a_genus(strata: Strata, tmp_path: Path) -> None:
    named = [{"id": n, "name": f"S {n}", "genus": "G", **RANKS} for n in range(3)]
    named[1]["genus"] = ""
    (tmp_path / "categories.json").write_text(json.dumps(named))
    run = strata("build", "inat-h", tmp_path / "ws", "--metadata", tmp_path)
    assert run.returncode == 2 and "category 1 has no genus" in run.stderr
    assert not (tmp_path / "ws").exists()


def test_a_table_needs_one_of_two_options(strata: Strata, tmp_path: Path) -> None:
    items = tmp_path / "items.csv"
    items.write_text("id,name,kind\n1,Tea,drink\n2,Salt,\n")
    run = strata("build", "table", tmp_path / "ws", "--items", items)
    assert run.returncode == 3, run.stderr  # done, and one item has no label
    out = tmp_path / "out.json"
    words = ("--format", "newick", "--format", "landmarks", "--json", out)
    run = strata("export", tmp_path / "ws", *words)
    assert run.returncode == 0, run.stderr
    assert "newick: 1 of 2 items; left out: 1 no label" in run.stdout
    assert "landmarks: 2 of 2 items\n" in run.stdout
    assert json.loads(out.read_text())["newick"]["set_aside"] == {"no_label": 1}
    for words in ((), ("--items", items, "--metadata", tmp_path)):
        run = strata("build", "table", tmp_path / "none", *words)
        assert run.returncode == 2 and "one of the two is needed" in run.stderr
    assert not (tmp_path / "none").exists()


def test_a_refused_export_keeps_the_tree(strata: Strata, tmp_path: Path) -> None:
    items = tmp_path / "items.csv"
    items.write_text("id,name,kind\n1,Tea,drink\n2,Salt,spice\n")
    folder = tmp_path / "mine"
    folder.mkdir()
    text = (ROOT / "hierarchies/table/hierarchy.toml").read_text()
    text = re.sub("formats = .*", 'formats = ["oml"]', text)
    (folder / "hierarchy.toml").write_text(text)
    run = strata("build", folder, tmp_path / "ws", "--items", items)
    assert run.returncode == 2 and "lists images, and no labelled item has one" in run.stderr
    nodes = pd.read_parquet(tmp_path / "ws/tables/nodes.parquet")
    assert {"drink", "spice"} <= set(nodes.name)
    # The tree is there: its other exports and the rest of the commands work.
    run = strata("export", tmp_path / "ws", "--format", "newick")
    assert run.returncode == 0, run.stderr
