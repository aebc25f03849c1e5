"""Folders of pictures as items: depth, splits, names, what is left out."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from strata_labels.cli import app
from strata_labels.errors import InputError
from strata_labels.sources import SOURCES, is_image_folder, picture_paths
from strata_labels.tables import load
from typer.testing import CliRunner

TABLE = SOURCES["table"]


def fill(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def test_folders_are_labels_the_deepest_finest(tmp_path):
    folder = fill(
        tmp_path / "photos",
        "pets/cats/IMG_1.JPG",
        "pets/cats/sleepy-cat.png",
        "pets/mouse.webp",
        "tools/saw.jpeg",
        "alone.tif",
        "pets/notes.txt",
        ".git/cats/x.jpg",
        "__MACOSX/cats/y.jpg",
        "pets/._IMG_1.JPG",
    )
    assert is_image_folder(folder) and TABLE.files(folder) == []
    assert TABLE.image_root(folder) == folder
    levels = TABLE.levels(folder)
    assert levels == ("folder_2", "folder_1")
    metadata = TABLE.read(folder, ("item", *levels))
    items = metadata.items.set_index("item_id")
    assert items["image_ids"].explode().tolist() == picture_paths(folder)
    assert items["name"].to_dict() == {
        "table/train/alone.tif": "alone",
        "table/train/pets/cats/IMG_1.JPG": "IMG 1",
        "table/train/pets/cats/sleepy-cat.png": "sleepy cat",
        "table/train/pets/mouse.webp": "mouse",
        "table/train/tools/saw.jpeg": "saw",
    }
    labels = metadata.labels
    assert set(zip(labels["item_id"], labels["level"], labels["node"], strict=True)) == {
        ("table/train/pets/cats/IMG_1.JPG", 1, "cats"),
        ("table/train/pets/cats/sleepy-cat.png", 1, "cats"),
        ("table/train/pets/cats/IMG_1.JPG", 2, "pets"),
        ("table/train/pets/cats/sleepy-cat.png", 2, "pets"),
        ("table/train/pets/mouse.webp", 2, "pets"),
        ("table/train/tools/saw.jpeg", 2, "tools"),
    }
    assert metadata.counts["files_not_read"] == 1
    # Names of one's own for the levels are taken in their order.
    named = TABLE.read(folder, ("item", "Kind", "group")).labels
    assert named["node"].tolist() == labels["node"].tolist()


def test_folders_called_train_and_test_are_the_split(tmp_path):
    folder = fill(tmp_path / "a", "train/cup/1.jpg", "Test/cup/1.jpg", "Test/hat/b.png")
    items = TABLE.read(folder, ("item", "folder_1")).items
    assert dict(zip(items["item_id"], items["split"], strict=True)) == {
        "table/Test/Test/cup/1.jpg": "Test",
        "table/Test/Test/hat/b.png": "Test",
        "table/train/train/cup/1.jpg": "train",
    }
    # Beside another folder, or a picture, they are classes as any other.
    for other in ("bus/1.jpg", "1.jpg"):
        folder = fill(tmp_path / other[0], "train/1.jpg", "test/1.jpg", other)
        assert set(TABLE.read(folder, ("item", "folder_1")).items["split"]) == {"train"}


def test_names_that_file_systems_allow(tmp_path):
    decomposed = "cafe\u0301  x/ a|b \u0301.png"
    folder = fill(tmp_path / "photos", decomposed, "data/1.jpg", "new\nline/2.jpg")
    metadata = TABLE.read(folder, ("item", "folder_1"))
    images = metadata.items["image_ids"].explode().tolist()
    assert all((folder / image).is_file() for image in images) and decomposed in images
    assert set(metadata.labels["node"]) == {"café x", "data", "new line"}
    fill(folder, os.fsdecode(b"bad-\xff/1.jpg"))
    with pytest.raises(InputError, match=r"a name that is not UTF-8: 'bad-.udcff/1\.jpg'"):
        TABLE.read(folder, ("item", "folder_1"))


def test_links_are_followed_and_loops_end(tmp_path):
    store = fill(tmp_path / "store", "1.jpg")
    folder = fill(tmp_path / "photos", "a/2.jpg")
    (folder / "b").symlink_to(store)
    (folder / "c").symlink_to(store)
    (folder / "a" / "loop").symlink_to(folder)
    assert picture_paths(folder) == ["a/2.jpg", "b/1.jpg", "c/1.jpg"]


def test_a_folder_without_pictures_is_no_table(tmp_path):
    with pytest.raises(InputError, match=r"items\.csv: cannot be read"):
        TABLE.read(fill(tmp_path / "a", "notes.txt"), ("item",))


def test_a_build_of_pictures_notices_a_new_one(tmp_path):
    folder = fill(tmp_path / "photos", "a/1.jpg", "b/2.jpg")
    words = ["build", "table", str(tmp_path / "ws"), "--items", str(folder)]
    assert CliRunner().invoke(app, words).exit_code == 0
    fill(folder, "b/c/3.jpg")
    assert CliRunner().invoke(app, words).exit_code in (0, 3)
    assignments = load(tmp_path / "ws", "assignments").set_index("item_id")
    assert assignments.loc["table/train/b/c/3.jpg", ["level1_name", "level2_name"]].tolist() == [
        "c",
        "b",
    ]
