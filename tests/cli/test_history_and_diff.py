"""`strata history` and `strata diff` on small builds, and all that they refuse."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pandas as pd
import pytest
from building import strata_output
from small_world import VOCABULARY, evidence_hash, item, items, proposals
from strata_labels.build import STAGES, BuildSettings, Workspace
from strata_labels.files import write_json
from strata_labels.review import LedgerWriter
from strata_labels.tables import load, save

FIRST, SECOND = item(5), item(2)
strata = partial(strata_output, code=0)


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two workspaces of the same metadata, the second with decisions."""
    folder = tmp_path_factory.mktemp("trees")
    for name in ("before", "after"):
        place = Workspace(folder / name)
        for table, frame in (
            ("items", items()),
            ("proposals", proposals()),
            ("vocabulary", VOCABULARY),
        ):
            save(place.folder, table, frame)
        settings = BuildSettings(
            tree="gldv2-h", metadata="", decisions=str(place.ledger), encoder="registry"
        )
        write_json(place.record, {"parameters": settings.model_dump(mode="json")})
        if name == "after":
            decide(place)
        next(stage for stage in STAGES if stage.name == "settle").run(place, settings)
    return folder / "before", folder / "after"


def decide(place: Workspace) -> None:
    seen = evidence_hash(FIRST)
    writer = LedgerWriter(place.ledger)
    columns = ["subject", "level", "decision", "target", "reviewer", "note", "evidence_hash"]
    for row in (
        (SECOND, "1", "exclude", "", "ann", "", ""),
        (FIRST, "1", "move", "lake", "ann", "", ""),
        (FIRST, "1", "move", "castle / fort", "ann", "it has a moat", seen),
        (FIRST, "1", "unsure", "", "ben", "", ""),
        ("2/castle", "3", "rename", "Stronghold", "cem", "", ""),
    ):
        writer.record(pd.DataFrame([row], columns=columns))
    writer.record(pd.DataFrame([(SECOND, "1", "keep", "church", "dan", "", "")], columns=columns))
    writer.undo("dan")


def test_history_tells_who_decided_what_and_what_became_of_it(trees, tmp_path):
    _, after = trees
    output = strata("history", FIRST, after, "--json", tmp_path / "h.json")
    found = json.loads((tmp_path / "h.json").read_text())
    assert [(row["reviewer"], row["target"]) for row in found["own"]] == [
        ("ann", "lake"),
        ("ann", "castle / fort"),
        ("ben", ""),
    ]
    fates = [row["fate"] for row in found["own"]]
    assert fates[0].startswith("replaced on ") and fates[1:] == ["in force", "gave way"]
    assert "Stronghold" in found["path"] and found["state"] == "settled"
    assert "ann: move castle / fort" in output and "note: it has a moat" in output
    assert "cem: rename Stronghold on 3:2/castle" in output
    assert strata("history", FIRST.removeprefix("gldv2/"), after) == strata("history", FIRST, after)
    second = strata("history", f"1:{SECOND}", after)
    assert "taken back on" in second and "takes back" in second and "ann: exclude" in second


def test_an_unknown_item_is_refused_with_near_ids(trees):
    assert "gldv2/train/3" in strata("history", "gldv2/trian/3", trees[1], code=2)
    said = strata("history", "landmark 7", trees[1], code=2)
    assert "Did you mean gldv2/train/7," in said


def test_diff_as_text_csv_json_and_page(trees, tmp_path, browser):
    csv, numbers, page = (tmp_path / name for name in ("d.csv", "d.json", "d.html"))
    output = strata("diff", *trees, "--csv", csv, "--json", numbers, "--page", page)
    assert f"removed {SECOND}" in output
    changes = pd.read_csv(csv, keep_default_na=False)
    assert list(changes.columns) == ["change", "level", "node_id", "before", "after"]
    moved = changes[changes.node_id == FIRST].iloc[0]
    assert moved.change == "moved" and "Stronghold" in moved.after
    found = json.loads(numbers.read_text())
    assert sum(sum(kinds.values()) for kinds in found["counts"].values()) == len(changes)
    assert len(found["changes"]) == len(changes)
    assert "What changed" in page.read_text()
    assert marks(browser, page).count("1 item new here") > 0
    strata("diff", trees[1], trees[1], "--page", page)
    assert "<li>nothing</li>" in page.read_text() and marks(browser, page) == []


def marks(browser, path):
    """What a tree page says of its nodes."""
    page = browser.new_page()
    page.goto(path.as_uri())
    page.get_by_role("button", name="Unfold all").click()
    found = page.locator("#rows mark").all_text_contents()
    page.close()
    return found


def test_diff_reads_tables_of_nodes(trees, tmp_path):
    table = trees[0] / "tables/nodes.parquet"
    load(trees[0], "nodes").to_csv(tmp_path / "nodes.csv", index=False)
    assert strata("diff", table, tmp_path / "nodes.csv").strip() == "The trees are equal."


def test_diff_refuses_what_is_no_tree(tmp_path):
    path = tmp_path / "nodes.csv"
    path.write_text("node_id,level,name,parent_id\na,0,A,b\nb,one,B,\n")
    assert "row 3, column 'level': not a level: 'one'" in strata("diff", path, path, code=2)
    assert "not found" in strata("diff", tmp_path / "absent.parquet", path, code=2)
