"""Two trees compared: a real tree beats a shuffled one, and chance is reported as chance."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import validation_data as data
from strata_labels.errors import InputError
from strata_labels.validation import compare_heads, compare_trees, read_tree, read_vectors


@pytest.fixture
def trees(tmp_path: Path) -> dict[str, Path]:
    """The tree as it is, with one item moved, and the vectors."""
    frame = data.table()
    frame.to_csv(tmp_path / "a.csv", index=False)
    np.save(tmp_path / "v.npy", data.vectors(frame).numpy())
    moved = frame.copy()
    moved.loc[moved.level0 == "i000", ["level1", "level2"]] = ["k12", "t1"]
    moved.to_csv(tmp_path / "b.csv", index=False)
    return {name: tmp_path / f"{name}.csv" for name in "ab"} | {"v": tmp_path / "v.npy"}


def test_a_moved_item_costs_and_is_named(trees: dict[str, Path]) -> None:
    vectors, items = read_vectors(trees["v"], trees["a"])
    result = compare_trees(vectors, items["item"], read_tree(trees["a"]), read_tree(trees["b"]))
    assert result["a"]["hap"] > result["b"]["hap"]
    assert result["difference"]["hap"]["difference"] < 0
    assert result["a"]["lift"] > result["b"]["lift"]
    assert result["a"]["shuffled"]["told_apart"] and not result["warnings"]
    (changed,) = result["changed"]
    assert (changed["child"], changed["parent_a"], changed["parent_b"]) == ("i000", "k00", "k12")
    assert changed["difference"] < 0 and changed["verdict"] == "a"
    edges = {row["child"]: row for row in result["b"]["edges"] if row["level"] == 0}
    assert edges["i000"]["verdict"] == "costs"
    assert edges["i001"]["verdict"] == "earns"


def test_a_moved_node_is_named_once_where_ids_are_paths(tmp_path: Path) -> None:
    frame = data.table()
    named = {}
    for key in "ab":
        own = frame.copy()
        if key == "b":
            own.loc[own.level1 == "k00", "level2"] = "t1"
        ids = {"level1_id": own.level2 + "/" + own.level1, "level1_name": own.level1}
        own = own[["level0"]].assign(
            **ids, level2_id=own.level2, level2_name=own.level2.str.upper()
        )
        own.drop_duplicates().to_csv(tmp_path / f"{key}.csv", index=False)
        named[key] = read_tree(tmp_path / f"{key}.csv")
    result = compare_trees(data.vectors(frame), frame.level0, named["a"], named["b"])
    (changed,) = result["changed"]
    assert (changed["level"], changed["child"], changed["child_name"]) == (1, "t0/k00", "k00")
    assert (changed["parent_a"], changed["parent_b"]) == ("T0", "T1")
    assert changed["queries"] == int((frame.level1 == "k00").sum())


def test_a_flat_tree_does_not_win_by_its_shape(trees: dict[str, Path], tmp_path: Path) -> None:
    """All items below one node: a list is nearly perfect whatever the vectors are."""
    vectors, items = read_vectors(trees["v"], trees["a"])
    frame = pd.read_csv(trees["a"])
    frame.drop(columns="level2").assign(level1="all").to_csv(tmp_path / "flat.csv", index=False)
    tree, flat = read_tree(trees["a"]), read_tree(tmp_path / "flat.csv")
    result = compare_trees(vectors, items["item"], tree, flat)
    assert result["difference"]["hap"]["difference"] > 0
    assert result["b"]["normalised"] == 0 < result["a"]["normalised"] < 1
    assert result["normalised"]["interval"][1] < 0
    assert "a fits better. H-AP alone is higher for b, whose shape" in result["verdict"]
    chance, score = result["a"]["shuffled"]["hap"], result["a"]["hap"]
    assert result["a"]["normalised"] == pytest.approx((score - chance) / (1 - chance))


def test_vectors_without_structure_cannot_tell_a_tree_from_a_shuffled_one(
    trees: dict[str, Path],
) -> None:
    vectors, items = read_vectors(trees["v"], trees["a"])
    noise = torch.nn.functional.normalize(
        torch.randn(vectors.shape, generator=torch.Generator().manual_seed(1)), dim=1
    )
    tree = read_tree(trees["a"])
    result = compare_trees(noise, items["item"], tree, tree)
    assert not result["a"]["shuffled"]["told_apart"]
    assert len(result["warnings"]) == 2 and "shuffled" in result["warnings"][0]
    assert result["difference"]["hap"]["difference"] == 0 and not result["changed"]


def test_heads_are_trained_on_each_tree_and_on_a_shuffled_one(trees: dict[str, Path]) -> None:
    vectors, items = read_vectors(trees["v"], trees["a"])
    seen = []

    def train(taught: torch.Tensor, labels: torch.Tensor, seed: int):
        seen.append((seed, len(taught), labels[:, 0].unique().numel()))
        return lambda given: given

    both = {"a": read_tree(trees["a"]), "b": read_tree(trees["b"])}
    result = compare_heads(vectors, items["item"], both, train, [0, 1])
    assert [row[0] for row in seen] == [0, 0, 0, 1, 1, 1]
    assert all(row[2] == 19 for row in seen)  # 60 % of 32 items
    # The same head whatever it was taught: no difference is significant, and the report says so.
    assert not result["told_apart"]
    assert result["difference"]["hap_a"]["mean"] == 0


def test_an_item_that_stops_early_has_a_node_of_its_own_below(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {"item_id": ["x", "y"], "level1_id": ["a", None], "level1_name": ["A", None],
         "level2_id": ["t", "t"], "level2_name": ["T", "T"]}
    )  # fmt: skip
    frame.to_parquet(tmp_path / "t.parquet")
    tree = read_tree(tmp_path / "t.parquet")
    assert tree.paths.loc["y"].tolist() == ["y", "t"] and tree.name("a") == "A"


def test_everything_wrong_with_a_tree_is_listed(tmp_path: Path) -> None:
    rows = [("x", "a", "t"), ("x", "b", "t"), ("y", "b", "u")]
    pd.DataFrame(rows, columns=["level0", "level1", "level2"]).to_csv(tmp_path / "t.csv")
    with pytest.raises(InputError) as error:
        read_tree(tmp_path / "t.csv")
    assert {str(p.value) for p in error.value.problems} == {"x", "b"}


def test_a_label_that_says_unknown_is_no_node(tmp_path: Path) -> None:
    table = pd.DataFrame({"level0": ["-1", "b"], "level1": [-1, 3], "level2": ["x", "−1"]})
    table.to_parquet(tmp_path / "tree.parquet")
    with pytest.raises(InputError, match="unknown label") as refused:
        read_tree(tmp_path / "tree.parquet")
    columns = [problem.column for problem in refused.value.problems]
    assert columns == ["level1", "level2"]  # an item may be called anything


def test_everything_wrong_with_vectors_is_listed(tmp_path: Path) -> None:
    bad = np.ones((3, 2))
    bad[1] = np.nan
    np.save(tmp_path / "v.npy", bad)
    pd.DataFrame({"name": ["x", "y"]}).to_csv(tmp_path / "i.csv", index=False)
    with pytest.raises(InputError) as error:
        read_vectors(tmp_path / "v.npy", tmp_path / "i.csv")
    message = str(error.value)
    assert "first, row 2." in message and "2 rows" in message and "level0" in message


@pytest.mark.parametrize("kind", ["float16", "float32", "float64"])
def test_vectors_of_any_length_have_a_direction(tmp_path: Path, kind: str) -> None:
    pd.DataFrame({"level0": ["a", "b"]}).to_csv(tmp_path / "i.csv")
    limits = np.finfo(kind)
    for length in (limits.smallest_subnormal * 8, 1.0, limits.max):
        array = np.array([[1, -1], [0, 0.5]], dtype=kind) * np.array(length, dtype=kind)
        np.save(tmp_path / "v.npy", array)
        vectors, _ = read_vectors(tmp_path / "v.npy", tmp_path / "i.csv")
        half = 0.5**0.5
        assert torch.allclose(vectors, torch.tensor([[half, -half], [0.0, 1.0]]), atol=1e-6)


def test_an_empty_table_of_vectors_is_refused(tmp_path: Path) -> None:
    (tmp_path / "i.csv").write_text("level0\n")
    np.save(tmp_path / "v.npy", np.zeros((0, 4), np.float32))
    with pytest.raises(InputError, match="holds no vector"):
        read_vectors(tmp_path / "v.npy", tmp_path / "i.csv")
