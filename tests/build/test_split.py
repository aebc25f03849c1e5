"""`strata split` on builds of pictures: ties, what is left out, and who uses the split."""

from __future__ import annotations

import io
import json
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from building import ROOT, run_strata, strata_output
from PIL import Image, ImageEnhance, ImageOps
from strata_labels.build import SplitRequest, Workspace, current_split, make_split
from strata_labels.embedding.picture_groups import (
    NEARLY_SAME,
    near_pairs,
    outline,
    picture_groups,
)
from strata_labels.errors import InputError
from strata_labels.export.formats import FORMATS
from strata_labels.tables import load
from torchvision.datasets import ImageFolder

NUM_CLASSES, NUM_IMAGES = 8, 4
strata = partial(strata_output, code=0)


def picture(number: int, side: int = 96) -> Image.Image:
    """A picture of random patches, like no other."""
    patches = np.random.default_rng(number).integers(0, 255, (12, 12, 3)).astype(np.uint8)
    return Image.fromarray(patches).resize((side, side), Image.Resampling.BICUBIC)


def photographs(folder: Path) -> pd.DataFrame:
    """A photograph a row, of classes in two groups, as a table of one's own.

    c0 and c1 have one file in common, c2 and c3 a copy that was scaled and compressed.
    """
    rows = []
    for number in range(NUM_CLASSES):
        for image in range(NUM_IMAGES):
            path = folder / f"c{number}" / f"{image}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            picture(100 * number + image).save(path, quality=95)
            label = (f"c{number}", f"g{number % 2}")
            rows.append((f"{number}{image}", f"c{number}/{image}.jpg", *label))
    shutil.copyfile(folder / "c0/0.jpg", folder / "c1/0.jpg")
    picture(200, 60).save(folder / "c3/0.jpg", quality=40)
    return pd.DataFrame(rows, columns=["id", "image", "label", "group"])


def build(
    folder: Path, table: pd.DataFrame, pictures: Path | None, tree: Path | str = "table"
) -> Workspace:
    folder.mkdir(exist_ok=True)
    table.to_csv(folder / "items.csv", index=False)
    images = ["--images", pictures] if pictures else []
    words = ["build", tree, folder / "WS", "--items", folder / "items.csv", *images]
    strata_output(*words)
    return Workspace(folder / "WS")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    photographs(folder)
    return folder


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, pictures: Path) -> Path:
    folder = tmp_path_factory.mktemp("built")
    build(folder, photographs(pictures), pictures)
    return folder


@pytest.fixture
def workspace(built: Path, tmp_path: Path) -> Workspace:
    shutil.copytree(built, tmp_path / "copy")
    return Workspace(tmp_path / "copy" / "WS")


def test_classes_with_the_same_or_nearly_the_same_picture_are_together(workspace):
    shown = strata("split", workspace.folder)
    assert "Tied: 4 classes in 2 groups" in shown and "32 images by their pictures" in shown
    table = load(workspace.folder, "split")
    side = table.drop_duplicates("class_id").set_index(
        table.class_id.drop_duplicates().str.rpartition("/")[2]
    )["split"]
    assert side["c0"] == side["c1"] and side["c2"] == side["c3"] and len(side) == 8
    assert side.value_counts().to_dict() == {"train": 4, "test": 4}
    report = pd.read_csv(workspace.split_report)
    assert report.what.tolist() == ["tied"] * 4
    assert report.image.tolist() == ["c0/0.jpg", "c1/0.jpg", "c2/0.jpg", "c3/0.jpg"]
    classes = pd.read_csv(workspace.split_classes)
    assert classes.images.sum() == 32 and classes.name.nunique() == 8


def test_the_order_of_the_rows_changes_no_byte(workspace, tmp_path, pictures):
    strata("split", workspace.folder, "--test", 0.4, "--query", 0.5)
    shuffled = photographs(pictures).sample(frac=1, random_state=1)
    other = build(tmp_path / "other", shuffled, pictures)
    strata("split", other.folder, "--test", 0.4, "--query", 0.5)
    for name in ("split.csv", "split_report.csv", "tables/split.parquet"):
        assert (workspace.folder / name).read_bytes() == (other.folder / name).read_bytes()


def test_a_changed_tree_makes_the_split_stale(workspace, pictures):
    strata("split", workspace.folder, "--test", 0.4)
    assert current_split(workspace).text.startswith("train and test of 8 classes (level label)")
    table = photographs(pictures)
    table.loc[5, "label"] = "c3"
    table.loc[5, "group"] = "g1"
    again = build(workspace.folder.parent, table, pictures)
    message = strata("export", again.folder, "--format", "oml", code=2)
    assert "split.parquet: the split was made for an earlier state of the tree" in message
    assert f"Run: strata split {again.folder} --test 0.4" in message
    words = ("--images", pictures, "--recipe", "happier", "--out", again.folder / "t")
    assert "earlier state" in strata("train", again.folder, *words, code=2)
    strata("split", again.folder, "--remove")
    assert current_split(again) is None
    strata("export", again.folder, "--format", "oml")


def test_a_build_with_a_stale_split_goes_on_and_says_so(workspace, pictures):
    strata("split", workspace.folder)
    table = photographs(pictures).drop(index=5)
    run = run_strata("build", "table", workspace.folder, "--items", _saved(workspace, table))
    assert "Exports have the splits that the data came with" in run.stderr


def _saved(workspace: Workspace, table: pd.DataFrame) -> Path:
    path = workspace.folder.parent / "items.csv"
    table.to_csv(path, index=False)
    return path


@pytest.mark.parametrize("words", [(), ("--query", 0.25), ("--folds", 4)])
def test_exports_have_the_split(workspace, words):
    strata("split", workspace.folder, *words)
    made = load(workspace.folder, "split").set_index("image").split
    able = [name for name, format in FORMATS.items() if format.has_splits and format.carries(3)]
    strata("export", workspace.folder, *(word for name in able for word in ("--format", name)))
    root = workspace.export
    oml = pd.read_csv(root / "oml/level0.csv").set_index("path")
    hf = {path.stem: pd.read_parquet(path) for path in (root / "huggingface/data").glob("*")}
    found = {i: split for split, part in hf.items() for images in part.image for i in images}
    assert found == made.to_dict()
    folders = {path.parent.parent.name for path in (root / "imagefolder").glob("*/*/*.jpg")}
    assert folders == set(made)
    assert set(oml.index) == set(made.index)
    if "--query" in words:
        assert (oml.is_query[made.index] == (made == "query")).all()
        assert (oml.is_gallery[made.index] == (made == "gallery")).all()
    else:
        test = made.isin(["test", "fold1"])
        assert ((oml.split[made.index] == "validation") == test).all()
    assert "those of `strata split`" in (root / "oml/README.md").read_text()
    # Where the splits are part of the ids, the made one lies beside the files.
    assert not (root / "oml/split.parquet").exists()
    others = [name for name, one in FORMATS.items() if not one.has_splits and one.carries(3)]
    strata("export", workspace.folder, *(word for name in others for word in ("--format", name)))
    for name in others:
        beside = pd.read_parquet(root / name / "split.parquet").set_index("image").split
        assert beside.to_dict() == made.to_dict()
        assert "`split.parquet` has that of" in (root / name / "README.md").read_text()
    strata("split", workspace.folder, "--remove")
    strata("export", workspace.folder, *(word for name in others for word in ("--format", name)))
    assert not list(root.rglob("split.parquet"))


def test_loaders_open_a_split_of_queries_and_gallery(workspace, tmp_path):
    datasets = pytest.importorskip("datasets")
    strata("split", workspace.folder, "--test", 0.5, "--query", 0.25)
    counts = load(workspace.folder, "split").split.value_counts().to_dict()
    assert set(counts) == {"train", "query", "gallery"}
    strata("export", workspace.folder, "--format", "huggingface", "--format", "imagefolder")
    folder, cache = str(workspace.export / "huggingface"), str(tmp_path / "cache")
    found = datasets.load_dataset(folder, "items", cache_dir=cache)
    assert {name: sum(map(len, part["image"])) for name, part in found.items()} == counts
    for name, count in counts.items():
        assert len(ImageFolder(str(workspace.export / "imagefolder" / name))) == count


def test_a_fold_is_exported_and_trained_on(workspace, pictures, tmp_path):
    assert "has no split" in strata("export", workspace.folder, "--fold", 2, code=2)
    strata("split", workspace.folder, "--folds", 4)
    made = load(workspace.folder, "split").set_index("image").split
    shown = strata("export", workspace.folder, "--format", "oml", "--fold", 3)
    assert "fold 3 is the test" in shown
    oml = pd.read_csv(workspace.export / "oml/level0.csv").set_index("path")
    assert ((oml.split[made.index] == "validation") == (made == "fold3")).all()
    assert "no such fold" in strata("export", workspace.folder, "--fold", 5, code=2)
    with pytest.raises(InputError, match="no such fold"):
        current_split(workspace).with_fold(0)


def test_a_training_uses_the_split(workspace, pictures, tmp_path):
    strata("split", workspace.folder, "--test", 0.5, "--query", 0.5)
    words = ["--images", pictures, "--recipe", "happier", "--out", tmp_path / "t"]
    words += ["--set", "epochs=1"]
    shown = strata("train", workspace.folder, *words, code=2)
    assert "too few images to test on" in shown  # 8 of the gallery, from which 10 are ranked
    strata("split", workspace.folder)
    assert "asked for is level" in strata(
        "train", workspace.folder, *words, "--class-level", "group", code=2
    )
    shown = strata("train", workspace.folder, *words)
    assert "Split: train and test of 8 classes (level label), seed 0" in shown
    used = pd.read_parquet(tmp_path / "t" / "test_items.parquet")
    made = load(workspace.folder, "split")
    assert len(used) == (made.split == "test").sum()


def test_a_split_without_a_train_part_is_not_trained_on(workspace, pictures, tmp_path):
    strata("split", workspace.folder, "--query", 0.5)
    words = ["--images", pictures, "--recipe", "happier", "--out", tmp_path / "t"]
    assert "no class to train on" in strata("train", workspace.folder, *words, code=2)


def test_what_is_left_out_is_named(tmp_path, pictures):
    table = photographs(pictures)
    table.loc[table.label == "c7", ["label", "group"]] = ""
    table.loc[0, "image"] = ""
    table.loc[table.label == "c6", "image"] = ["c6/0.jpg", "", "", ""]
    workspace = build(tmp_path, table, pictures)
    labelled = load(workspace.folder, "assignments").status == "labelled"
    strata("split", workspace.folder, "--json", tmp_path / "out.json")
    report = pd.read_csv(workspace.split_report)
    out = report[report.what == "left out"]
    assert (out.reason == "no image").sum() == 4 and (out.reason == "no label").sum() == sum(
        ~labelled
    )
    assert out.image[out.reason == "the class has fewer than 2 images"].tolist() == ["c6/0.jpg"]
    counts = json.loads((tmp_path / "out.json").read_text())
    parts = counts["splits"].values()
    assert sum(part["images"] for part in parts) + len(out) == len(table)


def test_items_without_any_image_can_be_split(tmp_path, pictures):
    workspace = build(tmp_path, photographs(pictures).drop(columns="image"), None)
    assert "no labelled item has an image" in strata("split", workspace.folder, code=2)
    strata("split", workspace.folder, "--min-images", 0, "--folds", 4)
    table = load(workspace.folder, "split")
    assert len(table) == 32 and table.image.isna().all()
    assert (table.groupby("class_id").split.nunique() == 1).all()
    assert table.groupby("split").class_id.nunique().tolist() == [2] * 4


def test_a_tree_of_one_level(tmp_path, pictures):
    images = photographs(pictures).groupby("label").image.agg("|".join).rename_axis("id")
    (tmp_path / "hierarchy.toml").write_text(
        'levels = ["item"]\n' + (ROOT / "hierarchies/table/hierarchy.toml").read_text()
    )
    workspace = build(tmp_path, images.reset_index(), pictures, tmp_path)
    made = make_split(workspace, SplitRequest())
    assert made.counts["class_level"] == "item" and made.counts["stratify"] is None
    assert made.counts["tied_classes"] == 4
    assert current_split(workspace).text == "train and test of 8 classes (level item), seed 0"
    with pytest.raises(InputError, match="no level above"):
        make_split(workspace, SplitRequest(stratify="0"))


def test_all_that_cannot_be_is_listed_at_once(workspace):
    message = strata(
        "split", workspace.folder, "--test", 2, "--folds", 1, "--class-level", "x", code=2
    )
    assert "4 problems in the input" in message
    assert not workspace.table("split").exists()


def test_near_pairs_are_those_of_a_plain_loop():
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(40, 5)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    one, other = near_pairs(vectors, 0.8)
    plain = [(i, j) for i in range(40) for j in range(i + 1, 40) if vectors[i] @ vectors[j] >= 0.8]
    assert sorted(zip(one.tolist(), other.tolist(), strict=True)) == plain and plain


def test_images_without_a_file_are_compared_by_content_or_reference(tmp_path, pictures):
    references = ["a.jpg", "b.jpg", "c.jpg", "d.jpg", "d.jpg", "c0/0.jpg", "c1/0.jpg"]
    files = [None] * 5 + [pictures / "c0/0.jpg", pictures / "c1/0.jpg"]
    keys = {"a.jpg": b"1" * 32, "b.jpg": b"1" * 32, "c.jpg": b"2" * 32}
    found = picture_groups(references, files, tmp_path / "hashes.sqlite", keys)
    group = found.group.tolist()
    assert len(set(group)) == 4
    assert group[0] == group[1] and group[3] == group[4] and group[5] == group[6]
    assert (found.by_file, found.by_content, found.by_reference) == (2, 3, 2)


def test_plain_pictures_are_like_no_other(tmp_path):
    Image.new("RGB", (50, 50), "white").save(tmp_path / "white.png")
    assert not outline(tmp_path / "white.png").any()


def cropped(image: Image.Image, share: float) -> Image.Image:
    width, height = (round(side * share / 2) for side in image.size)
    return image.crop((width, height, image.width - width, image.height - height))


#: What is done to a photograph, the quality it is saved in, and in how many copies of 324 it is
#: found; docs/splits.md has these figures.
COPIES = {
    "compressed": (lambda image: image, 30, 324),
    "half": (lambda image: image.reduce(2), 90, 324),
    "third": (lambda image: image.reduce(3), 60, 324),
    "brighter": (lambda image: ImageEnhance.Brightness(image).enhance(1.3), 90, 324),
    "paler": (lambda image: ImageEnhance.Contrast(image).enhance(0.8), 90, 324),
    "less colour": (lambda image: ImageEnhance.Color(image).enhance(0.6), 90, 324),
    "cropped by 5 %": (lambda image: cropped(image, 0.05), 90, 0),
    "mirrored": (ImageOps.mirror, 90, 0),
}


@pytest.mark.shared
def test_copies_of_real_photographs_are_found(shared):
    """On the photographs by which the threshold was not chosen."""
    root = shared / "grocery" / "subset"
    paths = pd.read_csv(shared / "grocery" / "subset.csv").path.tolist()[1::2]
    found = dict.fromkeys(COPIES, 0)
    vectors = np.array([outline(root / path) for path in paths])
    for path, vector in zip(paths, vectors, strict=True):
        image = Image.open(root / path).convert("RGB")
        for name, (change, quality, _) in COPIES.items():
            content = io.BytesIO()
            change(image).save(content, "JPEG", quality=quality)
            found[name] += int(vector @ outline(content.getvalue()) >= NEARLY_SAME)
    assert len(paths) == 324
    assert found == {name: expected for name, (_, _, expected) in COPIES.items()}
    assert len(near_pairs(vectors)[0]) == 0
