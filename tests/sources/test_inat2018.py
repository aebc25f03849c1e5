"""iNaturalist 2018: the whole real tree, homonyms, blanks, lists, and what is refused."""

from __future__ import annotations

import io
import json
import shutil
import tarfile

import pytest
from strata_labels.errors import InputError
from strata_labels.sources import SOURCES
from trees import RANKS, build

FULL = {0: 8142, 1: 4412, 2: 1120, 3: 273, 4: 57, 5: 25, 6: 6}
BIRD = ("Muscicapidae", "Passeriformes", "Aves", "Chordata", "Animalia")
PLANT = ("Apiaceae", "Apiales", "Magnoliopsida", "Tracheophyta", "Plantae")


def category(number, name, genus, above, group="Aves", **more):
    ranks = dict(zip(RANKS, (genus, *above), strict=True))
    return {"id": number, "name": name, "supercategory": group, **ranks, **more}


CATEGORIES = [
    category(0, "Oenanthe oenanthe", "Oenanthe", BIRD),
    category(1, "Oenanthe crocata", "Oenanthe", PLANT, "Plantae"),
    category(2, "Saxicola rubicola", "Saxicola", BIRD),
    category(3, "Dubia incerta", "Dubia", (None, None, "Aves", "Chordata", "Animalia")),
]


def write(folder, categories=CATEGORIES, name="categories.json"):
    (folder / name).write_text(json.dumps(categories), encoding="utf-8")
    return folder


def problems(folder) -> str:
    with pytest.raises(InputError) as caught:
        SOURCES["inat2018"].read(folder, ("species", *RANKS))
    return "\n".join(str(problem) for problem in caught.value.problems)


def coded_parents(folder) -> dict[str, str]:
    lines = (folder / "hierarchy_inat.txt").read_text().splitlines()
    return {child: parent for parent, child in (line.split() for line in lines)}


def check_against_codes(tree, parents) -> None:
    """Every coded node is one of ours and every one of ours is one coded node, on each level."""
    for level in range(1, 7):
        pairs = set()
        for number in range(8142):
            code = str(number)
            for _ in range(level):
                code = parents[code]
            pairs.add((code, tree.path(f"inat2018/{number}")[level]))
        assert len(pairs) == FULL[level]
        assert len({ours for _, ours in pairs}) == FULL[level]


def test_the_complete_real_tree_by_names(shared):
    built = build("inat2018", shared / "inat2018", RANKS)
    assert built.counts == FULL
    assert built.report["labelled"] == 8142
    check_against_codes(built.tree, coded_parents(shared / "inat2018"))
    genera = built.nodes[(built.nodes.level == 1) & (built.nodes.name == "Oenanthe")]
    assert sorted(genera.node_id) == [
        "1/Animalia/Chordata/Aves/Passeriformes/Muscicapidae/Oenanthe",
        "1/Plantae/Tracheophyta/Magnoliopsida/Apiales/Apiaceae/Oenanthe",
    ]


def test_the_complete_real_tree_by_codes(shared, tmp_path):
    for name in ("hierarchy_inat.txt", "inat_class_index.json"):
        shutil.copy(shared / "inat2018" / name, tmp_path)
    built = build("inat2018", tmp_path, RANKS)
    assert built.counts == FULL
    parents = coded_parents(tmp_path)
    check_against_codes(built.tree, parents)
    assert built.tree.name[built.tree.path("inat2018/0")[1]] == parents["0"]


def test_names_and_codes_in_different_files_are_one_tree(shared, tmp_path):
    for name in ("hierarchy_inat.txt", "inat_class_index.json"):
        shutil.copy(shared / "inat2018" / name, tmp_path)
    named = json.loads((shared / "inat2018/categories_named.json").read_text())
    write(tmp_path, [{k: v for k, v in c.items() if k != "obfuscated"} for c in named])
    built = build("inat2018", tmp_path, RANKS)
    assert built.nodes.equals(build("inat2018", shared / "inat2018", RANKS).nodes)


def test_base_has_the_published_super_categories(shared):
    built = build("inat2018", shared / "inat2018", ["supercategory"])
    assert built.counts == {0: 8142, 1: 14}
    assert len(built.tree.children("1/Plantae")) == 2917


def test_homonyms_apart_and_blanks_explicit(tmp_path):
    built = build("inat2018", write(tmp_path), RANKS)
    tree = built.tree
    assert built.counts == {0: 4, 1: 4, 2: 3, 3: 3, 4: 2, 5: 2, 6: 2}
    assert [tree.name[node] for node in tree.path("inat2018/3")] == [
        "Dubia incerta",
        "Dubia",
        "incertae sedis in Aves",
        "incertae sedis in Aves",
        "Aves",
        "Chordata",
        "Animalia",
    ]
    assert built.items.qualifier.tolist() == ["Aves", "Plantae", "Aves", "Aves"]


def test_a_coded_node_is_called_what_most_of_its_species_say(tmp_path):
    codes = dict(zip(RANKS, ["G", "F", "O", "C", "P", "K"], strict=True))
    above = ("F1", "O1", "C1", "P1", "K1")
    rows = [
        category(0, "a a", "One", above, obfuscated=codes),
        category(1, "a b", "One", above, obfuscated=codes),
        category(2, "a c", "Two", above, obfuscated=codes),
        category(3, "a d", "One", above, obfuscated=codes | {"genus": "H"}),
    ]
    labels = SOURCES["inat2018"].read(write(tmp_path, rows), ("species", *RANKS)).labels
    assert labels.node[labels.level == 1].tolist() == ["One", "One", "One", "One (H)"]


def test_lists_of_images_and_splits(tmp_path):
    write(tmp_path)
    paths = [f"train_val2018/Aves/{n}/{n}{i}.jpg" for n in (0, 2) for i in (1, 2)]
    images = [{"id": i, "file_name": path} for i, path in enumerate(paths)]
    annotations = [
        {"image_id": i, "category_id": int(p.split("/")[2])} for i, p in enumerate(paths)
    ]
    text = json.dumps({"images": images, "annotations": annotations}).encode()
    with tarfile.open(tmp_path / "train2018.json.tar.gz", "w:gz") as archive:
        member = tarfile.TarInfo("train2018.json")
        member.size = len(text)
        archive.addfile(member, io.BytesIO(text))
    (tmp_path / "Inat_dataset_splits").mkdir()
    listed = {"train": paths[:2], "test": ["train_val2018/Plantae/1/x.jpg", *paths[2:]]}
    for split, lines in listed.items():
        path = tmp_path / f"Inat_dataset_splits/Inaturalist_{split}_set1.txt"
        path.write_text("\n".join(lines) + "\n")
    metadata = SOURCES["inat2018"].read(tmp_path, ("species", *RANKS))
    by_id = metadata.items.set_index("item_id")
    assert by_id.split.to_dict() == {
        "inat2018/0": "train",
        "inat2018/1": "test",
        "inat2018/2": "test",
        "inat2018/3": "train",
    }
    assert by_id.image_ids["inat2018/2"] == paths[2:]
    assert metadata.counts["images"]["Inaturalist_test_set1.txt"] == {
        "in": 3,
        "out": 1,
        "set_aside": {"listed before": 2},
    }
    assert metadata.counts["species"]["without_images"] == 1


def test_an_image_or_a_species_in_both_splits(tmp_path):
    write(tmp_path)
    (tmp_path / "Inat_dataset_splits").mkdir()
    for split, lines in (
        ("train", "a/Aves/0/1.jpg\n"),
        ("test", "a/Aves/0/1.jpg\na/Aves/0/2.jpg\n"),
    ):
        (tmp_path / f"Inat_dataset_splits/Inaturalist_{split}_set1.txt").write_text(lines)
    found = problems(tmp_path)
    assert "row 1: image in both splits: 'a/Aves/0/1.jpg'" in found
    assert "row 2: species in both splits: 0" in found


def test_everything_wrong_with_categories_is_listed(tmp_path):
    rows = [
        category(0, "a a", None, BIRD),
        category(0, "a b", "a", BIRD),
        category("x", "a c", "a", BIRD),
        category(4, "", "a", BIRD),
        category(5, "b b", " ", BIRD),
        category(6, "c c", ["a", "b"], BIRD),
    ]
    found = problems(write(tmp_path, rows))
    assert "column 'categories[0].genus': category 0 has no genus: 'a a'" in found
    assert "column 'categories[1].id': id appears twice (first in categories[0]): 0" in found
    assert "column 'categories[2].id': not an id: 'x'" in found
    assert "column 'categories[3].name': category 4 has no name" in found
    assert "column 'categories[4].genus': category 5 has no genus: 'b b'" in found
    assert "column 'categories[5].genus': no single text: ['a', 'b']" in found


def test_lists_that_do_not_fit_the_categories(tmp_path):
    write(tmp_path)
    (tmp_path / "iNaturalist18_val.txt").write_text("a/Aves/0/1.jpg 0\na/Aves/9/1.jpg 9\nx\n")
    (tmp_path / "iNaturalist18_train.txt").write_text("a/Aves/0/1.jpg 2\n")
    found = problems(tmp_path)
    assert "image of two categories (2 and 0)" in found
    assert "image of an unknown category: 'a/Aves/9/1.jpg'" in found
    assert "row 3: not an image and its category: 'x'" in found


def test_annotations_that_are_a_list_are_refused(tmp_path):
    write(tmp_path)
    write(tmp_path, [{"file_name": "a.jpg"}], "train2018.json")
    assert "not a list of images" in problems(tmp_path)


def test_a_coded_tree_with_two_parents_or_a_rank_missing(tmp_path):
    chain = ["0 G", "G F", "F O", "O C", "C P", "P K", "K __NULL__"]
    lines = [" ".join(reversed(pair.split())) for pair in chain]
    (tmp_path / "hierarchy_inat.txt").write_text("\n".join([*lines, "G 1", "X G", "F 2"]) + "\n")
    names = {str(n): [str(n), f"s {n}"] for n in range(3)}
    (tmp_path / "inat_class_index.json").write_text(json.dumps(names))
    found = problems(tmp_path)
    assert "row 9: a second parent (first in row 2): 'G'" in found
    assert "category with 5 ranks above it where 6 are needed: 2" in found


def test_no_categories(tmp_path):
    assert "holds no categories" in problems(tmp_path)
    (tmp_path / "categories.json").write_text("[1")
    assert "not JSON" in problems(tmp_path)
