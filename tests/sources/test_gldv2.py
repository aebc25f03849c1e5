"""GLDv2's metadata: any subset of its files, read strictly and counted."""

from __future__ import annotations

import pytest
from strata_labels import tables
from strata_labels.errors import InputError
from strata_labels.sources import SOURCES, fetch_metadata, shared_images
from strata_labels.sources.gldv2 import FILES
from strata_labels.sources.gldv2_landmarks import LEVELS, read_landmarks

GLDV2 = SOURCES["gldv2"]
BASE = "http://commons.wikimedia.org/wiki/Category:"
A, B, C = "0" * 15 + "a", "0" * 15 + "b", "0" * 15 + "c"

TRAIN = f"landmark_id,category\n10,{BASE}Villa_(Nice)\n2,{BASE}Caf%C3%A9\n7,{BASE}Pont\n"
INDEX = f"landmark_id,category\n2,{BASE}Tower\n"


def write(folder, **files):
    for name, text in files.items():
        data = text if isinstance(text, bytes) else text.encode()
        (folder / f"{name}.csv").write_bytes(data)
    return folder


def read(folder):
    return GLDV2.read(folder, ("landmark", *LEVELS))


def problems(call, *arguments):
    with pytest.raises(InputError) as caught:
        call(*arguments)
    return [(p.row, p.column, p.value, p.what) for p in caught.value.problems]


def images_of(metadata):
    items = metadata.items
    return {key: list(ids) for key, ids in zip(items["item_id"], items["image_ids"], strict=True)}


def test_names_alone_are_enough(tmp_path):
    metadata = read(write(tmp_path, train_label_to_category=TRAIN))
    items = metadata.items
    assert [*items.columns, "qid"] == tables.SCHEMAS["items"].names
    assert items.drop(columns="image_ids").iloc[2].to_dict() == {
        "item_id": "gldv2/train/10",
        "dataset": "gldv2",
        "split": "train",
        "source_id": 10,
        "title": "Villa (Nice)",
        "name": "Villa",
        "qualifier": "Nice",
        "source_url": f"{BASE}Villa_(Nice)",
    }
    assert images_of(metadata) == {key: [] for key in items["item_id"]}
    assert metadata.counts == {
        "landmarks": {
            "train": {
                "in": 3,
                "out": 3,
                "set_aside": {},
                "categories_shared": 0,
                "without_images": 3,
            }
        },
        "labels": {},
        "images": {},
    }
    tables.save(tmp_path, "items", items)
    assert tables.load(tmp_path, "items")["item_id"].tolist() == items["item_id"].tolist()


def test_all_files_together(tmp_path):
    write(
        tmp_path,
        train_label_to_category=TRAIN,
        index_label_to_category=INDEX,
        train=f"id,url,landmark_id\n{A},http://a,10\n{B},http://b,2\n{C},http://c,99\n",
        train_clean=f"landmark_id,images\n10,{B} {A}\n99,{C}\n",
        index=f"id\n{C}\n{A}\n",
        index_image_to_landmark=f"id,landmark_id\n{A},2\n{B},2\n{C},3\n",
    )
    metadata = read(tmp_path)
    assert images_of(metadata) == {
        "gldv2/index/2": [A, B],
        "gldv2/train/2": [],
        "gldv2/train/7": [],
        "gldv2/train/10": [B, A],
    }
    aside = {"landmark not in the metadata": 1}
    assert metadata.counts["images"] == {
        "train_clean": {"in": 3, "out": 2, "set_aside": aside},
        "index_image_to_landmark": {"in": 3, "out": 2, "set_aside": aside},
    }
    assert metadata.counts["landmarks"]["train"]["without_images"] == 2
    assert [path.name for path in GLDV2.files(tmp_path)] == [
        "index_image_to_landmark.csv",
        "index_label_to_category.csv",
        "train_clean.csv",
        "train_label_to_category.csv",
    ]


@pytest.mark.parametrize("name", ["train", "train_clean"])
def test_either_train_file_alone_gives_lists(tmp_path, name):
    text = {
        "train": f"id,url,landmark_id\n{B},u,7\n{A},u,7\n",
        "train_clean": f"landmark_id,images\n7,{B} {A}\n",
    }
    write(tmp_path, train_label_to_category=TRAIN, **{name: text[name]})
    assert images_of(read(tmp_path))["gldv2/train/7"] == [B, A]


def test_a_spreadsheets_file_reads_the_same(tmp_path):
    plain = read_landmarks(write(tmp_path, a=TRAIN) / "a.csv", "train")[0]
    text = TRAIN.replace("10,", " 10,00 ;", 1).replace("\n2,", "\n2;").replace("\n7,", "\n\n7 ; ")
    text = text.replace("d,c", "d;c").replace("\n", "\r\n").replace("Pont", "Pont ")
    for encoding in ("utf-8-sig", "utf-16"):
        write(tmp_path, b=text.encode(encoding))
        assert read_landmarks(tmp_path / "b.csv", "train")[0].equals(plain)


def test_every_problem_of_the_landmarks_at_once(tmp_path):
    rows = [f"1,{BASE}A", f"x,{BASE}B", f"1,{BASE}C", "3,http://example.org/D", f"-4,{BASE}E", "5"]
    rows += [f"1.222,{BASE}F", f"99999999999999999999,{BASE}G", "8,"]
    text = "landmark_id,category\n" + "\n".join(rows) + "\n"
    write(tmp_path, train_label_to_category=text)
    assert [found[:2] for found in problems(read, tmp_path)] == [(7, None)]
    write(tmp_path, train_label_to_category=text.replace("\n5\n", "\n"), index_label_to_category="")
    found = problems(read, tmp_path)
    assert [(row, column, value) for row, column, value, _ in found] == [
        (None, None, None),
        (3, "landmark_id", "x"),
        (4, "landmark_id", 1),
        (5, "category", "http://example.org/D"),
        (6, "landmark_id", "-4"),
        (7, "landmark_id", "1.222"),
        (8, "landmark_id", "99999999999999999999"),
        (9, "category", ""),
    ]
    assert "first in row 2" in found[2][3]


@pytest.mark.parametrize("cut", [5, 20, 40, 53, 54, 72, len(TRAIN) - 3, len(TRAIN) - 1])
def test_a_file_cut_anywhere_in_a_line_is_refused(tmp_path, cut):
    write(tmp_path, train_label_to_category=TRAIN[:cut])
    assert problems(read, tmp_path)


def test_a_missing_column_file_or_folder(tmp_path):
    write(tmp_path, train_label_to_category="landmark_id,url\n1,x\n")
    assert problems(read, tmp_path)[0][:2] == (1, "category")
    assert "no such folder" in problems(read, tmp_path / "none")[0][3]
    (tmp_path / "train_label_to_category.csv").unlink()
    assert "holds neither" in problems(read, tmp_path)[0][3]


def test_the_same_category_twice_is_noted(tmp_path):
    write(tmp_path, train_label_to_category=TRAIN + f"8,{BASE}Pont\n")
    counts = read(tmp_path).counts["landmarks"]["train"]
    assert (counts["out"], counts["categories_shared"]) == (4, 1)


IMAGES = f"id,url,landmark_id\n{A},http://a,10\n{B},http://b,2\n{C},http://c,7\n"
WRONG = {
    "cut in a line": (IMAGES[:-20], [(4, None)]),
    "cut in the last value": (IMAGES[:-1], [(4, None)]),
    "values": (
        IMAGES.replace(",2\n", ",2.5\n").replace(C, "a/b"),
        [(3, "landmark_id"), (4, "id")],
    ),
    "column": (IMAGES.replace("landmark_id", "landmark"), [(1, "landmark_id")]),
    "cells": (IMAGES.replace("http://a", "http://a,b"), [(2, None)]),
    "open quote": (IMAGES.replace("http://b", '"http://b'), [(3, None)]),
    "empty": ("", [(1, "id"), (1, "landmark_id")]),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_image_file_says_where(tmp_path, case):
    text, wanted = WRONG[case]
    write(tmp_path, train_label_to_category=TRAIN, train=text)
    found = problems(read, tmp_path)
    assert [(row, column) for row, column, _, _ in found] == wanted


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_image_files_from_a_spreadsheet(tmp_path, encoding):
    text = IMAGES.replace(",", ";").replace("\n", "\r\n").encode(encoding)
    write(tmp_path, train_label_to_category=TRAIN, train=text)
    assert images_of(read(tmp_path))["gldv2/train/10"] == [A]


def test_an_image_file_with_a_header_alone(tmp_path):
    write(tmp_path, train_label_to_category=TRAIN, train="id,url,landmark_id\n")
    metadata = read(tmp_path)
    assert metadata.counts["images"]["train"]["in"] == 0
    assert images_of(metadata)["gldv2/train/7"] == []


def test_a_landmark_with_very_many_images(tmp_path):
    ids = [f"{n:016x}" for n in range(20_000)]
    text = f"landmark_id,images\n7,{' '.join(ids)}\n"
    write(tmp_path, train_label_to_category=TRAIN, train_clean=text)
    assert images_of(read(tmp_path))["gldv2/train/7"] == ids
    write(tmp_path, train_clean=text + "x,abc\n")
    assert [found[:3] for found in problems(read, tmp_path)] == [(3, "landmark_id", "x")]


@pytest.mark.parametrize("name", ["train", "train_clean"])
def test_an_image_of_two_landmarks_is_found(tmp_path, name):
    rows = {
        "train": f"id,url,landmark_id\n{A},u,2\n{B},u,2\n{B},u,10\n{C},u,7\n",
        "train_clean": f"landmark_id,images\n2,{A} {B} {A}\n10,{B}\n7,{C}\n",
    }
    index = f"id,landmark_id\n{C},2\n"  # and one of both splits
    files = {"train_label_to_category": TRAIN, "index_label_to_category": INDEX}
    write(tmp_path, **files, index_image_to_landmark=index, **{name: rows[name]})
    found = read(tmp_path)
    listed = shared_images(found.items, found.labels)[["image", "item_id"]].values.tolist()
    assert listed == [
        [B, "gldv2/train/10"],
        [B, "gldv2/train/2"],
        [C, "gldv2/index/2"],
        [C, "gldv2/train/7"],
    ]


def test_fetch_gets_all_files_from_a_mirror_of_either_shape(site, tmp_path):
    for name, folder in FILES.items():
        site.files[f"/{folder}/{name}.csv"] = name.encode()
    fetch_metadata(GLDV2, tmp_path / "deep", site.url + "/")
    site.files = {f"/m/{name}.csv": name.encode() for name in FILES}
    fetch_metadata(GLDV2, tmp_path / "flat", f"{site.url}/m")
    for shape in ("deep", "flat"):
        found = {path.name for path in (tmp_path / shape).glob("*.csv")}
        assert found == {f"{name}.csv" for name in FILES}


def test_fetch_refuses_what_is_no_address(tmp_path):
    for source in ("gldv2", "sop", "inat2018"):
        with pytest.raises(InputError, match="not an address: 's3://bucket'"):
            fetch_metadata(SOURCES[source], tmp_path, "s3://bucket")
    with pytest.raises(InputError, match="a table of your own is not fetched"):
        fetch_metadata(SOURCES["table"], tmp_path)
    assert not list(tmp_path.iterdir())
