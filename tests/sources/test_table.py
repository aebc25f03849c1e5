"""A user's own table: ids, pictures, labels, and what is refused."""

from __future__ import annotations

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from strata_labels.errors import InputError
from strata_labels.sources import SOURCES, shared_images
from trees import build

TABLE = SOURCES["table"]


def write(folder, text):
    (folder / "items.csv").write_text(text, encoding="utf-8")
    return folder


def test_items_pictures_and_labels(tmp_path):
    (tmp_path / "pictures/b").mkdir(parents=True)
    for name in ("2.JPG", "1.png", "note.txt"):
        (tmp_path / "pictures/b" / name).touch()
    write(
        tmp_path,
        "\ufeffid;name;image;class;top\n7;Red mug;a.jpg|c.jpg;mug;kitchen\n"
        "9;;pictures/b;lamp;home\n",
    )
    assert TABLE.levels(tmp_path) == ("class", "top")
    items = TABLE.read(tmp_path, ("item", "class", "top")).items
    assert items.item_id.tolist() == ["table/train/7", "table/train/9"]
    assert items.source_id.tolist() == [7, 9]
    assert items.name.tolist() == ["Red mug", "9"]
    assert items.image_ids.tolist() == [
        ["a.jpg", "c.jpg"],
        ["pictures/b/1.png", "pictures/b/2.JPG"],
    ]
    assert TABLE.files(tmp_path) == [tmp_path / "items.csv"]
    tree = build("table", tmp_path, ["class", "top"]).tree
    assert tree.path("table/train/9") == ["table/train/9", "1/home/lamp", "2/home"]


def test_ids_that_are_no_numbers_and_ids_by_split(tmp_path):
    write(tmp_path, "id,split,class\nb-1,train,x\na,test,y\nb-1,test,\n")
    metadata = TABLE.read(tmp_path / "items.csv", ("item", "class"))
    assert metadata.items.item_id.tolist() == ["table/test/a", "table/test/b-1", "table/train/b-1"]
    assert metadata.items.source_id.tolist() == [2, 3, 1]
    assert metadata.labels.to_dict("list") == {
        "item_id": ["table/train/b-1", "table/test/a"],
        "level": [1, 1],
        "node": ["x", "y"],
        "origin": ["published", "published"],
    }
    assert metadata.counts["labels"] == {"in": 3, "out": 2, "set_aside": {"no label": 1}}


def test_everything_wrong_is_listed(tmp_path):
    (tmp_path / "empty").mkdir()
    write(tmp_path, "id,split,image\n1,train,a.jpg\n1,train,b.jpg\n,test,\n2,test,a.jpg\n")
    with pytest.raises(InputError) as caught:
        TABLE.read(tmp_path, ("item",))
    assert [(problem.row, problem.what) for problem in caught.value.problems] == [
        (4, "blank id"),
        (3, "id appears twice (first in row 2):"),
    ]
    write(tmp_path, "id,split,image\n1,train,a.jpg\n2,test,a.jpg\n3,test,empty\n")
    with pytest.raises(InputError) as caught:
        TABLE.read(tmp_path, ("item",))
    assert "image in both splits (first in row 2, train): 'a.jpg'" in str(caught.value)
    assert "folder without pictures: 'empty'" in str(caught.value)


def test_a_column_called_item_id_is_refused_by_name(tmp_path):
    write(tmp_path, "id,Item_ID,kind\n1,a,mill\n")
    with pytest.raises(InputError, match="column 'item_id': Strata uses this name itself"):
        TABLE.read(tmp_path, ("item", "kind"))


def test_no_table(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        TABLE.read(tmp_path, ("item",))
    with pytest.raises(InputError, match="column missing"):
        TABLE.read(write(tmp_path, "name\nx\n"), ("item",))


def test_labels_of_a_level_that_the_tree_does_not_have_are_left_out(tmp_path):
    write(tmp_path, "id,colour,class,top\n1,red,mug,kitchen\n2,blue,,home\n")
    labels = TABLE.read(tmp_path, ("item", "class", "kind", "top")).labels
    assert labels.level.tolist() == [1, 3, 3]
    assert labels.node.tolist() == ["mug", "kitchen", "home"]


def known(folder, text):
    (folder / "known.csv").write_text(text, encoding="utf-8")
    items = TABLE.read(folder, ("item", "class")).items
    return TABLE.read_labels(folder / "known.csv", items, ("item", "class"))


def test_known_labels_name_items_by_either_id(tmp_path):
    write(tmp_path, "id,split,class\n1,train,\n2,train,\n1,test,\n3,test,\n")
    found = known(tmp_path, "id;split;Class;note\n1;test;mug;x\n2;;lamp;\ntable/test/3;;;\n")
    assert found.table.to_dict("list") == {
        "item_id": ["table/test/1", "table/train/2"],
        "level": [1, 1],
        "node": ["mug", "lamp"],
        "origin": ["known", "known"],
    }
    assert found.counts == {
        "in": 3,
        "out": 2,
        "set_aside": {"no label": 1},
        "columns_not_read": "note",
    }


def test_every_wrong_row_of_known_labels_is_listed(tmp_path):
    write(tmp_path, "id,split,class\n1,train,\n2,train,\n1,test,\n")
    with pytest.raises(InputError) as caught:
        known(tmp_path, "id,split,class\n1,,mug\n9,,mug\n2,test,mug\n2,,mug\n2,train,cup\n")
    assert [(problem.row, problem.what) for problem in caught.value.problems] == [
        (2, "items of several splits have this id:"),
        (3, "no such item in the metadata:"),
        (4, "no such item in the metadata:"),
        (6, "id appears twice (first in row 5):"),
    ]
    with pytest.raises(InputError, match="has no column of labels"):
        known(tmp_path, "id,kind\n1,mug\n")
    with pytest.raises(InputError, match=r"column 'clas': no such level\. Write class"):
        known(tmp_path, "id,clas\n1,mug\n")


def test_a_parquet_table_is_cleaned_as_a_csv_is(tmp_path):
    pd.DataFrame(
        {
            " ID": [22.0, 7.0],
            "Name": ["  Red\u00a0mug ", None],
            "Class": ["caf\u0065\u0301", " mug"],
            "image": [["a.jpg", "b.jpg"], None],
        }
    ).to_parquet(tmp_path / "items.parquet")
    assert TABLE.levels(tmp_path) == ("class",)
    metadata = TABLE.read(tmp_path, ("Item", "Class"))
    assert metadata.items["item_id"].tolist() == ["table/train/7", "table/train/22"]
    assert metadata.items["name"].tolist() == ["7", "Red mug"]
    assert metadata.items["image_ids"].tolist() == [[], ["a.jpg", "b.jpg"]]
    assert metadata.labels["node"].tolist() == ["caf\u00e9", "mug"]
    pd.DataFrame({"Id": [1], "id": [2]}).to_parquet(tmp_path / "items.parquet")
    with pytest.raises(InputError, match="column appears twice"):
        TABLE.read(tmp_path, ("item",))
    (tmp_path / "items.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputError, match="damaged table"):
        TABLE.read(tmp_path, ("item",))


EXPORTED = ("status", "node_id", "origin", "confidence", "accepted")
PLACE = ("wikidata", "country", "latitude", "longitude")


@pytest.mark.parametrize("name", [*EXPORTED, *PLACE])
def test_a_label_column_may_have_any_name(tmp_path, name):
    write(tmp_path, f"id,{name}\n1,good\n2,bad\n")
    assert TABLE.levels(tmp_path) == (name,)
    assert TABLE.read(tmp_path, ("item", name)).labels.node.tolist() == ["good", "bad"]


def test_columns_that_are_no_labels_are_named(tmp_path):
    write(tmp_path, f"id,class,{','.join(PLACE)},notes\n1,mug,Q1,France,1,2,x\n")
    assert TABLE.levels(tmp_path) == ("class", "notes")  # one of our own exports, and a column more
    metadata = TABLE.read(tmp_path, ("item", "class"))
    assert metadata.counts["columns_not_read"] == ", ".join([*PLACE, "notes"])


@pytest.mark.parametrize(
    ("header", "unread"),
    [(",id,class", "1 without a name"), ("Unnamed: 0,id,class", "unnamed: 0")],
)
def test_numbers_of_rows_that_a_program_has_written_are_no_labels(tmp_path, header, unread):
    write(tmp_path, f"{header}\n0,a,mug\n1,b,lamp\n")
    assert TABLE.levels(tmp_path) == ("class",)
    metadata = TABLE.read(tmp_path, ("item", "class"))
    assert metadata.counts["columns_not_read"] == unread


def test_numbers_of_rows_in_a_parquet_table_are_no_labels(tmp_path):
    table = pd.DataFrame({"id": ["a", "b"], "class": ["mug", "lamp"]}, index=["x", "y"])
    table.to_parquet(tmp_path / "items.parquet")
    assert TABLE.levels(tmp_path) == ("class",)
    metadata = TABLE.read(tmp_path, ("item", "class"))
    assert metadata.counts["columns_not_read"] == "__index_level_0__"


def test_a_cell_that_is_no_single_label_is_refused_with_its_first_row(tmp_path):
    pd.DataFrame(
        {
            "id": [1, 2, 3, 4],
            "image": [["a.jpg", "b.jpg"], ["c.jpg"], [], None],
            "class": [["mug", "cup"], ["lamp"], None, []],
            "box": [{"x": 1}, None, None, {"x": 2}],
            "raw": [b"caf\xc3\xa9", b"\xff", None, b""],
        }
    ).to_parquet(tmp_path / "items.parquet")
    with pytest.raises(InputError) as caught:
        TABLE.read(tmp_path, ("item", "class", "box", "raw"))
    assert [(problem.column, problem.row, problem.what) for problem in caught.value.problems] == [
        ("class", 1, "several values:"),
        ("box", 1, "a value inside a value (in 2 rows):"),
        ("raw", 2, "bytes that are no text:"),
    ]
    path = tmp_path / "items.jsonl"
    path.write_text(
        '{"id": 1, "image": ["a", "b"], "class": ["mug"]}\n{"id": 2, "class": [1, 2]}\n'
    )
    with pytest.raises(InputError, match=r"row 2, column 'class': several values: \[1, 2\]"):
        TABLE.read(path, ("item", "class"))


def test_lists_and_objects_in_columns_that_are_no_level_are_counted_and_not_read(tmp_path):
    rows = {
        "id": [1, 2],
        "class": ["mug", "lamp"],
        "bbox": [[0.0, 1.0], [2.0, 3.0]],
        "meta": [{"x": 1}, None],
        "raw": [b"\xff", None],
    }
    frame = pd.DataFrame(rows)
    frame.to_parquet(tmp_path / "items.parquet")
    kept = frame.drop(columns="raw")
    kept.to_json(tmp_path / "items.jsonl", orient="records", lines=True)
    for name, unread in (("items.parquet", "bbox, meta, raw"), ("items.jsonl", "bbox, meta")):
        path = tmp_path / name
        assert TABLE.levels(path) == ("class",)
        metadata = TABLE.read(path, ("item", "Class"))
        assert metadata.labels["node"].tolist() == ["mug", "lamp"]
        assert metadata.counts["columns_not_read"] == unread
        with pytest.raises(InputError) as caught:
            TABLE.read(path, ("item", "class", "bbox"))
        found = [(problem.column, problem.row, problem.what) for problem in caught.value.problems]
        assert found == [("bbox", 1, "several values (in 2 rows):")]


def test_no_column_of_bytes_is_a_level_however_they_are_kept(tmp_path):
    raw = pa.array([b"\xff\x00", b"\xfe\x01"])
    columns = {
        "id": ["1", "2"],
        "fixed": pa.array([b"\xff\x00", b"\xfe\x01"], pa.binary(2)),
        "coded": raw.dictionary_encode(),
        "listed": pa.array([[b"\xff"], []], pa.list_(pa.binary())),
        "kind": raw.take(pa.array([0, 0])).dictionary_encode().cast(pa.binary()),
        "text": pa.array(["mug", "lamp"]).dictionary_encode(),
    }
    path = tmp_path / "items.parquet"
    pq.write_table(pa.table(columns), path)
    assert TABLE.levels(path) == ("text",)
    metadata = TABLE.read(path, ("item", "text"))
    assert metadata.labels["node"].tolist() == ["mug", "lamp"]
    assert metadata.counts["columns_not_read"] == "fixed, coded, listed, kind"


def test_a_column_of_lists_is_no_level_and_one_with_a_list_by_mistake_is(tmp_path):
    path = tmp_path / "items.jsonl"
    path.write_text(
        '{"id": 1, "kind": ["mug"], "tags": ["a"], "note": null}\n'
        '{"id": 2, "kind": null, "tags": ["a", "b"]}\n{"id": 3, "kind": [], "tags": {"a": 1}}\n'
        '{"id": 4, "tags": ""}\n'
    )
    assert TABLE.levels(path) == ("kind", "note")
    assert TABLE.read(path, ("item", "kind")).labels["node"].tolist() == ["mug"]
    path.write_text('{"id": 1, "kind": "mug"}\n{"id": 2, "kind": ["mug", "cup"]}\n')
    assert TABLE.levels(path) == ("kind",)
    with pytest.raises(InputError, match=r"row 2, column 'kind': several values: \['mug', 'cup'\]"):
        TABLE.read(path, ("item", "kind"))


def test_a_day_as_a_label_is_written_without_a_time(tmp_path):
    times = pd.to_datetime(["2020-01-31 00:00:00", None, "2020-01-31 12:30:00"])
    pd.DataFrame({"id": [1, 2, 3], "when": times}).to_parquet(tmp_path / "items.parquet")
    labels = TABLE.read(tmp_path, ("item", "when")).labels
    assert labels["node"].tolist() == ["2020-01-31", "2020-01-31 12:30:00"]


def test_a_list_of_known_labels_is_refused(tmp_path):
    items = TABLE.read(write(tmp_path, "id,class\n1,\n2,\n"), ("item", "class")).items
    path = tmp_path / "known.jsonl"
    path.write_text(
        '{"id": 1, "Class": ["a"], "tags": ["x", "y"]}\n{"id": 2, "Class": ["a", "b"]}\n'
    )
    with pytest.raises(InputError, match=r"row 2, column 'Class': several values: \['a', 'b'\]"):
        TABLE.read_labels(path, items, ("item", "class"))
    path.write_text('{"id": 1, "Class": ["a"], "tags": ["x", "y"]}\n')
    found = TABLE.read_labels(path, items, ("item", "class"))
    assert found.table["node"].tolist() == ["a"]
    assert found.counts["columns_not_read"] == "tags"


def test_given_wikidata_ids_are_kept_and_wrong_ones_named(tmp_path):
    write(tmp_path, "id,qid,class\n1,Q90,city\n2,,city\n")
    items = TABLE.read(tmp_path, ("item", "class")).items
    assert items.qid.fillna("").tolist() == ["Q90", ""]
    write(tmp_path, "id,qid,class\n1,foo,city\n2,90,city\n3,Q05,city\n4,q7,\n5,Q7,\n")
    with pytest.raises(InputError) as caught:
        TABLE.read(tmp_path, ("item", "class"))
    assert [problem.row for problem in caught.value.problems] == [2, 3, 4, 5]


def test_ids_that_a_spreadsheet_shortened_are_refused_and_007_is_not_7(tmp_path):
    write(tmp_path, 'id,class\n1.11E+11,a\n2E+5,b\n"1,5e+10",c\nE+5,d\n')
    with pytest.raises(InputError) as caught:
        TABLE.read(tmp_path, ("item", "class"))
    assert [problem.row for problem in caught.value.problems] == [2, 3, 4]
    write(tmp_path, "id,class\n007,a\n7,b\n")
    items = TABLE.read(tmp_path, ("item", "class")).items
    assert items.item_id.tolist() == ["table/train/007", "table/train/7"]
    assert items.source_id.is_unique


def test_an_address_in_place_of_a_picture_is_kept_as_it_is(tmp_path):
    write(tmp_path, "id,image,class\n1,https://example.org//a.jpg|./b c.jpg,x\n")
    items = TABLE.read(tmp_path, ("item", "class")).items
    assert items.image_ids.tolist() == [["https://example.org//a.jpg", "b c.jpg"]]


def test_images_of_several_items_are_found(tmp_path):
    write(tmp_path, "id,image,class\n1,a.jpg|b.jpg|b.jpg,x\n2,./b.jpg,y\n3,c.jpg|c.jpg,x\n")
    found = TABLE.read(tmp_path, ("item", "class"))
    assert shared_images(found.items, found.labels).values.tolist() == [
        ["b.jpg", "table/train/1", "1", "x"],
        ["b.jpg", "table/train/2", "2", "y"],
    ]
