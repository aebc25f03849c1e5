"""GLDv2's released labels are cleaned, and count only for landmarks of their split."""

from __future__ import annotations

import pytest
from strata_labels.errors import InputError
from strata_labels.sources import SOURCES
from strata_labels.sources.gldv2_landmarks import LEVELS, read_released

GLDV2 = SOURCES["gldv2"]
TREE = ("landmark", *LEVELS)
BASE = "http://commons.wikimedia.org/wiki/Category:"
FULL = "landmark_id,category,supercategory,hierarchical_label,natural_or_human_made\n"


@pytest.fixture
def items(tmp_path):
    """Train landmarks 2, 7 and index landmarks 2, 5: other things under other names."""
    head = "landmark_id,category\n"
    (tmp_path / "train_label_to_category.csv").write_text(f"{head}2,{BASE}Caf%C3%A9\n7,{BASE}P\n")
    (tmp_path / "index_label_to_category.csv").write_text(f"{head}2,{BASE}Tower\n5,{BASE}Q\n")
    return GLDV2.read(tmp_path, TREE).items


def write(folder, name, text):
    (folder / name).write_text(text)
    return folder / name


def problems(path, items):
    with pytest.raises(InputError) as caught:
        GLDV2.read_labels(path, items, TREE)
    return [(p.row, p.column) for p in caught.value.problems]


def test_the_released_columns_are_read_clean(tmp_path, items):
    text = f"{FULL}7,{BASE}P,, ocean  area ,natural\n2,https:{BASE[5:]}Café,inn,house,human-made\n"
    labels = read_released(write(tmp_path, "train_labels.csv", text), items)
    assert labels.to_dict("records") == [
        {
            "item_id": "gldv2/train/2",
            "supercategory": "inn",
            "hierarchical_label": "house",
            "natural_or_human_made": "human-made",
        },
        {
            "item_id": "gldv2/train/7",
            "supercategory": "",
            "hierarchical_label": "ocean area",
            "natural_or_human_made": "natural",
        },
    ]


def test_blank_labels_are_set_aside_and_columns_optional(tmp_path, items):
    path = write(tmp_path, "index_x.csv", "landmark_id,hierarchical_label\n5,lake\n2,\n")
    labels = GLDV2.read_labels(path, items, TREE)
    assert labels.table.to_dict("records") == [
        {"item_id": "gldv2/index/5", "level": 2, "node": "lake", "origin": "known"}
    ]
    assert labels.counts == {"in": 2, "out": 1, "set_aside": {"no label": 1}}


def test_the_split_comes_from_the_file_name_a_column_or_the_metadata(tmp_path, items):
    plain = "landmark_id,hierarchical_label\n2,lake\n"
    column = "landmark_id,split,hierarchical_label\n2,Index,lake\n2,train,house\n"
    found = GLDV2.read_labels(write(tmp_path, "known.csv", column), items, TREE).table
    assert found["item_id"].tolist() == ["gldv2/index/2", "gldv2/train/2"]
    path = write(tmp_path, "known.csv", plain)
    assert problems(path, items) == [(None, None)]
    for split in ("train", "index"):
        only = items[items["split"] == split]
        labels = GLDV2.read_labels(path, only, TREE)
        assert labels.table["item_id"].tolist() == [f"gldv2/{split}/2"]


def test_a_split_that_contradicts_the_name_or_the_metadata(tmp_path, items):
    column = "landmark_id,split,hierarchical_label\n2,index,lake\n2,test,lake\n7,,lake\n"
    assert problems(write(tmp_path, "train_x.csv", column), items) == [(2, "split"), (3, "split")]
    train = items[items["split"] == "train"]
    path = write(tmp_path, "index_x.csv", "landmark_id,hierarchical_label\n2,lake\n7,lake\n")
    assert problems(path, train) == [(None, None)]


def test_an_index_id_in_a_train_file_is_refused_with_its_row(tmp_path, items):
    text = f"{FULL}7,{BASE}P,,lake,\n5,{BASE}Q,,lake,\n2,{BASE}Tower,,lake,\nx,,,lake,\n7,,,lake,\n"
    wanted = [(3, "landmark_id"), (4, "category"), (5, "landmark_id"), (6, "landmark_id")]
    assert problems(write(tmp_path, "train_labels.csv", text), items) == wanted


@pytest.mark.parametrize("cut", [10, len(FULL) + 3, -2, -1])
def test_a_cut_file_is_refused(tmp_path, items, cut):
    text = f"{FULL}7,{BASE}P,,lake,natural\n"
    assert problems(write(tmp_path, "train_labels.csv", text[:cut]), items)


def test_released_labels_come_with_the_metadata(tmp_path, items):
    write(tmp_path, "train_label_to_hierarchical.csv", f"{FULL}7,,inn,house,human-made\n2,,,,\n")
    # Labels of a split whose landmarks are not there are not read.
    (tmp_path / "index_label_to_category.csv").unlink()
    write(tmp_path, "index_label_to_hierarchical.csv", f"{FULL}5,,,lake,natural\n")
    found = GLDV2.read(tmp_path, TREE)
    assert found.labels.to_dict("list") == {
        "item_id": ["gldv2/train/7"] * 3,
        "level": [1, 2, 3],
        "node": ["inn", "house", "human-made"],
        "origin": ["published"] * 3,
    }
    assert found.counts["labels"] == {"train": {"in": 2, "out": 1, "set_aside": {"no label": 1}}}
    text = f"{FULL}99,,,lake,natural\nx,,,lake,\n"
    write(tmp_path, "train_label_to_hierarchical.csv", text)
    with pytest.raises(InputError) as caught:
        GLDV2.read(tmp_path, TREE)
    assert [problem.row for problem in caught.value.problems] == [2, 3]


def test_the_published_labels_are_read_in_full(shared):
    folder = shared / "gldv2"
    train = GLDV2.read(folder / "train_label_to_hierarchical.sample.csv", TREE)
    assert train.counts["labels"]["train"] == {
        "in": 7287, "out": 6965, "set_aside": {"no label": 322}
    }  # fmt: skip
    names = train.labels[train.labels["level"] == 2]["node"]
    assert names.nunique() == 78 and "ocean area" in set(names)
