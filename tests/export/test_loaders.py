"""The field's own loaders open our exports and give the same labels."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
from exporting import export
from PIL import Image
from strata_labels.errors import InputError
from strata_labels.export import About
from strata_labels.export.export_input import ExportInput
from strata_labels.export.formats import FORMATS
from strata_labels.hierarchy import CardSource
from trees import RANKS, build, build_table

LICENSED = About(
    title="Mugs & lamps",
    description="A small tree.",
    licence="cc-by-4.0",
    sources=(CardSource(name="Mugs | lamps", licence="CC0", origin="https://example.org"),),
)


def table(levels: list[str], homonyms: bool = False) -> list[dict[str, str]]:
    rows = []
    for number in range(1, 13):
        labels = {level: f"{level} {number % (n + 2)}" for n, level in enumerate(levels)}
        for n, level in enumerate(levels[:-1]):
            # A node's name must not depend on the item alone, or the tree would not be one.
            labels[level] = "twin" if homonyms else f"{labels[levels[-1]]} {n} {number % 4}"
        rows.append(
            {
                "id": str(number),
                "name": f"thing {number}",
                "split": "train" if number % 3 else "test",
                "image": f"raw {number}/a.jpg|raw {number}/b.jpg",
                **labels,
            }
        )
    return rows


def paint(path: Path, number: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (2, 2), (number * 20,) * 3).save(path)


def shown(image: Image.Image) -> int:
    """The number that was painted."""
    return round(image.convert("L").getpixel((0, 0)) / 20)


def test_pytorch_metric_learning_opens_sop(tmp_path):
    sop = pytest.importorskip("pytorch_metric_learning.datasets.sop")
    built = build_table(table(["group"]), ["group"])
    export("sop", tmp_path / "sop", built.items, built.assignments)
    place = tmp_path / "sop/Stanford_Online_Products"
    names = pd.read_csv(place / "names.csv")
    item = names[names.level == 0].set_index("id").node
    for split, count in (("train", 16), ("test", 8), ("train+test", 24)):
        for line in pd.read_csv(place / "images.csv").itertuples():
            paint(place / line.path, int(line.image.split()[1].split("/")[0]))
        data = sop.StanfordOnlineProducts(root=str(tmp_path / "sop"), split=split)
        assert len(data) == count
        for image, label in (data[n] for n in range(count)):
            # The picture's colour says which item it is of.
            assert item[label].rsplit("/", 1)[-1] == str(shown(image))


def test_the_other_loader_of_sop_reads_by_name_and_takes_one_off(tmp_path):
    built = build_table(table(["group"]), ["group"])
    export("sop", tmp_path / "sop", built.items, built.assignments)
    place = tmp_path / "sop/Stanford_Online_Products"
    frame = pd.concat([pd.read_csv(place / f"Ebay_{s}.txt", sep=" ") for s in ("train", "test")])
    assert sorted(set(frame.class_id - 1)) == list(range(12))
    assert sorted(set(frame.super_class_id - 1)) == list(range(2))
    assert frame.image_id.tolist() == list(range(1, 25))
    folders = frame.path.str.split("/").str[0]
    assert folders.str.endswith("_final").all()
    assert (folders.str[:-6].groupby(frame.super_class_id).nunique() == 1).all()


def test_official_lists_come_out_as_they_went_in(tmp_path):
    header = "image_id class_id super_class_id path\n"
    lists = {
        "train": "1 1 1 bicycle_final/1_0.JPG\n2 1 1 bicycle_final/1_1.JPG\n"
        "3 2 2 coffee_maker_final/2_0.JPG\n",
        "test": "4 3 2 coffee_maker_final/3_0.JPG\n5 4 1 bicycle_final/4_0.JPG\n",
    }
    for split, lines in lists.items():
        (tmp_path / f"Ebay_{split}.txt").write_text(header + lines)
    built = build("sop", tmp_path, ["superclass"])
    export("sop", tmp_path / "out", built.items, built.assignments)
    for split, lines in lists.items():
        path = tmp_path / f"out/Stanford_Online_Products/Ebay_{split}.txt"
        assert path.read_text() == header + lines
    assert not (tmp_path / "out/Stanford_Online_Products/images.csv").exists()


@pytest.mark.parametrize("levels", [["group"], list(RANKS)])
def test_pytorch_metric_learning_opens_inat2018(tmp_path, levels):
    inat = pytest.importorskip("pytorch_metric_learning.datasets.inaturalist2018")
    built = build_table(table(levels), levels)
    export("inat2018", tmp_path / "inat", built.items, built.assignments)
    for line in pd.read_csv(tmp_path / "inat/images.csv").itertuples():
        paint(tmp_path / "inat" / line.path, int(line.image.split()[1].split("/")[0]))
    for split, count in (("train", 16), ("test", 8), ("train+test", 24)):
        data = inat.INaturalist2018(root=str(tmp_path / "inat"), split=split)
        assert len(data) == count
        for image, label in (data[n] for n in range(count)):
            assert label == shown(image)


def test_rules_of_the_hierarchical_loader_of_inat2018(tmp_path):
    """Ranks by name, the path's folders, one line break (read from the published loaders)."""
    levels = list(RANKS)
    rows = table(levels, homonyms=True)
    built = build_table(rows, levels)
    export("inat2018", tmp_path / "inat", built.items, built.assignments)
    found = json.loads((tmp_path / "inat/train2018.json").read_text())
    by_id = {category["id"]: category for category in found["categories"]}
    for n, rank in enumerate(RANKS, start=1):
        named = {entry[rank] for entry in by_id.values()}
        assert len(named) == built.counts[n]
    for split in ("train", "test"):
        text = (tmp_path / f"inat/Inat_dataset_splits/Inaturalist_{split}_set1.txt").read_text()
        lines = text.split("\n")
        lines.remove("")
        assert "" not in lines
        for line in lines:
            _, group, number, _ = line.split("/")
            assert group == by_id[int(number)]["supercategory"].replace(" ", "_")
    plain = json.loads((tmp_path / "inat/categories.json").read_text())
    assert {category["genus"] for category in plain} == {"twin"}


def oml_export(tmp_path: Path) -> Path:
    built = build_table(table(["class", "group"]), ["class", "group"])
    export("oml", tmp_path / "oml", built.items, built.assignments)
    for number, path in enumerate(pd.read_csv(tmp_path / "oml/level0.csv").path):
        paint(tmp_path / "oml" / path, number)
    return tmp_path / "oml"


def test_open_metric_learning_frames(tmp_path):
    frame = pd.read_csv(oml_export(tmp_path) / "level1.csv")
    train = frame.split == "train"
    assert frame.columns.tolist() == [
        "label",
        "path",
        "split",
        "is_query",
        "is_gallery",
        "category",
    ]
    assert frame.is_query[train].isna().all() and frame.is_gallery[~train].all()
    assert frame.groupby("label").category.nunique().max() == 1


def test_croissant_is_valid_and_gives_the_records(tmp_path):
    croissant = pytest.importorskip("mlcroissant")
    levels = ["class", "group é\"'"]
    built = build_table(table(levels), levels)
    export(
        "croissant",
        tmp_path / "out",
        built.items,
        built.assignments,
        levels=["thing", *levels],
        about=LICENSED,
    )
    path = tmp_path / "out/croissant.json"
    program = str(Path(sys.executable).parent / "mlcroissant")
    command = [program, "validate", "--jsonld", str(path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Done" in done.stderr + done.stdout and "error" not in done.stderr.lower()
    said = json.loads(path.read_text(encoding="utf-8"))
    assert said["license"] == ["cc-by-4.0"]
    assert "Mugs | lamps (CC0; https://example.org)" in said["description"]
    data = croissant.Dataset(path)
    assert data.metadata.license == ["cc-by-4.0"]
    assert not data.metadata.ctx.issues.errors
    assert str(data.metadata.ctx.conforms_to) == "CroissantVersion.V_1_1"
    nodes = list(data.records("nodes"))
    assert {n["nodes/node_id"].decode() for n in nodes} == set(
        built.nodes.node_id[built.nodes.level > 0]
    )
    items = list(data.records("items"))
    assert len(items) == 12
    by_id = {entry["items/id"].decode(): entry for entry in items}
    assert [str(v.decode() if isinstance(v, bytes) else v) for v in by_id["1"]["items/image"]] == [
        "raw 1/a.jpg",
        "raw 1/b.jpg",
    ]


def test_a_damaged_table_of_croissant_is_noticed(tmp_path):
    built = build_table(table(["group"]), ["group"])
    levels = ["item", "group"]
    export("croissant", tmp_path / "out", built.items, built.assignments, levels=levels)
    path = tmp_path / "out/croissant.json"
    said = json.loads(path.read_text())
    said["distribution"][0]["sha256"] = "0" * 64
    path.write_text(json.dumps(said))
    given = ExportInput(built.items, built.assignments, ("item", "group"))
    with pytest.raises(ValueError, match="another checksum of items"):
        FORMATS["croissant"].check(tmp_path / "out", given)


def test_a_hub_reads_the_card_and_its_tables(tmp_path):
    hub = pytest.importorskip("huggingface_hub")
    built = build_table(table(["class", "group"]), ["class", "group"])
    about = replace(LICENSED, title='Mugs: "lamps"')
    export("huggingface", tmp_path / "hf", built.items, built.assignments, about=about)
    card = hub.DatasetCard.load(tmp_path / "hf/README.md")
    assert "| Mugs \\| lamps | CC0 | https://example.org |" in card.text
    assert card.data.pretty_name == 'Mugs: "lamps"' and card.data.license == "cc-by-4.0"
    files = {
        config["config_name"]: {entry["split"]: entry["path"] for entry in config["data_files"]}
        for config in card.data.to_dict()["configs"]
    }
    assert sorted(files) == ["items", "nodes"]
    parts = {s: pq.read_table(tmp_path / "hf" / p).to_pandas() for s, p in files["items"].items()}
    assert {split: len(part) for split, part in parts.items()} == {"test": 4, "train": 8}
    assert len(pq.read_table(tmp_path / "hf" / files["nodes"]["nodes"])) == 12 + 3
    export("huggingface", tmp_path / "plain", built.items, built.assignments)
    plain = (tmp_path / "plain/README.md").read_text()
    assert "| 0 | level0 | 12 |" in plain and "license" not in plain


def test_without_a_named_licence_those_of_the_sources_are_listed(tmp_path):
    built = build_table(table(["group"]), ["group"])
    sources = (CardSource(name="Lists", licence="see the project's page", origin="https://a.org"),)
    about = About(licence="other", sources=sources)
    for format in ("croissant", "huggingface"):
        export(format, tmp_path / format, built.items, built.assignments, about=about)
    said = json.loads((tmp_path / "croissant/croissant.json").read_text(encoding="utf-8"))
    assert said["license"] == ["see the project's page"]
    text = (tmp_path / "huggingface/README.md").read_text(encoding="utf-8")
    assert 'license: "other"\n' in text
    assert "| Lists | see the project's page | https://a.org |" in text


def test_landmarks_have_country_and_coordinates_or_blanks(tmp_path):
    rows = table(["class", "group"])[:2]
    rows[1] |= {"class": "", "group": ""}
    built = build_table(rows, ["class", "group"])
    entities = pd.DataFrame(
        {
            "item_id": ["table/train/1"],
            "qid": ["Q1"],
            "country": ["Q142"],
            "lat": [48.858296],
            "lon": [2.0],
        }
    )
    export(
        "landmarks",
        tmp_path / "out",
        built.items,
        built.assignments,
        levels=["landmark", "class", "group"],
        entities=entities,
    )
    assert (tmp_path / "out/landmarks.csv").read_text() == (
        "id,split,name,class,group,wikidata,country,latitude,longitude,origin,accepted_level,"
        "class_confidence,group_confidence\n"
        "1,train,thing 1,group 1 0 1,group 1,Q1,Q142,48.858296,2.0,published,1,1.0,1.0\n"
        "2,train,thing 2,,,,,,,,,,\n"
    )


def test_levels_that_are_named_like_columns_of_the_export_get_another_column(tmp_path):
    built = build_table(table(["class", "group"]), ["class", "group"])
    levels = ["landmark", "Country", "Country_label"]
    export("landmarks", tmp_path, built.items, built.assignments, levels=levels)
    first = (tmp_path / "landmarks.csv").read_text().splitlines()[0]
    assert first == (
        "id,split,name,Country_label_label,Country_label,wikidata,country,latitude,longitude,"
        "origin,accepted_level,Country_label_label_confidence,Country_label_confidence"
    )


@pytest.mark.parametrize("names", [["source_id", "node"], ["level1_name", "image_ids"]])
def test_levels_may_be_called_anything(names, tmp_path):
    built = build_table(table(names), names)
    for format in ("landmarks", "croissant", "huggingface"):
        export(format, tmp_path / format, built.items, built.assignments, levels=["item", *names])
    found = pd.read_csv(tmp_path / "landmarks/landmarks.csv")
    assert list(found.columns[3:5]) == names and found[names[1]].str.startswith(names[1]).all()


def test_a_folder_with_files_of_others_is_refused_and_kept(tmp_path):
    built = build_table(table(["group"]), ["group"])
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "thesis.tex").write_text("years of work")
    (folder / "tree.nwk").write_text("someone's tree")
    with pytest.raises(InputError) as caught:
        export("nexus", folder, built.items, built.assignments)
    found = [str(problem) for problem in caught.value.problems]
    assert len(found) == 3 and "'thesis.tex'" in found[1] and "'tree.nwk'" in found[2]
    with pytest.raises(InputError):
        export("newick", folder, built.items, built.assignments)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["out", "thesis.tex", "tree.nwk"]
    assert (folder / "tree.nwk").read_text() == "someone's tree"


def test_an_export_replaces_an_earlier_one_of_its_own(tmp_path):
    built = build_table(table(["group"]), ["group"])
    place = tmp_path / "out/Stanford_Online_Products"
    export("sop", tmp_path / "out", built.items, built.assignments)
    # Pictures that stand beside are nobody's trouble.
    paint(place / "lamp_final/1_0.JPG", 1)
    train = built.assignments[built.assignments.split == "train"]
    items = built.items[built.items.split == "train"]
    result = export("sop", tmp_path / "out", items, train)
    assert sorted(path.name for path in place.iterdir() if path.is_file()) == [
        "Ebay_train.txt",
        "images.csv",
        "names.csv",
    ]
    assert result.missing == ["Stanford_Online_Products/Ebay_test.txt"]
    assert (place / "lamp_final/1_0.JPG").exists()
    assert all(path.is_file() for path in result.files)


def test_a_depth_no_list_carries_names_the_formats_that_can(tmp_path):
    built = build_table(table(["a", "b"]), ["a", "b"])
    with pytest.raises(
        InputError, match=r"3 levels \(it needs 2 or 7\): 'inat2018'\. Formats that can"
    ):
        export("inat2018", tmp_path / "out", built.items, built.assignments)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("format", ["sop", "oml"])
def test_lists_of_images_need_images(tmp_path, format):
    rows = [row | {"image": ""} for row in table(["group"])]
    built = build_table(rows, ["group"])
    with pytest.raises(InputError, match="no labelled item has one"):
        export(format, tmp_path / "out", built.items, built.assignments)
    assert not (tmp_path / "out").exists()
