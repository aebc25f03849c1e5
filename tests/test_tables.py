"""A workspace's tables: written and read under their contracts."""

from __future__ import annotations

import pandas as pd
import pyarrow.parquet as pq
import pytest
from strata_labels.errors import InputError
from strata_labels.tables import (
    SCHEMA_VERSION,
    SCHEMAS,
    labels_at,
    load,
    own_ids,
    save,
    schema_version,
)

LABELS = pd.DataFrame(
    [
        ("t/train/1", 1, "mug", "published"),
        ("t/train/1", 2, "kitchen", "published"),
        ("t/train/1", 1, "cup", "known"),
        ("t/train/3", 2, "home", "published"),
    ],
    columns=["item_id", "level", "node", "origin"],
)


def test_a_table_comes_back_under_its_contract(tmp_path):
    path = save(tmp_path, "labels", LABELS.assign(more=1)[["more", *LABELS.columns[::-1]]])
    assert pq.read_schema(path).equals(SCHEMAS["labels"])
    found = load(tmp_path, "labels")
    assert found.columns.tolist() == SCHEMAS["labels"].names
    assert found.to_dict("list") == LABELS.to_dict("list")
    assert load(tmp_path, "labels", ["node", "item_id"]).columns.tolist() == ["node", "item_id"]


def test_the_same_rows_give_the_same_bytes(tmp_path):
    first = save(tmp_path, "labels", LABELS).read_bytes()
    assert save(tmp_path, "labels", LABELS.set_axis([7, 5, 3, 1])).read_bytes() == first


def test_a_table_of_a_later_schema_version_is_refused_by_name(tmp_path):
    path = save(tmp_path, "labels", LABELS)
    assert schema_version(path) == SCHEMA_VERSION
    table = pq.read_table(path)
    for text in (str(SCHEMA_VERSION + 1), "2.1", "9" * 50, "later"):
        later = table.replace_schema_metadata({"strata_schema_version": text})
        pq.write_table(later, path)
        with pytest.raises(InputError) as caught:
            load(tmp_path, "labels")
        (problem,) = caught.value.problems
        assert problem.where == path and f"schema version {text}" in problem.what
    pq.write_table(table.replace_schema_metadata(None), path)  # as an earlier version wrote it
    assert schema_version(path) == 1
    assert load(tmp_path, "labels").to_dict("list") == LABELS.to_dict("list")


def test_every_missing_column_is_named(tmp_path):
    with pytest.raises(InputError) as caught:
        save(tmp_path, "labels", LABELS[["item_id", "level"]])
    assert [problem.column for problem in caught.value.problems] == ["node", "origin"]
    assert not (tmp_path / "tables").exists()
    save(tmp_path, "labels", LABELS)
    with pytest.raises(InputError):
        load(tmp_path, "labels", ["item_id", "nodes"])


def test_a_table_that_is_not_there_or_damaged(tmp_path):
    with pytest.raises(InputError, match="table not found"):
        load(tmp_path, "labels")
    save(tmp_path, "labels", LABELS).write_bytes(b"PAR1 and no more")
    with pytest.raises(InputError, match="damaged table"):
        load(tmp_path, "labels")


def test_damage_anywhere_in_a_table_is_named(tmp_path):
    whole = save(tmp_path, "labels", LABELS).read_bytes()
    named = 0
    for at in range(0, len(whole), 7):
        content = bytearray(whole)
        content[at] ^= 0xFF
        for name in ("labels", "proposals"):
            (tmp_path / "tables" / f"{name}.parquet").write_bytes(content)
        for name in ("labels", "proposals"):
            try:
                load(tmp_path, name, ["item_id"])
            except InputError as error:
                named += "damaged table" in str(error)
            except KeyError:  # labels are no proposals
                assert name == "proposals"
    assert named > len(whole) // 14


def test_labels_of_items_at_a_level():
    items = pd.Series(["t/train/3", "t/train/1", "t/train/2"], index=[4, 5, 6])
    assert labels_at(LABELS, items, 1, "published").to_dict() == {4: "", 5: "mug", 6: ""}
    assert labels_at(LABELS, items, 2, "published").to_dict() == {4: "home", 5: "kitchen", 6: ""}
    assert labels_at(LABELS, items, 1, "known").to_dict() == {4: "", 5: "cup", 6: ""}
    assert labels_at(LABELS[:0], items, 1, "known").tolist() == ["", "", ""]


def test_an_items_own_id():
    items = pd.DataFrame(
        {
            "item_id": ["t/train/1", "sop/7", "t/test/a/b"],
            "dataset": ["t", "sop", "t"],
            "split": ["train", "train", "test"],
        }
    )
    assert own_ids(items) == ["1", "7", "a/b"]
