"""Data that changes under a ledger, from the table to the tree: by sheet and by page."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from building import strata_output as strata
from small_world import decisions
from strata_labels.build import BuildSettings
from strata_labels.build.items import read_metadata
from strata_labels.build.reconcile import decided_classes
from strata_labels.proposal import read_vocabulary
from strata_labels.review import Ledger
from strata_labels.review.page import Desk, ReviewSetup

PAGES = "http://commons.wikimedia.org/wiki/Category:"
KINDS = ["", "rose", "oak"] * 4
ROWS = [(n, f"{kind} {n}", kind, kind and "plant") for n, kind in enumerate(KINDS)]


def build(folder: Path, **renamed: str) -> str:
    """Builds the table with some labels renamed."""
    lines = [
        f"{n},{name},{renamed.get(kind, kind)},{renamed.get(group, group)}"
        for n, name, kind, group in ROWS
    ]
    (folder / "items.csv").write_text("\n".join(["id,name,kind,group", *lines, ""]))
    return strata("build", "table", folder / "ws", "--items", folder / "items.csv", "--encoder", "")


def sheet(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "ws/review.csv", dtype=str, keep_default_na=False)


@pytest.fixture
def decided(tmp_path: Path) -> Path:
    """A folder whose items without labels were all decided, and whose roses are renamed then."""
    build(tmp_path)
    rows = sheet(tmp_path).assign(decision="move", target="rose")
    rows.to_csv(tmp_path / "sheet.csv", index=False)
    strata("apply", tmp_path / "ws", tmp_path / "sheet.csv", "--reviewer", "ann")
    assert sheet(tmp_path).empty
    said = build(tmp_path, rose="briar")
    assert "unapplied  4 decisions: 4 stale" in said
    assert "lost       1 nodes that decisions name" in said
    return tmp_path


def test_a_row_of_the_sheet_brings_the_decisions_back(decided: Path) -> None:
    listed = pd.read_csv(decided / "ws/decisions_not_applied.csv", dtype=str)
    assert set(listed.decision + " " + listed.target) == {"move 1/plant/rose"}
    assert "4 decisions in the ledger are not applied" in (decided / "ws/card.md").read_text()
    rows = sheet(decided)
    asked = rows[rows.row_id == "2:1/plant/rose"].iloc[0]
    assert (asked["name"], asked.kind, asked.evidence[:1]) == ("rose", "kind", "4")
    rows.loc[rows.row_id == "2:1/plant/rose", ["decision", "target"]] = ["same", "briar"]
    rows.to_csv(decided / "mapped.csv", index=False)
    strata("apply", decided / "ws", decided / "mapped.csv", "--reviewer", "ben")
    assert sheet(decided).empty and not (decided / "ws/decisions_not_applied.csv").exists()
    ledger = (decided / "ws/decisions.csv").read_bytes()
    again = strata("apply", decided / "ws", decided / "mapped.csv", "--reviewer", "ben")
    assert "0 decisions added" in again and (decided / "ws/decisions.csv").read_bytes() == ledger
    strata("history", "1/plant/rose", decided / "ws")


def test_the_page_asks_for_it(decided: Path) -> None:
    ws = decided / "ws"
    setup = ReviewSetup(ws, [ws / "decisions.csv"], ["item", "kind", "group"], "T", 0.95)
    desk = Desk(setup, "ben")
    shown = desk.show()
    assert (shown["row"]["row_id"], shown["row"]["is_lost"]) == ("2:1/plant/rose", True)
    assert (shown["row"]["name"], shown["row"]["members"]) == ("rose", None)
    found = desk.search("bri", "2:1/plant/rose", "same")
    assert [hit["node"] for hit in found["found"]] == ["1/plant/briar"]
    said = desk.decide(shown["state"], "2:1/plant/rose", "same", "1/plant/briar")
    desk.settle()
    assert said == "rose is briar now"
    assert desk.show()["row"] is None


def test_a_class_keeps_its_place_in_a_vocabulary_whose_node_is_renamed(tmp_path: Path) -> None:
    """By hand and by a sheet of classes, a decision has no evidence hash."""
    path = tmp_path / "vocabulary.csv"
    path.write_text("node,parent\nnature,\ntarn,nature\npeak,nature\n")
    vocabulary = read_vocabulary(path)
    moved = ("1/Q7", 2, "move", "2/lake")
    lost = decided_classes(Ledger(decisions(moved)), vocabulary)
    found = decided_classes(Ledger(decisions(moved, ("2/lake", 3, "same", "tarn"))), vocabulary)
    assert (lost, found) == ({}, {"Q7": "tarn"})


def test_known_labels_that_the_vocabulary_lacks_or_spells_otherwise_are_named(
    tmp_path: Path,
) -> None:
    (tmp_path / "train_label_to_category.csv").write_text(
        "landmark_id,category\n" + "".join(f"{n},{PAGES}Mill_{n}\n" for n in range(1, 7))
    )
    known = tmp_path / "train_known.csv"
    rows = ["1,hangar", "2,hangar", "3,silo", "4,church", "5,Churches", "6,Air-Transportation"]
    lines = [f"{n},{PAGES}Mill_{n},{name},human made" for n, name in (r.split(",") for r in rows)]
    header = "landmark_id,category,hierarchical_label,natural_or_human_made"
    known.write_text("\n".join([header, *lines, ""]))
    settings = BuildSettings(
        tree="gldv2-h", metadata=tmp_path, known_labels=known, decisions=tmp_path / "d.csv",
        encoder="registry",
    )  # fmt: skip
    metadata = read_metadata(settings)
    counts = metadata.counts["known_labels"]
    assert counts["not_in_the_vocabulary"] == "hangar (2), silo (1)"
    assert counts["read_as_another_spelling"] == (
        "Air-Transportation as air transportation (1), Churches as church (1), "
        "human made as human-made (6)"
    )
    named = metadata.labels[metadata.labels["origin"] == "known"].groupby("node").size()
    assert named.to_dict() == {
        "air transportation": 1, "church": 2, "hangar": 2, "human-made": 6, "silo": 1,
    }  # fmt: skip
