"""Stanford Online Products: the lists are read, and all their problems listed at once."""

from __future__ import annotations

import zipfile

import pytest
from strata_labels.errors import InputError
from strata_labels.sources import SOURCES
from trees import build

LEVELS = ("product", "superclass")
HEADER = "image_id class_id super_class_id path\n"
TRAIN = [
    "1 1 1 bicycle_final/111_0.JPG",
    "2 1 1 bicycle_final/111_1.JPG",
    "3 2 2 coffee_maker_final/222_0.JPG",
]
TEST = ["4 3 1 bicycle_final/333_0.JPG", "5 4 2 coffee_maker_final/444_0.JPG"]


def write(folder, train=TRAIN, test=TEST):
    folder.mkdir(exist_ok=True)
    for split, lines in (("train", train), ("test", test)):
        (folder / f"Ebay_{split}.txt").write_text(HEADER + "".join(f"{x}\n" for x in lines))
    return folder


def problems(folder) -> list[str]:
    with pytest.raises(InputError) as caught:
        SOURCES["sop"].read(folder, LEVELS)
    return [str(problem) for problem in caught.value.problems]


def test_products_and_their_super_classes(tmp_path):
    metadata = SOURCES["sop"].read(write(tmp_path), LEVELS)
    assert metadata.items.item_id.tolist() == ["sop/3", "sop/4", "sop/1", "sop/2"]
    assert metadata.items.name.tolist() == ["333", "444", "111", "222"]
    assert metadata.items.image_ids[2] == ["bicycle_final/111_0.JPG", "bicycle_final/111_1.JPG"]
    assert metadata.counts["images"]["train"] == {"in": 3, "out": 3, "set_aside": {}}
    built = build("sop", tmp_path, ["superclass"])
    assert built.counts == {0: 4, 1: 2}
    assert built.tree.path("sop/4") == ["sop/4", "1/coffee_maker"]
    assert built.tree.name["1/coffee_maker"] == "coffee maker"


def test_the_official_zip_is_read_as_it_is(tmp_path):
    inside = write(tmp_path / "Stanford_Online_Products")
    with zipfile.ZipFile(tmp_path / "Stanford_Online_Products.zip", "w") as archive:
        for path in inside.iterdir():
            archive.write(path, f"Stanford_Online_Products/{path.name}")
    nested = SOURCES["sop"].read(tmp_path, LEVELS).items
    for path in inside.iterdir():
        path.unlink()
    inside.rmdir()
    packed = SOURCES["sop"].read(tmp_path, LEVELS)
    assert packed.items.equals(nested)
    assert [path.name for path in SOURCES["sop"].files(tmp_path)] == [
        "Stanford_Online_Products.zip"
    ]


def test_a_missing_list_is_refused(tmp_path):
    write(tmp_path)
    (tmp_path / "Ebay_test.txt").unlink()
    assert problems(tmp_path) == [
        f"{tmp_path}: holds no Ebay_test.txt. Add the official list of that split."
    ]


def test_everything_wrong_is_listed(tmp_path):
    write(
        tmp_path,
        [*TRAIN, "6 2", "7 x 0 a_final/1.JPG", "8 2 1 coffee_maker_final/222_9.JPG"],
        [*TEST, "2 5 1 bicycle_final/555_0.JPG", "9 4 2 coffee_maker_final/222_0.JPG"],
    )
    found = "\n".join(problems(tmp_path))
    for text in (
        "Ebay_train.txt, row 5: 2 cells where 4",
        "row 6, column 'class_id': not an id: 'x'",
        "row 6, column 'super_class_id': not an id: '0'",
        "class under two super-classes (2 in Ebay_train.txt, row 4, 1 here): 2",
        "image id appears in both splits (first in Ebay_train.txt, row 3): 2",
        "image appears in both splits (first in Ebay_train.txt, row 4): 'coffee_maker",
    ):
        assert text in found, found


def test_a_class_in_both_splits(tmp_path):
    write(tmp_path, test=["4 1 1 bicycle_final/111_7.JPG", "5 3 2 coffee_maker_final/4_0.JPG"])
    assert "class in both splits" in problems(tmp_path)[0]


def test_gaps_in_all_three_numberings(tmp_path):
    write(tmp_path, test=["5 5 1 bicycle_final/3_0.JPG", "8 4 4 coffee_final/4_0.JPG"])
    found = problems(tmp_path)
    assert [text.split("column ")[1].split(". ")[0] for text in found] == [
        "'image_id': ids with gaps, missing: '4'",
        "'image_id': ids with gaps, missing: '6 to 7'",
        "'class_id': ids with gaps, missing: '3'",
        "'super_class_id': ids with gaps, missing: '3'",
    ]


def test_a_wrong_header(tmp_path):
    write(tmp_path)
    (tmp_path / "Ebay_train.txt").write_text("1 1 1 a_final/1.JPG\n")
    assert "the first line is not the header" in problems(tmp_path)[0]


def test_a_super_class_without_a_folder_of_its_own_has_its_number(tmp_path):
    write(tmp_path, test=["4 3 1 coffee_maker_final/3.JPG", "5 4 3 lamp_final/4.JPG"])
    labels = SOURCES["sop"].read(tmp_path, LEVELS).labels
    assert set(labels.level) == {1}
    assert labels.node.tolist() == [
        "super-class 1",
        "super-class 2",
        "super-class 1",
        "lamp",
    ]


def test_super_classes_of_one_folder_name_stay_apart(tmp_path):
    write(tmp_path, test=["4 3 1 bicycle_final/3.JPG", "5 4 3 new/bicycle_final/4.JPG"])
    found = SOURCES["sop"].read(tmp_path, LEVELS).labels.node.tolist()
    assert found == ["super-class 1", "coffee maker", "super-class 1", "super-class 3"]
    (tmp_path / "names.csv").write_text("level,id,name\n1,3,bicycle\n")
    found = SOURCES["sop"].read(tmp_path, LEVELS).labels.node.tolist()
    assert found == ["super-class 1", "coffee maker", "super-class 1", "bicycle"]
